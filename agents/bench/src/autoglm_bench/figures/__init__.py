"""What the requests tell. Pure."""
