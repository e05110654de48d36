"""A fleet request by request: each engine is the pure model of `autoglm_simulator.model`, behind a router."""
