"""How a download can end: the one list of reasons, and the error that carries one."""

from enum import StrEnum
from typing import Final


class Reason(StrEnum):
    """Why it ended as it did."""

    DOWNLOADED = "Downloaded"
    ALREADY_THERE = "AlreadyThere"
    TOKEN_REFUSED = "HubTokenRefused"  # noqa: S105  # a name
    MODEL_GATED = "ModelGated"
    MODEL_NOT_FOUND = "ModelNotFound"
    REVISION_NOT_FOUND = "RevisionNotFound"
    NO_WEIGHTS = "NoWeights"
    LISTING_REFUSED = "ListingRefused"
    REQUEST_REFUSED = "RequestRefused"
    INTEGRITY_FAILED = "IntegrityFailed"
    DISK_FULL = "DiskFull"
    CACHE_UNUSABLE = "CacheUnusable"
    RATE_LIMITED = "HubRateLimited"
    HUB_UNREACHABLE = "HubUnreachable"
    DEADLINE_EXCEEDED = "DownloadTooSlow"
    INTERRUPTED = "DownloadInterrupted"


#: The same request would end the same way: a person has to change something first.
PERMANENT: Final = frozenset(
    {
        Reason.TOKEN_REFUSED,
        Reason.MODEL_GATED,
        Reason.MODEL_NOT_FOUND,
        Reason.REVISION_NOT_FOUND,
        Reason.NO_WEIGHTS,
        Reason.LISTING_REFUSED,
        Reason.REQUEST_REFUSED,
        Reason.INTEGRITY_FAILED,
        Reason.DISK_FULL,
        Reason.CACHE_UNUSABLE,
    }
)
EXIT_PERMANENT: Final = 65  # EX_DATAERR of sysexits.h
EXIT_TRANSIENT: Final = 75  # EX_TEMPFAIL of sysexits.h


class FetchError(Exception):
    """The download cannot go on.

    Attributes:
        reason: why.
        retry_after: seconds that the server asked to wait; `None` if it did not say.
    """

    def __init__(self, reason: Reason, message: str, retry_after: float | None = None) -> None:
        self.reason = reason
        self.retry_after = retry_after
        super().__init__(message)

    @property
    def permanent(self) -> bool:
        """Whether trying again is of no use."""
        return self.reason in PERMANENT

    @property
    def exit_code(self) -> int:
        """Return the exit status of a process that ends with it."""
        return EXIT_PERMANENT if self.permanent else EXIT_TRANSIENT
