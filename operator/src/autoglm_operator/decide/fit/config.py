"""Reading numbers out of a file that anybody may have written: pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

#: Larger numbers are no model's; arithmetic on them would only take time.
_MOST: Final = 1 << 40


class ConfigError(Exception):
    """The `config.json` does not say what its model needs; the message names the key."""


@dataclass(frozen=True, slots=True)
class Reader:
    """The keys of a `config.json`, or of a part of it."""

    values: Mapping[str, Any]

    def number(self, key: str, default: int | None = None, *, least: int = 1) -> int:
        """Return the whole number of `key`.

        Args:
            key: of the number.
            default: for a missing key or `null`; without one it must be there.
            least: that is taken.

        Raises:
            ConfigError: it is missing, no whole number, or beyond what any model has.
        """
        value = self.values.get(key)
        if value is None:
            if default is None:
                raise ConfigError(f"{key} is missing")
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MOST:
            raise ConfigError(f"{key} is {str(value)[:40]}, expected a whole number of at least {least}")
        return value

    def word(self, *keys: str) -> str:
        """Return the first of `keys` that is a string; empty if none is."""
        return next((value for key in keys if isinstance(value := self.values.get(key), str)), "")
