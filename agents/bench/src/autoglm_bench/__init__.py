"""Load generator for OpenAI-compatible engines."""

__version__ = "0.1.0"
