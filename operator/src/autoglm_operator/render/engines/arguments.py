"""A command line as it is put together: each word is one that the release takes."""

from collections.abc import Sequence

from autoglm_operator.decide.reasons import Reason
from autoglm_operator.errors import Terminal
from autoglm_operator.render.engines.common import Expanded, literal
from autoglm_operator.render.engines.release import Release, releases, releases_with

Value = str | int | float | bool | Sequence[str] | None


class Arguments:
    """The flags of one process, in the order they were added.

    Attributes:
        names: the flags so far.
    """

    def __init__(self, release: Release) -> None:
        self._release = release
        self._words: list[str] = []
        self.names: set[str] = set()

    @property
    def words(self) -> tuple[str, ...]:
        """Return the command line, one item for each word."""
        return tuple(self._words)

    def wish(self, name: str, value: Value = True) -> None:
        """Add a flag of the operator's own, if the release has it."""
        if name in self._release.flags:
            self.need("", name, value)

    def need(self, field: str, name: str, value: Value) -> None:
        """Add the flag that carries a field of the spec.

        Args:
            field: path below `spec`, for the refusal.
            name: of the flag.
            value: `None` leaves the flag out; `True` writes it alone and `False` its negation; a list is many.

        Raises:
            Terminal: the release has no such flag, or not that value of it.
        """
        if value is None:
            return
        flag = self._release.flags.get(name)
        if flag is None:
            raise unsupported(self._release, field, value, name)
        values = [str(item) for item in value] if isinstance(value, Sequence) and not isinstance(value, str) else []
        if isinstance(value, bool):
            word = name if value else flag.negation
            if word is None:
                raise unsupported(self._release, field, value, name)
            self._words.append(word)
        else:
            values = values or [str(value)]
            if flag.choices and not set(values) <= set(flag.choices):
                raise unsupported(self._release, field, value, name, choices=flag.choices)
            self._words += [name, *(values if isinstance(value, Expanded) else map(literal, values))]
        self.names.add(flag.name)

    def add_checked(self, words: Sequence[str]) -> None:
        """Add words of the user that were checked against the release."""
        self._words += map(literal, words)


def unsupported(
    release: Release, field: str, value: Value, name: str, *, choices: tuple[str, ...] = (), since: str | None = None
) -> Terminal:
    """Return the refusal of a field that the release cannot express.

    Args:
        release: the engine version.
        field: path below `spec`.
        value: what it is.
        name: the flag that would carry it.
        choices: what the flag takes, if the flag is there but not with this value.
        since: first release that can, where the tables cannot tell.
    """
    known = releases(release.engine)
    able = [since] if since else releases_with(release.engine, name, str(value) if choices else None)
    if not able:
        cure = f"no release from {known[0]} to {known[-1]} can: remove it"
    elif release.since(able[0]):
        cure = f"the last release that can is {able[-1]}: set spec.engine.version to it, or remove the field"
    else:
        cure = f"the first release that can is {able[0]}: set spec.engine.version to it, or remove the field"
    takes = f" ({name} takes {', '.join(choices)})" if choices else ""
    return Terminal(
        Reason.UNSUPPORTED_BY_ENGINE, f"spec.{field}: {shown(value)}: {release} cannot express it{takes}; {cure}"
    )


def shown(value: Value) -> str:
    """Return a value as a user writes it in YAML."""
    return str(value).lower() if isinstance(value, bool) else str(value)
