"""What the figures mean: pure, with the clock as an argument."""
