"""Errors that carry their consequence.

```
ReconcileError
├── Terminal   the spec cannot work: a condition says so, and nothing is tried again until the spec changes
└── Waiting    something outside must happen first: a condition says what, and it is tried again after a time
Gone           the object does not exist any more: there is nothing to do, and nobody to tell
```
Anything else that is raised is transient and retried with growing pauses.
"""


class ReconcileError(Exception):
    """Base of the errors with a consequence.

    Attributes:
        reason: CamelCase reason of the condition.
    """

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class Terminal(ReconcileError):  # noqa: N818  # names the consequence
    """The spec cannot work as it is."""


class Waiting(ReconcileError):  # noqa: N818  # names the consequence
    """Something outside must happen first.

    Attributes:
        after: seconds until it is worth looking again.
    """

    def __init__(self, reason: str, message: str, after: float) -> None:
        self.after = after
        super().__init__(reason, message)


class Gone(Exception):  # noqa: N818  # names the consequence
    """The object does not exist any more."""
