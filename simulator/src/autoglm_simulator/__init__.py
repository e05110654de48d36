"""Simulated LLM engine: an HTTP stand-in for vLLM, driven by a pure model of prefill, decode and KV cache."""
