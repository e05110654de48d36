"""`python -m autoglm_operator operator|autoscaler`: one of the two processes of the operator image."""

import asyncio
import logging
import os
import sys

from autoglm_operator.settings import Settings
from autoglm_operator.telemetry import setup_logging

logger = logging.getLogger("autoglm_operator")


def main(arguments: list[str]) -> int:
    """Run the process that `arguments` name and return its exit status."""
    if arguments not in (["operator"], ["autoscaler"]):
        sys.stderr.write("usage: python -m autoglm_operator operator|autoscaler\n")
        return 2
    try:
        settings = Settings.from_environ(os.environ)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    setup_logging(settings.log_level)
    # Imported here: each process loads its own half, and the autoscaler has no use for kopf.
    if arguments == ["operator"]:
        return _run_operator(settings)
    from autoglm_operator.autoscaler.main import run_autoscaler  # noqa: PLC0415

    asyncio.run(run_autoscaler(settings))
    return 0


def _run_operator(settings: Settings) -> int:
    from autoglm_operator.kube.lease import LeadershipLost  # noqa: PLC0415
    from autoglm_operator.operator_process import Stopped, run_operator  # noqa: PLC0415

    status = 0
    try:
        asyncio.run(run_operator(settings))
    except* Stopped:
        logger.info("stopped")
    except* LeadershipLost as group:
        logger.error("leadership lost", extra={"error": str(group.exceptions[0])})  # noqa: TRY400  # no trace needed
        status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
