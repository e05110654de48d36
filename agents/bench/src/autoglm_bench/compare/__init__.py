"""Whether two runs differ. Pure."""
