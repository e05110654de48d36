"""The processes may do what they do, and nothing else."""

import pytest

from autoglm_operator.api import names
from autoglm_operator.api.signals import SIGNALS
from autoglm_operator.observe.benchmark_caches import CHILD_KINDS as BENCHMARK_KINDS
from autoglm_operator.observe.caches import CHILD_KINDS, OPTIONAL_KINDS

pytestmark = pytest.mark.chart

#: Anything here would let whoever takes over a process take over more.
FORBIDDEN_VERBS = {"*", "escalate", "bind", "impersonate", "deletecollection"}
FORBIDDEN_RESOURCES = {"*", "secrets", "pods/exec", "pods/attach", "nodes/proxy", "serviceaccounts/token"}
#: What has no namespace, and is done without in a release that is limited to some.
CLUSTER_WIDE = {
    "customresourcedefinitions",
    "subjectaccessreviews",
    "nodes",
    "deviceclasses",
    "resourceslices",
    "apiservices",
}
DRA_KINDS = ("deviceclasses", "resourceslices")
ACCOUNTS = ("operator", "autoscaler")

OURS = (names.DEPLOYMENT, names.BENCHMARK)


def _roles(objects):
    """Return the rules that each binding grants, as (subject, scope, rule); the scope is empty for the cluster."""
    roles = {
        (item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]): item["rules"]
        for item in objects
        if item["kind"] in {"Role", "ClusterRole"}
    }
    for item in objects:
        if item["kind"] not in {"RoleBinding", "ClusterRoleBinding"}:
            continue
        scope = item["metadata"].get("namespace", "")
        key = (item["roleRef"]["kind"], scope, item["roleRef"]["name"])
        if key == ("Role", "kube-system", "extension-apiserver-authentication-reader"):
            continue
        for subject in item["subjects"]:
            for rule in roles[key]:
                yield subject["name"], scope, rule


def _granted(objects, account):
    """Return what an account of the chart may do, as (scope, group, resource, verb)."""
    return {
        (scope, group, resource, verb)
        for subject, scope, rule in _roles(objects)
        if subject == f"autoglm-{account}"
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_no_role_holds_a_right_that_leads_to_more(objects):
    for subject, _, rule in _roles(objects):
        assert not FORBIDDEN_VERBS & set(rule["verbs"]), (subject, rule)
        assert not FORBIDDEN_RESOURCES & set(rule["resources"]), (subject, rule)
        assert not any("*" in item for item in (*rule["apiGroups"], *rule["resources"])), (subject, rule)
        assert "nonResourceURLs" not in rule, (subject, rule)


def test_no_account_is_bound_to_a_role_of_others(objects):
    bound = {
        item["roleRef"]["name"]
        for item in objects
        if item["kind"].endswith("RoleBinding")
        and item["roleRef"]["name"]
        not in {role["metadata"]["name"] for role in objects if role["kind"].endswith("Role")}
    }
    assert bound <= {"extension-apiserver-authentication-reader"}


def test_the_operator_may_write_exactly_what_it_applies(helm):
    writable = {
        (group, resource): {
            verb for _, g, r, verb in _granted(helm.objects(), "operator") if (g, r) == (group, resource)
        }
        for _, group, resource, verb in _granted(helm.objects(), "operator")
        if verb == "delete"
    }
    children = {
        (version.rpartition("/")[0], f"{kind.lower()}s".replace("policys", "policies"))
        for version, kind in (*CHILD_KINDS, *OPTIONAL_KINDS, *BENCHMARK_KINDS)
    }
    assert set(writable) == children
    assert all(verbs == {"get", "list", "watch", "create", "patch", "delete"} for verbs in writable.values())


def test_the_rest_of_the_operator_is_reading_and_reporting(helm):
    rest = {
        (scope, group, resource, verb)
        for scope, group, resource, verb in _granted(helm.objects(), "operator")
        if ("", group, resource, "delete") not in _granted(helm.objects(), "operator")
    }
    assert rest == {
        *(("", names.GROUP, kind.plural, verb) for kind in OURS for verb in ("get", "list", "watch")),
        *(("", names.GROUP, f"{kind.plural}/status", "patch") for kind in OURS),
        *(("", names.GROUP, f"{kind.plural}/finalizers", "update") for kind in OURS),
        *(("", "", "pods", verb) for verb in ("get", "list", "watch")),
        ("", "", "pods/log", "get"),
        *(("", "", "nodes", verb) for verb in ("list", "watch")),
        *(("", "resource.k8s.io", kind, verb) for kind in DRA_KINDS for verb in ("list", "watch")),
        *(("", "apiregistration.k8s.io", "apiservices", verb) for verb in ("list", "watch")),
        ("", "events.k8s.io", "events", "create"),
        *(("", "apiextensions.k8s.io", "customresourcedefinitions", verb) for verb in ("list", "watch")),
        *(("autoglm-system", "coordination.k8s.io", "leases", verb) for verb in ("create", "get", "update")),
    }


def test_reading_logs_can_be_turned_off(helm):
    rights = _granted(helm.objects("--set", "engineLogs.read=false"), "operator")
    assert not any(resource == "pods/log" for _, _, resource, _ in rights)


def test_the_autoscaler_writes_status_replicas_and_what_it_remembers_only(helm):
    assert _granted(helm.objects(), "autoscaler") == {
        *(("", names.GROUP, names.PLURAL, verb) for verb in ("get", "list", "watch")),
        ("", names.GROUP, f"{names.PLURAL}/status", "patch"),
        ("", names.GROUP, f"{names.PLURAL}/scale", "patch"),
        ("", "", "pods/status", "patch"),
        *(("", "", "resourcequotas", verb) for verb in ("get", "list", "watch")),
        *(("", "", "configmaps", verb) for verb in ("get", "create", "patch")),
        *(("", "", "pods", verb) for verb in ("get", "list", "watch")),
        ("", "authorization.k8s.io", "subjectaccessreviews", "create"),
        *(("autoglm-system", "coordination.k8s.io", "leases", verb) for verb in ("create", "get", "update")),
    }


def test_a_lease_right_is_for_the_own_lease(objects):
    for subject, _, rule in _roles(objects):
        if "leases" in rule["resources"] and rule["verbs"] != ["create"]:
            component = subject.rpartition("-")[2]
            assert rule["resourceNames"] == [f"autoglm-{component}"]


def test_limited_to_namespaces_nothing_but_the_review_is_for_the_cluster(helm, chart):
    rendered = helm.objects("--values", str(chart / "ci/namespaced-values.yaml"))
    wide = {(g, r, v) for account in ACCOUNTS for scope, g, r, v in _granted(rendered, account) if not scope}
    assert wide == {("authorization.k8s.io", "subjectaccessreviews", "create")}
    # The same rights as for the cluster, less those on what has no namespace, in each namespace.
    for account in ACCOUNTS:
        cluster = {(g, r, v) for scope, g, r, v in _granted(helm.objects(), account) if not scope}
        for namespace in ("team-a", "team-b"):
            here = {(g, r, v) for scope, g, r, v in _granted(rendered, account) if scope == namespace}
            assert cluster - here == {item for item in cluster if item[1] in CLUSTER_WIDE}
            assert here <= cluster


def test_limited_to_namespaces_without_the_metrics_api_the_cluster_is_not_touched(helm):
    limited = ("--set", "watchNamespaces={team-a},metricsAPI.enabled=false,crds.install=false")
    rendered = helm.objects(*limited)
    namespaces = {item["metadata"].get("namespace") for item in rendered}
    assert namespaces == {"autoglm-system", "team-a"}


def test_the_processes_learn_which_namespaces_they_may_see(helm, chart):
    rendered = helm.objects("--values", str(chart / "ci/namespaced-values.yaml"))
    for item in rendered:
        if item["kind"] == "Deployment":
            environment = item["spec"]["template"]["spec"]["containers"][0]["env"]
            assert {"name": "WATCH_NAMESPACES", "value": "team-a,team-b"} in environment


def test_users_get_what_their_role_says(helm):
    roles = {item["metadata"]["name"]: item for item in helm.objects() if item["kind"] == "ClusterRole"}
    view, edit = roles["autoglm-view"], roles["autoglm-edit"]
    assert view["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-view"] == "true"
    assert edit["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-edit"] == "true"
    assert {verb for rule in view["rules"] for verb in rule["verbs"]} == {"get", "list", "watch"}
    (metrics,) = [rule for rule in view["rules"] if rule["apiGroups"] == ["custom.metrics.k8s.io"]]
    # RBAC knows "*/name" and "*", but no "resource/*": each signal has to be named.
    assert metrics["resources"] == [f"{names.PLURAL}.{names.GROUP}/{signal.name}" for signal in SIGNALS]
    assert not any("status" in resource for rule in edit["rules"] for resource in rule["resources"])


def test_only_the_two_processes_get_a_token(helm):
    rendered = helm.objects()
    for item in rendered:
        if item["kind"] == "ServiceAccount":
            assert item["automountServiceAccountToken"] is False
        if item["kind"] == "Deployment":
            assert item["spec"]["template"]["spec"]["automountServiceAccountToken"] is True
