"""How a replica starts, how long that takes, and what is made ready before: pure."""
