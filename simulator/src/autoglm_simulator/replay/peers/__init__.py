"""The peers' control laws, as their sources and documentation describe them.

Each has one target, or two, which a bench sweeps. All see the same fleet, as late as their metrics are; see `lag.py`.
"""
