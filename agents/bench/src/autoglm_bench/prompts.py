"""Prompts of a wanted length, a different one for each request."""

from random import Random
from typing import Final

# Short, frequent words: one token each with the vocabularies in use.
_WORDS: Final = (
    "open the app and tap on search then scroll down to find a new phone with good price add it "
    "to my cart go back home check mail send note about time place day week work list call set turn off"
)


def prompt(tokens: int, seed: int, number: int) -> str:
    """Return about `tokens` tokens of text, the same for the same seed and number.

    No two requests share a prefix, so that an engine's prefix cache does not flatter the figures.
    """
    return " ".join(Random(f"{seed}/{number}").choices(_WORDS.split(), k=max(1, tokens)))
