import pytest

from autoglm_operator.api.signals import SIGNALS
from autoglm_operator.autoscaler.metrics_api import documents
from autoglm_operator.autoscaler.metrics_api.published import Value


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (2.0, "2"), (1.5, "1500m"), (0.0414, "41m"), (0.0004, "0"), (0.9999, "1"), (123456.789, "123456789m")],
)
def test_quantities(value, text):
    assert documents.quantity(value) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_no_quantity(value):
    with pytest.raises(ValueError, match="expected a finite number"):
        documents.quantity(value)


@pytest.mark.parametrize("version", documents.VERSIONS)
def test_discovery_lists_every_signal(version):
    found = documents.resources(version)
    assert [item["name"] for item in found["resources"]] == [
        f"autoglmdeployments.autoglm.io/{signal.name}" for signal in SIGNALS
    ]
    assert all(item["namespaced"] and item["verbs"] == ["get"] for item in found["resources"])


def test_both_versions_say_the_same_in_their_own_form():
    value = Value("prod", "phone", 1.5, 1_700_000_000.9)
    common = {
        "describedObject": {
            "kind": "AutoGLMDeployment",
            "namespace": "prod",
            "name": "phone",
            "apiVersion": "autoglm.io/v1alpha1",
        },
        "timestamp": "2023-11-14T22:13:20Z",
        "value": "1500m",
    }
    new, old = (documents.values(version, "m", [value])["items"] for version in documents.VERSIONS)
    assert new == [{**common, "metric": {"name": "m", "selector": None}, "windowSeconds": 60}]
    assert old == [{**common, "metricName": "m", "selector": None, "window": 60}]
