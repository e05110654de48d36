"""The engine beside the agent: asked on loopback, read within bounds, and never trusted to be well-formed."""
