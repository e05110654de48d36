"""Builds images without Docker and without a network inside the build, and loads them into a cluster.

The base is made with mmdebstrap. What a Dockerfile installs with pip is fetched before, by the host's pip with the
host's settings, and is lent to the build as a folder of wheels: the base's pip looks there and nowhere else.
"""

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from localcluster import archive, prerequisites
from localcluster.commands import run, succeeds
from localcluster.errors import LocalClusterError
from localcluster.locks import locked
from localcluster.paths import cache_home
from localcluster.progress import step

_SUITE = "bookworm"
_PACKAGES = ("python3", "python3-pip", "python3-venv", "ca-certificates")
_PYTHON_OF_BASE = "3.11"
_GLIBC_OF_BASE = 36
_WHEELHOUSE = "/wheelhouse"
_BASE_DOCKERFILE = f"""FROM scratch
ADD base.tar /
RUN mkdir {_WHEELHOUSE} && printf '[global]\\nno-index = true\\nfind-links = {_WHEELHOUSE}\\n' > /etc/pip.conf
"""
_QUALIFIED = re.compile(r"[a-z0-9.-]+(:\d+)?/[a-z0-9._/-]+:[\w.-]+")


def build(dockerfile: Path, context: Path, tag: str) -> None:
    """Build an image; layers whose instructions and files are unchanged come from the cache.

    Args:
        dockerfile: has `ARG BASE_IMAGE`, which gets the local base.
        context: folder that it copies from; its requirements*.txt say which wheels it needs.
        tag: full name of the image.

    Raises:
        LocalClusterError: the name is not a full one, this is not root, or the build failed.
    """
    if not _QUALIFIED.fullmatch(tag):
        raise LocalClusterError(f"image name {tag!r} is not complete: expected REGISTRY/NAME:TAG")
    if not prerequisites.is_root():
        raise LocalClusterError("images are built by root only: the build runs in a chroot")
    prerequisites.install(prerequisites.IMAGE_PACKAGES)
    with _storage():
        base = _base()
        wheels = _wheelhouse(sorted(context.glob("requirements*.txt")))
        with step(f"build {tag}"):
            mounted = f"{wheels}:{_WHEELHOUSE}:ro"
            what = ("--build-arg", f"BASE_IMAGE={base}", "--volume", mounted, "--file", str(dockerfile), "--tag", tag)
            _buildah("build", "--isolation", "chroot", "--layers", *what, str(context))


def load(tag: str, socket: Path) -> None:
    """Load a built image into the containerd behind a socket."""
    with _storage(), step(f"load {tag}"), tempfile.TemporaryDirectory(dir=_home()) as folder:
        whole, part = Path(folder, "whole.tar"), Path(folder, "part.tar")
        _buildah("push", "--quiet", tag, f"docker-archive:{whole}:{tag}")
        client = ("ctr", "--address", str(socket), "-n", "k8s.io")
        archive.without_present_layers(whole, part, tag, set(run(*client, "content", "ls", "-q").split()))
        run(*client, "images", "import", str(part))


def _home() -> Path:
    return cache_home() / "images"


@contextmanager
def _storage() -> Iterator[None]:
    """Use buildah's storage alone, and leave none of its mounts behind."""
    with locked(_home() / "lock"):
        try:
            yield
        finally:
            store = _home() / "storage/overlay"
            if store.is_mount():
                run("umount", str(store))


def _buildah(*arguments: str) -> str:
    home = _home()
    storage = ("--root", str(home / "storage"), "--runroot", str(home / "run"), "--storage-driver", "overlay")
    return run("buildah", *storage, *arguments, cwd=home)


def _base() -> str:
    """Return the name of the local base image, which is made once."""
    key = hashlib.sha256("\n".join([_SUITE, *_PACKAGES, _BASE_DOCKERFILE]).encode()).hexdigest()[:12]
    tag = f"localhost/localcluster/base:{key}"
    if json.loads(_buildah("images", "--json", "--filter", f"reference={tag}") or "[]"):
        return tag
    text = f"make the base image: Debian {_SUITE} with Python {_PYTHON_OF_BASE}, once"
    with step(text), tempfile.TemporaryDirectory(dir=_home()) as folder:
        target = f"{folder}/base.tar"
        run("mmdebstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}", _SUITE, target)
        Path(folder, "Dockerfile").write_text(_BASE_DOCKERFILE)
        _buildah("build", "--isolation", "chroot", "--tag", tag, folder)
    return tag


def _wheelhouse(requirements: list[Path]) -> Path:
    """Return a folder with the wheels that requirements name, for the Python of the base."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in requirements)).hexdigest()[:12]
    folder = _home() / "wheels" / digest
    if folder.exists():
        return folder
    unfinished = folder.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    for path in requirements:
        with step(f"fetch the wheels of {path.parent.name}"):
            run(*download_command(_pip(), path, unfinished))
    return unfinished.rename(folder)


def download_command(pip: list[str], requirements: Path, folder: Path) -> list[str]:
    """Return the command that fetches wheels which run on the base, whatever this machine's own Python is."""
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in range(_GLIBC_OF_BASE, 4, -1)]
    platforms += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64"]
    target = ["--only-binary=:all:", "--python-version", _PYTHON_OF_BASE, "--implementation", "cp"]
    target += [f"--platform={platform}" for platform in platforms]
    return [
        *pip,
        "download",
        "--quiet",
        "--no-deps",
        *target,
        "--requirement",
        str(requirements),
        "--dest",
        str(folder),
    ]


def _pip() -> list[str]:
    for python in ("python3", "/usr/bin/python3"):
        if succeeds(python, "-m", "pip", "--version"):
            return [python, "-m", "pip"]
    raise LocalClusterError("pip is not installed: apt-get install python3-pip")
