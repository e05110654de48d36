"""What can go wrong between us and the API server.

```
KubeError
├── ApiError          the server answered with an error Status; its is_… properties say which
└── ConnectionLost    it did not answer: refused, reset, timed out
```
"""

from typing import Any, Final

HTTP_BAD_REQUEST: Final = 400
HTTP_FORBIDDEN: Final = 403
HTTP_NOT_FOUND: Final = 404
HTTP_CONFLICT: Final = 409
HTTP_GONE: Final = 410
HTTP_INVALID: Final = 422
HTTP_THROTTLED: Final = 429


class KubeError(Exception):
    """Base of everything raised by this room."""


class ConnectionLost(KubeError):  # noqa: N818  # says what happened
    """The API server did not answer."""


class ApiError(KubeError):
    """The API server answered with an error.

    Attributes:
        status: HTTP status code.
        reason: machine-readable reason of the Status object, such as `Invalid`.
        message: the server's sentence.
        retry_after: seconds that the server asks to wait before the next attempt; 0 if it does not say.
    """

    def __init__(self, status: int, document: dict[str, Any], what: str, retry_after: str | None = None) -> None:
        self.status = status
        self.reason = str(document.get("reason") or "Unknown")
        self.message = str(document.get("message") or f"HTTP {status}")
        asked = str((document.get("details") or {}).get("retryAfterSeconds") or retry_after or "")
        self.retry_after = float(asked) if asked.isdecimal() else 0.0
        super().__init__(f"{what}: {self.message}")

    @property
    def is_not_found(self) -> bool:
        """Whether the object, or its kind, does not exist."""
        return self.status == HTTP_NOT_FOUND

    @property
    def is_conflict(self) -> bool:
        """Whether somebody else wrote first, or owns a field."""
        return self.status == HTTP_CONFLICT

    @property
    def is_gone(self) -> bool:
        """Whether the resource version asked for is no longer kept."""
        return self.status == HTTP_GONE

    @property
    def is_throttled(self) -> bool:
        """Whether the server asks to come back later."""
        return self.status == HTTP_THROTTLED

    @property
    def is_rejected(self) -> bool:
        """Whether the server will refuse the same write again until somebody changes something."""
        return self.status in (HTTP_BAD_REQUEST, HTTP_FORBIDDEN, HTTP_NOT_FOUND, HTTP_INVALID)
