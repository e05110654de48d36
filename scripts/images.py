"""Build the images from this checkout.

Without IMAGE_REGISTRY they are built without Docker and loaded into the local cluster (`localcluster`); with it they
are built by docker or podman and pushed there.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: image name → (package, folder of its Dockerfile)
IMAGES = {
    "operator": ("autoglm-operator", "operator"),
    "agent": ("autoglm-agent", "agents/gpu"),
    "simulator": ("autoglm-simulator", "simulator"),
    "bench": ("autoglm-bench", "agents/bench"),
    "fetch": ("autoglm-fetch", "agents/fetch"),
}
LOCAL_REGISTRY = "localhost/autoglm"
TAG = "dev"


def main(arguments: list[str]) -> int:
    """Build the images named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", nargs="*", choices=[[], *IMAGES], help="which; all if left out")
    parser.add_argument("--cluster", default="autoglm", help="local cluster to load them into")
    options = parser.parse_args(arguments)
    registry = os.environ.get("IMAGE_REGISTRY")
    for name in options.images or IMAGES:
        context = prepare(name)
        if registry:
            _build_and_push(context, f"{registry}/{name}:{TAG}")
        else:
            _build_locally(context, f"{LOCAL_REGISTRY}/{name}:{TAG}", options.cluster)
    return 0


def prepare(name: str) -> Path:
    """Make the build context of one image: Dockerfile, hashed requirements, and our wheel."""
    package, folder = IMAGES[name]
    context = ROOT / ".local/images" / name
    shutil.rmtree(context, ignore_errors=True)
    context.mkdir(parents=True)
    shutil.copy(ROOT / folder / "Dockerfile", context)
    shutil.copy(ROOT / folder / "requirements.lock", context / "requirements.txt")
    uv = shutil.which("uv") or str(ROOT / ".local/uv/bin/uv")
    _run(uv, "build", "--quiet", "--package", package, "--wheel", "--out-dir", str(context))
    (context / ".gitignore").unlink(missing_ok=True)
    return context


def _build_locally(context: Path, tag: str, cluster: str) -> None:
    tool = str(ROOT / ".venv/bin/localcluster")
    dockerfile = str(context / "Dockerfile")
    where = ("--dockerfile", dockerfile, "--context", str(context))
    _run(tool, "images", "build", *where, "--tag", tag, "--name", cluster)


def _build_and_push(context: Path, tag: str) -> None:
    builder = shutil.which("docker") or shutil.which("podman")
    if builder is None:
        raise SystemExit("IMAGE_REGISTRY is set, but there is neither docker nor podman to build and push with")
    _run(builder, "build", "--tag", tag, str(context))
    _run(builder, "push", tag)


def _run(*command: str) -> None:
    subprocess.run(command, cwd=ROOT, check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
