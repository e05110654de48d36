"""Reads how far a load test is, from the end of its log."""

import logging
from typing import Final

from autoglm_operator.api.benchmark_status import Progress
from autoglm_operator.kube import resources
from autoglm_operator.kube.client import Client
from autoglm_operator.kube.errors import KubeError
from autoglm_operator.observe.benchmark import BENCH_CONTAINER, Run, progress_in

logger = logging.getLogger(__name__)

_LINES: Final = 20
_BYTES: Final = 16 * 1024


class ProgressLogs:
    """Asks for the log of a run that is under way.

    Args:
        client: reads it; needs the right to get `pods/log`.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    async def read(self, namespace: str, run: Run) -> Progress | None:
        """Return the newest progress of a run; `None` if there is none yet, or it cannot be read."""
        if not run.running:
            return None
        path = f"{resources.path('v1', 'Pod', namespace, run.pod)}/log"
        try:
            text = await self._client.read_text(
                path, {"container": BENCH_CONTAINER, "tailLines": str(_LINES)}, most=_BYTES
            )
        except KubeError as error:
            logger.info("progress not read", extra={"namespace": namespace, "pod": run.pod, "error": str(error)})
            return None
        return progress_in(text)
