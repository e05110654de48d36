"""Write the lock files: exact versions with hashes, for every registry.

`requirements.lock` at the root holds the development environment, and the one beside each Dockerfile what its image
installs. They are exports of uv's own lock, without the addresses it was made with.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: Package → folder of its Dockerfile, and the extras that its image carries.
IMAGES = {
    "autoglm-operator": ("operator", ()),
    "autoglm-agent": ("agents/gpu", ("otlp",)),
    "autoglm-bench": ("agents/bench", ()),
    "autoglm-fetch": ("agents/fetch", ()),
    "autoglm-simulator": ("simulator", ("otlp",)),
}
COMMON = ("export", "--quiet", "--format", "requirements.txt", "--no-emit-workspace", "--no-header", "--no-annotate")


def main() -> int:
    """Resolve and export."""
    uv = os.environ.get("UV", "uv")
    subprocess.run([uv, "lock", "--quiet"], cwd=ROOT, check=True)
    _export(uv, ROOT / "requirements.lock", "--group", "dev")
    for package, (folder, extras) in IMAGES.items():
        wanted = [word for extra in extras for word in ("--extra", extra)]
        _export(uv, ROOT / folder / "requirements.lock", "--package", package, "--no-dev", *wanted)
    return 0


def _export(uv: str, target: Path, *arguments: str) -> None:
    command = [uv, *COMMON, *arguments, "--output-file", str(target)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
