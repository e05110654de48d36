"""The command line."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from localcluster import cluster, images, prerequisites, toolchain
from localcluster.errors import LocalClusterError
from localcluster.paths import ClusterPaths
from localcluster.progress import note
from localcluster.spec import DEFAULT_NAME, Options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status."""
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except LocalClusterError as error:
        note(f"localcluster: {error}")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="localcluster", description="A real Kubernetes on one Linux machine, without Docker."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_up(commands)
    for name, run, text in (
        ("down", _down, "remove a cluster to the last trace"),
        ("status", _status, "say how a cluster is"),
        ("kubeconfig", _kubeconfig, "print the path of the administrator's kubeconfig"),
        ("logs", _logs, "print the log of a process, or the paths of all logs"),
    ):
        command = _add(commands, name, run, text)
        if name == "status":
            command.add_argument("-o", "--output", choices=["text", "json"], default="text")
        if name == "logs":
            command.add_argument("process", nargs="?", help="such as kubelet")
            command.add_argument("-f", "--follow", action="store_true", help="go on until interrupted")
            command.add_argument("--lines", type=int, default=100, help="how many; default %(default)s")
    _add_images(commands)
    build = commands.add_parser("build", help="build programs into the cache")
    build.add_argument("programs", nargs="*", metavar="PROGRAM", help="such as helm; all if left out")
    build.set_defaults(run=_build)
    tool = commands.add_parser("tool", help="print the path of a program, which is built if need be")
    tool.add_argument("program", help=", ".join(sorted(toolchain.PROGRAMS)))
    tool.set_defaults(run=_tool)
    return parser


def _add(commands: Any, name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    command.add_argument("--name", default=DEFAULT_NAME, help="name of the cluster; default %(default)s")
    command.set_defaults(run=run)
    return command


def _add_up(commands: Any) -> None:
    up = _add(commands, "up", _up, "bring a cluster up; one that runs is left alone")
    up.add_argument(
        "--node", choices=["kubelet", "none"], help="a real node or none; default: kubelet if it can run here"
    )
    up.add_argument("--kwok", type=int, default=0, metavar="N", help="fake nodes with 8 GPUs each; default none")
    up.add_argument("--gpus", type=int, default=8, metavar="N", help="fake GPUs of the real node; default %(default)s")
    up.add_argument("--audit", action=argparse.BooleanOptionalAction, default=True, help="write an audit log")
    for component in ("apiserver", "controller-manager"):
        text = f"another argument of kube-{component}, such as --{component}-arg=--v=2; may be repeated"
        up.add_argument(f"--{component}-arg", action="append", default=[], metavar="ARGUMENT", help=text)


def _add_images(commands: Any) -> None:
    group = commands.add_parser("images", help="build images and load them into a cluster")
    build = _add(
        group.add_subparsers(required=True, metavar="COMMAND"), "build", _images_build, "build an image, load it"
    )
    build.add_argument("--dockerfile", type=Path, required=True, help="must have ARG BASE_IMAGE; gets a local base")
    build.add_argument("--context", type=Path, required=True, help="folder that the Dockerfile copies from")
    build.add_argument("--tag", required=True, help="full name, such as localhost/autoglm/operator:dev")
    build.add_argument("--no-load", action="store_true", help="only build")


def _up(arguments: argparse.Namespace) -> int:
    options = Options(
        name=arguments.name,
        node=_with_node(arguments.node),
        gpus=arguments.gpus,
        kwok=arguments.kwok,
        audit=arguments.audit,
        apiserver_arguments=tuple(arguments.apiserver_arg),
        controller_manager_arguments=tuple(arguments.controller_manager_arg),
    )
    state = cluster.up(options)
    note(f"cluster {state.name} is up: {state.server}")
    note(f"  export KUBECONFIG={ClusterPaths.of(state.name).kubeconfig}")
    return 0


def _with_node(choice: str | None) -> bool:
    if choice == "none":
        return False
    reasons = prerequisites.lacking_for_node()
    if reasons and choice == "kubelet":
        raise LocalClusterError(f"no real node can run here: {'; '.join(reasons)}; `--node none` gives the API alone")
    if reasons:
        note(f"control plane only, since no real node can run here: {'; '.join(reasons)}")
    return not reasons


def _down(arguments: argparse.Namespace) -> int:
    if not cluster.down(arguments.name):
        note(f"there is no cluster {arguments.name}")
    return 0


def _status(arguments: argparse.Namespace) -> int:
    status = cluster.status(arguments.name)
    report = _report(status)
    if arguments.output == "json":
        _print(json.dumps(report, indent=2))
    elif status.state is None:
        _print(f"there is no cluster {arguments.name}")
    else:
        _print("\n".join(f"{key:13} {_shown(value)}" for key, value in report.items()))
    return 0 if status.running else 1


def _report(status: cluster.Status) -> dict[str, Any]:
    report: dict[str, Any] = {"name": status.name, "running": status.running}
    if status.state is None:
        return report
    paths = ClusterPaths.of(status.name)
    return {
        **report,
        "server": status.state.server,
        "kubeconfig": str(paths.kubeconfig),
        "audit_log": str(paths.audit_log) if status.state.options.audit else None,
        "logs": str(paths.logs),
        "host_address": status.state.host_address,
        "node": status.state.node_name if status.state.options.node else None,
        "pods": str(status.state.addresses.pods),
        "services": str(status.state.addresses.services),
        "processes": status.processes,
        "missing": status.missing,
    }


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} ({item})" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return {True: "yes", False: "no", None: "none"}.get(value, str(value))


def _kubeconfig(arguments: argparse.Namespace) -> int:
    path = ClusterPaths.of(arguments.name).kubeconfig
    if not path.exists():
        raise LocalClusterError(f"there is no cluster {arguments.name}; `localcluster up --name {arguments.name}`")
    _print(str(path))
    return 0


def _logs(arguments: argparse.Namespace) -> int:
    if arguments.process is None:
        logs = sorted(ClusterPaths.of(arguments.name).logs.glob("*.log"))
        _print("\n".join(map(str, logs)) if logs else f"there is no cluster {arguments.name}")
        return 0
    cluster.follow(arguments.name, arguments.process, lines=arguments.lines, forever=arguments.follow)
    return 0


def _images_build(arguments: argparse.Namespace) -> int:
    images.build(arguments.dockerfile.resolve(), arguments.context.resolve(), arguments.tag)
    if not arguments.no_load:
        images.load(arguments.tag, cluster.containerd_socket(arguments.name))
    return 0


def _build(arguments: argparse.Namespace) -> int:
    programs = arguments.programs or list(toolchain.PROGRAMS)
    for program in programs:
        toolchain.path(program)
    toolchain.ensure(programs)
    return 0


def _tool(arguments: argparse.Namespace) -> int:
    path = toolchain.path(arguments.program)
    toolchain.ensure([arguments.program])
    _print(str(path))
    return 0


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
