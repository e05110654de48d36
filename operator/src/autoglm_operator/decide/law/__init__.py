"""The control law: how many replicas hold the latency objective at the least cost. Pure: clock and metrics come in."""
