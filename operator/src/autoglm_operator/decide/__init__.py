"""What should be: pure functions of what is; clock and randomness are arguments."""
