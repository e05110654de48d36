"""KV blocks of one engine: how many are taken, and which hold a prefix that another request can use again.

Blocks have no identity here: a block is either private to one request (counted) or cached under the hash of the prompt
prefix that it ends (and then shared by count). That is all that capacity, hits and preemption depend on.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence


class KvCache:
    """A pool of `capacity` blocks; cached blocks that nobody uses are kept and evicted oldest first."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._private = 0
        self._withheld = 0
        self._users: dict[int, int] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()

    @property
    def used(self) -> int:
        """Blocks that requests hold; what is only cached is free to take, as vLLM counts it."""
        return self._private + len(self._users)

    @property
    def available(self) -> int:
        """Blocks that can be taken now; negative when more is held than `withhold` has left."""
        return self.capacity - self._withheld - self.used

    @property
    def usage(self) -> float:
        """Share of the blocks that cannot be taken (0-1)."""
        return min(1.0, (self.used + self._withheld) / self.capacity)

    @property
    def idle(self) -> int:
        """Blocks that only the prefix cache holds."""
        return len(self._idle)

    def withhold(self, blocks: int) -> None:
        """Put `blocks` out of reach, as if others held them; 0 gives all back."""
        self._withheld = blocks
        self._evict()

    def hits(self, prefix: Sequence[int], limit: int) -> int:
        """Return how many leading blocks of `prefix` are cached, at most `limit`."""
        users, idle = self._users, self._idle
        count = 0
        for block in prefix[:limit]:
            if block not in users and block not in idle:
                break
            count += 1
        return count

    def idle_among(self, blocks: Iterable[int]) -> int:
        """Return how many of the cached `blocks` nobody uses: acquiring them takes from what is available."""
        idle = self._idle
        return sum(block in idle for block in blocks)

    def acquire(self, blocks: Iterable[int]) -> None:
        """Use cached `blocks` for one request."""
        users, idle = self._users, self._idle
        for block in blocks:
            if block in users:
                users[block] += 1
            else:
                del idle[block]
                users[block] = 1

    def take(self, blocks: int) -> None:
        """Take private blocks; the caller has checked `available`."""
        self._private += blocks
        self._evict()

    def publish(self, blocks: Iterable[int]) -> int:
        """Turn private blocks into cached ones of one user, until one is cached already; return how many."""
        users, idle = self._users, self._idle
        count = 0
        for block in blocks:
            if block in users or block in idle:
                break
            users[block] = 1
            count += 1
        self._private -= count
        return count

    def release(self, cached: Sequence[int], private: int) -> None:
        """Give a request's blocks back; its cached ones stay for reuse, the end of the prefix evicted first."""
        self._private -= private
        users, idle = self._users, self._idle
        for block in reversed(cached):
            if users[block] == 1:
                del users[block]
                idle[block] = None
            else:
                users[block] -= 1
        self._evict()

    def _evict(self) -> None:
        for _ in range(len(self._idle) - max(0, self.available)):
            self._idle.popitem(last=False)
