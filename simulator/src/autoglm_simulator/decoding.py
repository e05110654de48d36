"""The sequences that decode, kept so that an iteration costs the same whatever their number.

While it decodes a sequence gains one token per iteration, so nothing is counted one by one: each sequence remembers the
iteration in which it joined, and the set knows the sums. Iterations are counted twice, at launch (their KV blocks are
taken) and at landing (their tokens exist).
"""

import heapq

from autoglm_simulator.profiles import BLOCK_TOKENS, Speed
from autoglm_simulator.requests import Phase, Request


class DecodeSet:
    """Decoding sequences with their joint context, growth in blocks, and order of ending."""

    def __init__(self) -> None:
        self.size = 0
        self.context = 0
        self._launched = 0
        self._landed = 0
        self._growth = [0] * BLOCK_TOKENS  # sequences that need a block in iteration i, by i modulo the block size
        self._ends: list[tuple[int, int, Request]] = []  # heap of (iteration of its end, tie-break, request)
        self._pushed = 0

    def join(self, request: Request) -> None:
        """Let `request` decode from the next iteration on."""
        request.phase = Phase.DECODE
        request.joined = self._landed
        request.finish_iteration = self._landed + request.output_tokens - request.generated
        self._pushed += 1
        heapq.heappush(self._ends, (request.finish_iteration, self._pushed, request))
        self._growth[(request.joined - request.computed) % BLOCK_TOKENS] += 1
        self.size += 1
        self.context += request.computed

    def leave(self, request: Request) -> None:
        """Take `request` out and write down what it has generated and computed."""
        self._growth[(request.joined - request.computed) % BLOCK_TOKENS] -= 1
        request.generated, request.computed = self.generated(request), self.computed(request)
        request.finish_iteration = -1
        self.size -= 1
        self.context -= request.computed

    def generated(self, request: Request) -> int:
        """Return how many tokens of the member `request` are done."""
        return request.generated + self._landed - request.joined

    def computed(self, request: Request) -> int:
        """Return how many tokens of the member `request` have KV blocks, those under way included."""
        return request.computed + self._launched - request.joined

    def launch(self, iterations: int) -> None:
        """Begin `iterations`."""
        self._launched += iterations
        self.context += self.size * iterations

    def land(self, iterations: int) -> list[Request]:
        """End `iterations`; return the members that have generated all they will, for the caller to take out."""
        self._landed += iterations
        ended: list[Request] = []
        while self._ends and self._ends[0][0] <= self._landed:
            iteration, _, request = heapq.heappop(self._ends)
            if request.finish_iteration == iteration:  # else it left before its end
                request.finish_iteration = -1
                ended.append(request)
        return ended

    def growth(self, iterations: int = 1) -> int:
        """Return the new blocks that the members need in the next `iterations`."""
        if iterations == 1:
            return self._growth[self._launched % BLOCK_TOKENS]
        rounds, rest = divmod(iterations, BLOCK_TOKENS)
        return rounds * self.size + sum(self._growth[(self._launched + i) % BLOCK_TOKENS] for i in range(rest))

    def stride(self, speed: Speed, seconds: float, blocks: int) -> int:
        """Return how many iterations (at least 1) pass in `seconds` before a member ends or lacks one of `blocks`."""
        while self._ends[0][2].finish_iteration != self._ends[0][0]:
            heapq.heappop(self._ends)  # left before its end

        def fits(iterations: int) -> bool:
            timely = speed.decode_run(iterations, self.size, self.context) <= seconds
            return timely and self.growth(iterations) <= blocks

        low, high = 1, self._ends[0][0] - self._launched
        if high == 1 or not fits(2):
            return 1
        if fits(high):
            return high
        while low < high:  # both time and blocks only grow with the iterations
            middle = (low + high + 1) // 2
            low, high = (middle, high) if fits(middle) else (low, middle - 1)
        return low
