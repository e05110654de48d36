"""The demo: cluster, chart, a deployment, traffic, and what the autoscaler made of it."""
