"""Parts of the expressions of alerts."""

from autoglm_dashboards.promql import Metric, aggregate, select

#: What names a deployment in every alert about one.
BY: tuple[str, ...] = ("namespace", "name")


def matchers(**labels: str) -> str:
    """Return label matchers for equality."""
    return ", ".join(f'{name}="{value}"' for name, value in labels.items())


def one(metric: Metric, /, **labels: str) -> str:
    """Return a gauge about deployments as one series for each, though several replicas of a process publish it."""
    return aggregate("max", select(metric, matchers(**labels)), BY)


def by_pod(operator: str, expression: str, *labels: str) -> str:
    """Return series of engines or agents with the name of their deployment in the label `name`, and their pod."""
    return aggregate(operator, named(expression), (*BY, "pod", *labels))


def by_deployment(operator: str, expression: str) -> str:
    """Return series of engines or agents aggregated for each deployment."""
    return aggregate(operator, named(expression), BY)


def named(expression: str) -> str:
    """Return series of pods with their deployment in the label `name`, as it is in every other series."""
    return f'label_join({expression}, "name", "", "autoglm_io_deployment")'


def on(expression: str) -> str:
    """Return the right side of an operator that compares deployments."""
    return f"on (namespace, name) {expression}"


def before_now(record: str, offset: str, within: str = "2m") -> str:
    """Return what a recorded series was before: the last value in the time `within` that ends then.

    Written so that the expression of the record can stand in its place, as a subquery.
    """
    return f"last_over_time({record}[{within}] offset {offset})"
