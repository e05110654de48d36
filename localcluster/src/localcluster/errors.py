"""The one error that the command line shows without a traceback."""


class LocalClusterError(Exception):
    """Something is missing or failed; the message says what, and what to do."""
