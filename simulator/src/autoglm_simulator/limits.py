"""What bounds a batch."""

from dataclasses import dataclass

from autoglm_simulator.profiles import BLOCK_TOKENS


def blocks_for(tokens: int) -> int:
    """Return the KV blocks that hold `tokens`."""
    return -(-tokens // BLOCK_TOKENS)


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds a batch.

    Attributes:
        max_num_seqs: Sequences that run at once.
        max_num_batched_tokens: Tokens that one iteration computes; at least `max_num_seqs`.
        kv_blocks: KV blocks.
        prefix_caching: Whether prompt blocks are kept for reuse.
    """

    max_num_seqs: int
    max_num_batched_tokens: int
    kv_blocks: int
    prefix_caching: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.max_num_seqs <= self.max_num_batched_tokens:
            raise ValueError(
                f"max_num_batched_tokens ({self.max_num_batched_tokens}) must be greater than or equal to "
                f"max_num_seqs ({self.max_num_seqs}), which must be at least 1."
            )
        if self.kv_blocks < 1:
            raise ValueError(f"kv_blocks is {self.kv_blocks}, expected at least 1: no memory is left for the KV cache.")
