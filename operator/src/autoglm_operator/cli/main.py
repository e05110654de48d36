"""`kubectl autoglm`: entry point and arguments."""

import argparse
import sys
from pathlib import Path

from autoglm_operator import __version__
from autoglm_operator.cli.explain import ExplainError, explain
from autoglm_operator.cli.render import RenderError, render


def main(arguments: list[str] | None = None) -> int:
    """Run the command that `arguments` name and return its exit status."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "render":
            sys.stdout.write(render(_read(options.file), options.file))
        else:
            sys.stdout.write(explain(options.name, options.namespace, options.context))
    except (RenderError, ExplainError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _read(file: str) -> str:
    if file == "-":
        return sys.stdin.read()
    try:
        return Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise RenderError(f"{file}: cannot be read: {error.strerror}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kubectl autoglm", description="Ask the AutoGLM operator.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("render", help="print the objects that an AutoGLMDeployment becomes; needs no cluster")
    one.add_argument("-f", "--file", required=True, help="YAML file with AutoGLMDeployments, or - for standard input")
    two = commands.add_parser("explain", help="say in sentences how a deployment is and why it has its replicas")
    two.add_argument("name", help="name of the AutoGLMDeployment")
    two.add_argument("-n", "--namespace", help="its namespace; that of the kubeconfig's context if left out")
    two.add_argument("--context", help="context of the kubeconfig")
    return parser


if __name__ == "__main__":
    sys.exit(main())
