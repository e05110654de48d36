"""Arguments of `kubectl autoglm replay`, apart from it: the simulator and numpy are imported only where they work."""

import argparse
from pathlib import Path
from typing import Final

OURS: Final = "autoglm"
"""Name of our own law among the policies."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--trace", required=True, type=Path, help="Azure CSV, Mooncake JSON lines or rates in CSV")
    parser.add_argument("--policy", default=OURS, help=f"{OURS} (the default) or a peer; a wrong name lists them")
    parser.add_argument("--target", help="target of a peer; its vendor's default if left out")
    parser.add_argument("--cold-start", default="240", help="seconds to a ready replica, or its stages: 30,120,90")
    parser.add_argument("--ttft", type=float, default=2.0, help="objective in seconds; default 2")
    parser.add_argument("--itl", type=float, default=0.06, help="objective in seconds; default 0.06")
    parser.add_argument("--mean-rps", type=float, help="scale the trace to this mean; its own if left out")
    parser.add_argument("--days", help="count from A to B days after the start of the trace, as A:B; all if left out")
    parser.add_argument("--tokens", help="prompt and output tokens of a trace of rates, as IN:OUT; default 1000:250")
    parser.add_argument("--fidelity", default="fluid", choices=("request", "fluid"), help="default fluid")
    parser.add_argument("--seed", type=int, default=0, help="of arrivals and start times; default 0")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table", help="how to print it")
