"""What is: one frozen picture of the world for each reconcile."""
