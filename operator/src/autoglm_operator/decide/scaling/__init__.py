"""How many replicas a deployment needs, and who writes them: pure."""
