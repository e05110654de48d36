"""Makes the cluster equal to the desired set; knows nothing of what the objects mean."""
