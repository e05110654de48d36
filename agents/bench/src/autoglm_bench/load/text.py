"""Text of a wanted length, made without a download. Pure."""

from random import Random
from typing import Final

# Short, frequent words: about one token each with the vocabularies in use.
_TEXT: Final = (
    "open the app and tap on search then scroll down to find a new phone with good price add it to my "
    "cart go back home check mail send note about time place day week work list call set turn off"
)
_WORDS: Final = tuple(_TEXT.split())


def text(tokens: int, key: str) -> str:
    """Return about `tokens` tokens of text, the same for the same key; other keys share no beginning.

    A word counts as one token. How many a tokenizer makes of it the engine tells in its usage numbers, which the
    results hold beside these.
    """
    return " ".join(Random(key).choices(_WORDS, k=tokens))
