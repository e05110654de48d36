"""Load tests of OpenAI-compatible engines."""

__version__ = "0.1.0"
