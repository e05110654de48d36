"""Every query of every dashboard, with what has to be there for it to have data."""

from typing import Final, NamedTuple

from autoglm_dashboards import cli, foreign

#: What a query needs, by what the names of its metrics begin with.
_NEEDS: Final = {
    "DCGM_": "gpu",
    "autoglm_gpu_": "gpu",
    "autoglm_operator_benchmark_": "benchmark",
    "kube_": "kube-state-metrics",
}


class PanelQuery(NamedTuple):
    """One query of a panel, or of an annotation or variable.

    Attributes:
        dashboard: name of its file, without ending.
        panel: title of the panel.
        expression: PromQL with Grafana's variables.
        needs: "" or what has to be there: gpu, kube-state-metrics, sglang, benchmark.
    """

    dashboard: str
    panel: str
    expression: str
    needs: str


def all_queries() -> list[PanelQuery]:
    """Return the queries of the panels, those in folded rows too."""
    return [
        PanelQuery(name.removesuffix(".json"), panel["title"], target["expr"], needs(target["expr"]))
        for name, board in cli.dashboards().items()
        for row in board["panels"]
        for panel in (row, *row.get("panels", ()))
        for target in panel.get("targets", ())
    ]


def needs(expression: str) -> str:
    """Return what has to be there for a query to have data; "" for what the demo always has."""
    for prefix, need in _NEEDS.items():
        if prefix in expression:
            return need
    only_sglang = "sglang:" in expression and not any(metric.name in expression for metric in foreign.VLLM)
    return "sglang" if only_sglang else ""
