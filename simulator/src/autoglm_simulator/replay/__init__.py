"""Replay of traffic against a model of a fleet, under a scaling policy: traces, plants, policies and measures."""
