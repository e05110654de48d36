"""The AutoGLM operator: reconciler, autoscaler with its metrics API, and kubectl plugin."""

__version__ = "0.1.0"
