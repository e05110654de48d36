"""What all clusters of a machine share: kernel settings, mount points, and the choice of networks.

The first node notes how things were, and the last one puts them back. The note is in /run because it is about this
machine since its last start, whoever keeps the clusters' state where.
"""

import contextlib
import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path

from localcluster import network
from localcluster.locks import locked

_HOME = Path("/run/localcluster")


@dataclass
class Note:
    """How things were, and for whose sake they were changed."""

    #: state folder of each cluster that has a node
    clusters: list[str] = field(default_factory=list)
    #: mount points that were made
    folders: list[str] = field(default_factory=list)
    #: kernel setting → value before
    sysctls: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, home: Path) -> "Note":
        """Read the note; an empty one where there is none."""
        path = home / "host.json"
        return cls(**json.loads(path.read_text())) if path.exists() else cls()

    def write(self, home: Path) -> None:
        """Write the note."""
        (home / "host.json").write_text(json.dumps(dataclasses.asdict(self), indent=2))


def exclusive(home: Path = _HOME) -> contextlib.AbstractContextManager[None]:
    """Keep others from choosing a network or changing the note meanwhile."""
    return locked(home / "lock")


def prepare(cluster: Path, folders: tuple[str, ...], home: Path = _HOME) -> None:
    """Note what a node is going to change, and then change it; call it under the lock.

    Args:
        cluster: state folder of the cluster.
        folders: mount points that its node needs.
        home: where the note is.
    """
    note = Note.read(home)
    note.clusters = sorted({*note.clusters, str(cluster)})
    note.folders += [folder for folder in folders if not Path(folder).exists()]
    note.sysctls = {**network.read_sysctls(), **note.sysctls}
    note.write(home)
    for folder in folders:
        Path(folder).mkdir(parents=True, exist_ok=True)
    network.write_sysctls({network.FORWARDING: "1"})


def restore(cluster: Path, home: Path = _HOME) -> None:
    """Take a cluster off the note, and after the last one put everything back; call it under the lock."""
    note = Note.read(home)
    note.clusters = [other for other in note.clusters if other != str(cluster)]
    if note.clusters:
        note.write(home)
        return
    network.write_sysctls(note.sysctls)
    for folder in note.folders:
        # Somebody may have put something there since.
        with contextlib.suppress(OSError):
            Path(folder).rmdir()
    for file in ("host.json", "lock"):
        (home / file).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        home.rmdir()
