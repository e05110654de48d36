"""What talks to engine, agent, judge and collector."""
