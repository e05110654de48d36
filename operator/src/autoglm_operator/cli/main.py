"""`kubectl autoglm`: entry point and arguments."""

import argparse
import sys
from pathlib import Path

from autoglm_operator import __version__
from autoglm_operator.cli.explain import Asked, ExplainError, explain
from autoglm_operator.cli.fit import UNKNOWN, FitError, fit
from autoglm_operator.cli.render import RenderError, render
from autoglm_operator.cli.replay_arguments import add_arguments


def main(arguments: list[str] | None = None) -> int:
    """Run the command that `arguments` name and return its exit status."""
    options = _parser().parse_args(arguments)
    if options.command == "replay":
        return _replay(options)
    try:
        if options.command == "render":
            sys.stdout.write(render(_read(options.file), options.file))
        elif options.command == "fit":
            report = fit(
                _read(options.file), options.file, config=options.config, gpu=options.gpu, output=options.output
            )
            sys.stdout.write(report.text)
            return report.status
        else:
            asked = Asked(options.decisions, options.decision, options.output == "json")
            sys.stdout.write(explain(options.name, options.namespace, options.context, asked))
    except (RenderError, ExplainError, FitError) as error:
        sys.stderr.write(f"{error}\n")
        return UNKNOWN if options.command == "fit" else 1
    return 0


def _replay(options: argparse.Namespace) -> int:
    try:
        # Only this command needs the simulator and numpy.
        from autoglm_operator.cli.replay import ReplayError, run  # noqa: PLC0415
    except ImportError as error:
        sys.stderr.write(f"replay: {error}: install autoglm-operator[cli]\n")
        return 1
    try:
        sys.stdout.write(run(options))
    except ReplayError as error:
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


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected 1 or more")
    return count


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
    two.add_argument(
        "--decisions", nargs="?", type=_count, const=10, metavar="N", help="list the last decisions instead: 10, or N"
    )
    two.add_argument(
        "--decision", default="", metavar="TIME|#", help="tell of one decision, by its time or its number in that list"
    )
    two.add_argument("-o", "--output", choices=("text", "json"), default="text", help="how to print it")
    three = commands.add_parser("fit", help="say whether the model fits its GPUs, and what would; needs no cluster")
    three.add_argument("-f", "--file", required=True, help="YAML file with AutoGLMDeployments, or - for standard input")
    three.add_argument("--config", help="the model's config.json, if it is not among the known models")
    three.add_argument("--gpu", help="GPU product, such as NVIDIA-L40S, instead of the one of the file")
    three.add_argument("-o", "--output", choices=("text", "json"), default="text", help="how to print it")
    four = commands.add_parser("replay", help="replay recorded traffic under a scaling policy; needs no cluster")
    add_arguments(four)
    return parser


if __name__ == "__main__":
    sys.exit(main())
