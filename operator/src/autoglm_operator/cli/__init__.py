"""The kubectl plugin: what a person asks about a deployment, answered in sentences."""
