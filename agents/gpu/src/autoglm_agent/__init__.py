"""GPU telemetry agent: the sidecar of every engine pod."""

__version__ = "0.1.0"
