"""The API of the operator: kinds, defaults, rules, and the names everything else shares.

Nothing here imports from another room or does I/O.
"""
