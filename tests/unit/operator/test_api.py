"""Names, durations, rules across fields, and the schema that is made of them."""

import re

import pytest

from autoglm_operator.api import names
from autoglm_operator.api.crd import custom_resource_definition
from autoglm_operator.api.kinds import DEPLOYMENT, KINDS
from autoglm_operator.api.signals import SIGNALS
from autoglm_operator.api.types import DURATION_PATTERN, seconds
from autoglm_operator.api.v1alpha1 import Spec
from autoglm_operator.api.validation import violations


@pytest.mark.parametrize(("text", "value"), [("60ms", 0.06), ("1s", 1), ("2s", 2), ("5m", 300), ("1h", 3600)])
def test_seconds(text, value):
    assert seconds(text) == pytest.approx(value)
    assert re.match(DURATION_PATTERN, text)


@pytest.mark.parametrize("text", ["", "0s", "-1s", "1.5s", "5", "m", "5 m", "5M", "1h30m", "5m\n", "\u0665m", "1e3s"])
def test_what_is_no_duration_is_named(text):
    with pytest.raises(ValueError, match="60ms, 2s, 5m") as caught:
        seconds(text)
    assert repr(text) in str(caught.value)


def test_selectors():
    assert names.selector_string({"b": "2", "a": "1"}) == "a=1,b=2"
    assert (
        names.pod_selector("phone").items()
        <= {
            "app.kubernetes.io/managed-by": "autoglm-operator",
            "autoglm.io/deployment": "phone",
        }.items()
    )


def test_names_of_pods_fit():
    # Deployment, then a ReplicaSet's hash and a pod's suffix; a label value and a host name take 63.
    assert names.MAX_NAME_LENGTH + len("-5d4f8c7b9d-x2x7z") <= 63


def test_signals_are_named_once():
    assert len({signal.name for signal in SIGNALS}) == len(SIGNALS)
    assert all(signal.name.startswith("autoglm_") and signal.meaning.endswith(".") for signal in SIGNALS)


# The rules themselves, CEL and Python side by side, are tested on a real API server in tests/api.
def test_a_violation_names_the_field(deployment_document):
    document = deployment_document(autoscaling={"minReplicas": 5, "maxReplicas": 2})
    document["spec"] = Spec.model_validate(document["spec"]).model_dump(by_alias=True, exclude_none=True, mode="json")
    assert violations(document) == [
        "spec.autoscaling.minReplicas: minReplicas must be at most maxReplicas: lower minReplicas or raise maxReplicas"
    ]
    document["metadata"]["name"] = "x" * 41
    assert violations(document)[0].startswith("metadata.name: metadata.name may have at most 40 characters")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.names.kind)
def test_rules_say_what_to_write(kind):
    for rule in kind.rules:
        assert rule.message
        assert len(rule.message) <= 2048
        assert not rule.message.endswith(".")


CRD = custom_resource_definition()
VERSION = CRD["spec"]["versions"][0]
ROOT = VERSION["schema"]["openAPIV3Schema"]


def nodes(schema, path=""):
    yield path, schema
    for key, value in schema.get("properties", {}).items():
        yield from nodes(value, f"{path}.{key}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")


def fields(kind):
    root = custom_resource_definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return {path: node for path, node in nodes(root) if path.startswith((".spec", ".status"))}


FIELDS = fields(DEPLOYMENT)
ALL_FIELDS = {f"{kind.names.short}{path}": node for kind in KINDS for path, node in fields(kind).items()}


def test_fields_are_there():
    assert {".spec.model.source.huggingFace", ".spec.autoscaling.signals.latencyP99.target"} <= set(FIELDS)
    assert {".status.autoscaling.decision.from", ".status.conditions[].lastTransitionTime"} <= set(FIELDS)


@pytest.mark.parametrize("path", ALL_FIELDS)
def test_lint(path):
    node = ALL_FIELDS[path]
    kind = node.get("type")
    assert kind in {"object", "array", "string", "integer", "number", "boolean"}, "structural: every node has a type"
    assert not {"$ref", "anyOf", "oneOf", "allOf", "title", "$defs"} & set(node)
    if kind == "string":
        assert "maxLength" in node or "enum" in node or node.get("format") == "date-time"
        assert not node.get("pattern") or re.compile(node["pattern"])
        assert not node.get("pattern") or (node["pattern"][0], node["pattern"][-1]) == ("^", "$")
    if kind == "array":
        assert "maxItems" in node
        assert "items" in node
    if kind in {"integer", "number"} and not path.endswith(".status.observedGeneration"):
        assert "minimum" in node
    if kind == "object":
        values = node.get("additionalProperties")
        free = path == "agd.spec.scheduling.affinity" and node["x-kubernetes-preserve-unknown-fields"]
        assert node.get("properties") or free or ("maxProperties" in node and "maxLength" in values), (
            "no free-form maps"
        )
    for key in node.get("required", ()):
        assert key in node["properties"]
        assert "default" not in node["properties"][key]
    assert node.get("default", ...) is not None


@pytest.mark.parametrize("path", [path for path in ALL_FIELDS if ".spec." in path])
def test_every_field_a_user_writes_is_described(path):
    assert ALL_FIELDS[path].get("description") or "enum" in ALL_FIELDS[path], path


def test_field_names_are_camel_case_and_no_phase():
    for path in ALL_FIELDS:
        last = path.rsplit(".", 1)[-1].removesuffix("[]")
        assert re.fullmatch("[a-z][A-Za-z0-9]*", last), path
        assert last != "phase"


def test_subresources_and_columns_point_at_fields():
    scale = VERSION["subresources"]["scale"]
    for path in scale.values():
        assert path in FIELDS
    assert VERSION["subresources"]["status"] == {}
    for kind in KINDS:
        for column in kind.columns:
            plain = re.sub(r"\[\?\([^)]*\)\]", "[]", column["jsonPath"])
            assert plain in fields(kind) or plain == ".metadata.creationTimestamp", column
    assert [column["name"] for column in DEPLOYMENT.columns if not column.get("priority")] == [
        "Ready",
        "Replicas",
        "Desired",
        "Model",
        "Engine",
        "GPU",
        "P99 TTFT",
        "Age",
    ]


def test_conditions_merge_by_type():
    conditions = FIELDS[".status.conditions"]
    assert conditions["x-kubernetes-list-type"] == "map"
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.names.kind)
def test_every_rule_is_in_the_schema(kind):
    root = custom_resource_definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    placed = [rule["rule"] for _, node in nodes(root) for rule in node.get("x-kubernetes-validations", ())]
    assert sorted(placed) == sorted(rule.cel for rule in kind.rules)


def test_names_of_the_kind():
    assert CRD["metadata"]["name"] == "autoglmdeployments.autoglm.io"
    assert CRD["spec"]["names"]["shortNames"] == ["agd"]
    assert CRD["spec"]["scope"] == "Namespaced"


def without_empty_lists(value):
    if isinstance(value, dict):
        return {key: without_empty_lists(item) for key, item in value.items() if item != []}
    return value


def test_defaults_in_the_schema_are_those_of_the_model():
    def filled(schema):
        if "default" in schema:
            return schema["default"]
        return {key: filled(value) for key, value in schema.get("properties", {}).items() if "default" in value}

    spec = Spec.model_validate({"model": {"source": {"huggingFace": "a/b"}}})
    expected = without_empty_lists(spec.model_dump(by_alias=True, exclude_none=True, mode="json", exclude={"model"}))
    assert filled(ROOT["properties"]["spec"]) == expected
