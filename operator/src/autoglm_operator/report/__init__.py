"""Says what was seen and done: status, conditions, events."""
