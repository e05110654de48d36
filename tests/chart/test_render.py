"""The chart renders, for each example of values, what the promises of its README need."""

import base64
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from cryptography import x509

pytestmark = pytest.mark.chart

PROCESSES = ("operator", "autoscaler")


def of_kind(objects, kind):
    return {item["metadata"]["name"]: item for item in objects if item["kind"] == kind}


def test_lint_finds_nothing(helm, flavour):
    values = [argument for argument in flavour if argument.endswith("-values.yaml") or argument == "--values"]
    result = helm.run("lint", "--strict", str(helm.chart), *values)
    assert "0 chart(s) failed" in result.stdout


def test_every_example_of_values_is_rendered_by_these_tests(chart):
    assert {path.name for path in (chart / "ci").iterdir()} == {
        f"{name}-values.yaml" for name in ("minimal", "namespaced", "everything", "grafana-alerts")
    }


def test_no_two_objects_are_the_same(objects):
    keys = [(item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]) for item in objects]
    assert len(set(keys)) == len(keys)


def test_every_object_of_ours_carries_the_recommended_labels(objects):
    for item in objects:
        if item["kind"] == "CustomResourceDefinition":
            continue
        labels = item["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "autoglm-operator"
        assert labels["app.kubernetes.io/instance"] == "autoglm"
        assert labels["app.kubernetes.io/managed-by"] == "Helm"


def test_every_namespaced_object_names_its_namespace(objects):
    cluster_wide = {"CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding", "APIService"}
    cluster_wide |= {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
    for item in objects:
        assert ("namespace" in item["metadata"]) == (item["kind"] not in cluster_wide), item["metadata"]["name"]


def test_pods_keep_pod_security_restricted_and_a_read_only_root(objects):
    deployments = of_kind(objects, "Deployment").values()
    pods = [item["spec"]["template"]["spec"] for item in deployments]
    pods += [item["spec"] for item in of_kind(objects, "Pod").values()]
    assert len(pods) == 3
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["enableServiceLinks"] is False
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert set(container["resources"]["requests"]) >= {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]


def test_both_processes_are_probed_and_spread(objects):
    deployments = of_kind(objects, "Deployment")
    assert len(deployments) == len(PROCESSES)
    for deployment in deployments.values():
        pod = deployment["spec"]["template"]
        container = pod["spec"]["containers"][0]
        assert container["startupProbe"]["httpGet"] == {"path": "/livez", "port": "http"}
        assert container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "http"}
        assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
        selector = deployment["spec"]["selector"]["matchLabels"]
        assert selector.items() <= pod["metadata"]["labels"].items()
        keys = [item["topologyKey"] for item in pod["spec"]["topologySpreadConstraints"]]
        assert keys == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]


def test_a_disruption_budget_exists_only_where_a_pod_can_be_spared(objects):
    budgets = of_kind(objects, "PodDisruptionBudget")
    for name, deployment in of_kind(objects, "Deployment").items():
        assert (name in budgets) == (deployment["spec"]["replicas"] > 1)


def test_services_and_policies_open_the_ports_that_the_pods_have(objects):
    policies = of_kind(objects, "NetworkPolicy")
    for name, service in of_kind(objects, "Service").items():
        pod = of_kind(objects, "Deployment")[name]["spec"]["template"]
        ports = {port["name"]: port["containerPort"] for port in pod["spec"]["containers"][0]["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} == set(ports)
        assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
        if policies:
            spec = policies[name]["spec"]
            assert spec["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
            assert {port["port"] for rule in spec["ingress"] for port in rule["ports"]} == set(ports)


def test_the_metrics_api_is_registered_with_the_authority_of_the_secret(helm):
    rendered = helm.objects()
    secret = of_kind(rendered, "Secret")["autoglm-autoscaler-tls"]
    services = of_kind(rendered, "APIService")
    assert {name: item["spec"]["versionPriority"] for name, item in services.items()} == {
        "v1beta1.custom.metrics.k8s.io": 100,
        "v1beta2.custom.metrics.k8s.io": 200,
    }
    for item in services.values():
        assert item["spec"]["caBundle"] == secret["data"]["ca.crt"]
        assert item["spec"]["groupPriorityMinimum"] == 100
        assert item["spec"]["service"] == {"namespace": "autoglm-system", "name": "autoglm-autoscaler", "port": 443}
        assert "insecureSkipTLSVerify" not in item["spec"]


def test_the_certificate_is_for_the_service_and_signed_by_the_authority(helm):
    (secret,) = of_kind(helm.objects(), "Secret").values()
    authority, certificate = (
        x509.load_pem_x509_certificate(base64.b64decode(secret["data"][key])) for key in ("ca.crt", "tls.crt")
    )
    certificate.verify_directly_issued_by(authority)
    hosts = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "autoglm-autoscaler.autoglm-system.svc" in hosts.get_values_for_type(x509.DNSName)


def test_an_existing_secret_is_mounted_and_its_authority_trusted(helm, tmp_path):
    bundle = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump({"metricsAPI": {"tls": {"existingSecret": "mine", "caBundle": bundle}}}))
    rendered = helm.objects("--values", str(values))
    assert not of_kind(rendered, "Secret")
    pod = of_kind(rendered, "Deployment")["autoglm-autoscaler"]["spec"]["template"]["spec"]
    assert pod["volumes"][0]["secret"]["secretName"] == "mine"
    service = of_kind(rendered, "APIService")["v1beta2.custom.metrics.k8s.io"]
    assert (
        service["spec"]["caBundle"]
        == "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1BPT0KLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo="
    )


def test_an_existing_secret_without_its_authority_is_refused(helm):
    message = helm.refuses("--set", "metricsAPI.tls.existingSecret=mine")
    assert "metricsAPI.tls.existingSecret=mine" in message
    assert "set metricsAPI.tls.caBundle" in message


def test_definitions_are_copies_and_kept(helm, pytestconfig, chart):
    sources = {path.name: path.read_bytes() for path in (pytestconfig.rootpath / "crds").glob("*.yaml")}
    copies = {path.name: path.read_bytes() for path in (chart / "files/crds").glob("*.yaml")}
    assert sources
    assert copies == sources
    rendered = of_kind(helm.objects(), "CustomResourceDefinition")
    for text in sources.values():
        source = yaml.safe_load(text)
        crd = rendered[source["metadata"]["name"]]
        assert crd["spec"] == source["spec"]
        assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
        assert crd["metadata"] | {"annotations": None} == source["metadata"] | {"annotations": None}


def test_definitions_can_be_left_out_or_removed_with_the_release(helm):
    assert not of_kind(helm.objects("--set", "crds.install=false"), "CustomResourceDefinition")
    for crd in of_kind(helm.objects("--set", "crds.keep=false"), "CustomResourceDefinition").values():
        assert "annotations" not in crd["metadata"]


def test_dashboards_arrive_unchanged(helm, chart):
    maps = of_kind(helm.objects(), "ConfigMap")
    files = list((chart / "files/dashboards").glob("*.json"))
    assert files
    for path in files:
        item = maps[f"autoglm-dashboard-{path.stem}"]
        assert item["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert item["data"][path.name] == path.read_text().rstrip("\n")
        assert "{{" in item["data"][path.name]


def test_grafana_dashboards_need_their_operator_and_the_wish(helm, chart):
    wish = ("--set", "dashboards.grafanaOperator.enabled=true")
    api = ("--api-versions", "grafana.integreatly.org/v1beta1")
    assert not of_kind(helm.objects(*wish), "GrafanaDashboard")
    assert not of_kind(helm.objects(*api), "GrafanaDashboard")
    objects = helm.objects(*api, *wish, "--set", "dashboards.grafanaOperator.instanceSelector.team=a")
    made, maps = of_kind(objects, "GrafanaDashboard"), of_kind(objects, "ConfigMap")
    assert len(made) == len(list((chart / "files/dashboards").glob("*.json")))
    for item in made.values():
        source = item["spec"]["configMapRef"]
        assert source["key"] in maps[source["name"]]["data"]
        assert item["spec"]["instanceSelector"] == {"matchLabels": {"dashboards": "grafana", "team": "a"}}
        assert item["spec"]["folder"] == "AutoGLM"


def test_a_pod_monitor_needs_a_prometheus_operator_and_the_wish(helm):
    prometheus_operator = ("--api-versions", "monitoring.coreos.com/v1")
    assert not of_kind(helm.objects(), "PodMonitor")
    assert not of_kind(helm.objects(*prometheus_operator, "--set", "podMonitor.enabled=false"), "PodMonitor")
    (monitor,) = of_kind(helm.objects(*prometheus_operator), "PodMonitor").values()
    assert monitor["spec"]["podMetricsEndpoints"][0]["honorLabels"] is True
    for deployment in of_kind(helm.objects(), "Deployment").values():
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_one_registry_replaces_all(helm):
    text = helm.render("--set", "imageRegistry=mirror.example.com")
    images = re.findall(r"(?:image: |_IMAGE\w*\n +value: |IMAGE_\w+\n +value: )(\S+[:@]\S+)", text)
    assert len(images) >= 7
    assert all(image.startswith("mirror.example.com/") for image in images)


def test_a_digest_pins_an_image(helm):
    digest = "sha256:" + "0" * 64
    pods = of_kind(helm.objects("--set", f"image.digest={digest}"), "Deployment")
    images = {item["spec"]["template"]["spec"]["containers"][0]["image"] for item in pods.values()}
    assert images == {f"ghcr.io/autoglm/operator:0.1.0@{digest}"}


def test_names_follow_the_release_without_repeating_it(helm):
    for release, expected in (("autoglm-operator", "autoglm-operator"), ("prod", "prod-autoglm-operator")):
        text = helm.run("template", release, str(helm.chart)).stdout
        rendered = [item for item in yaml.safe_load_all(text) if item]
        assert expected in of_kind(rendered, "Deployment"), release


def test_the_check_is_a_program(helm):
    """`helm test` runs Python without a shell: at least it must compile."""
    (pod,) = of_kind(helm.objects(), "Pod").values()
    container = pod["spec"]["containers"][0]
    assert container["command"] == ["/opt/venv/bin/python", "-c"]
    compile(container["args"][0], "check", "exec")
    services = of_kind(helm.objects(), "Service")
    hosts = {re.match(r"https?://([^:/]+)", url)[1] for url in container["args"][1:]}
    assert hosts == {*services, "kubernetes.default.svc"}


def test_an_old_cluster_is_refused(helm):
    assert "kubeVersion: >=1.33.0-0" in helm.refuses("--kube-version", "1.32.9")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "helm test autoglm --namespace autoglm-system"),
        ((), "no Prometheus Operator was found"),
        (("--set", "metricsAPI.enabled=false"), "the autoscaler writes replicas itself"),
        (("--set", "agent.source=replay"), "GPU figures are made up"),
        (("--set", "crds.keep=false"), "removing this release deletes every AutoGLMDeployment"),
        (("--set", "watchNamespaces={team-a,team-b}"), "serves the namespaces team-a, team-b"),
    ],
)
def test_the_notes_say_what_to_do_next_and_what_to_beware_of(helm, arguments, expected):
    # Rendering NOTES.txt needs an install; a dry run on the client side does without a cluster.
    command = ("install", "autoglm", str(helm.chart), "--namespace", "autoglm-system", "--dry-run=client", *arguments)
    assert expected in helm.run(*command).stdout


def test_the_package_holds_what_the_chart_needs_and_no_more(helm, tmp_path):
    helm.run("package", str(helm.chart), "--destination", str(tmp_path))
    (archive,) = tmp_path.glob("*.tgz")
    listing = subprocess.run(["tar", "tzf", str(archive)], capture_output=True, text=True, check=True).stdout
    names = {Path(line).relative_to("autoglm-operator").parts[0] for line in listing.split()}
    assert names == {
        "Chart.yaml",
        "README.md",
        "UPGRADE.md",
        "values.yaml",
        "values.schema.json",
        "templates",
        "files",
        ".helmignore",
    }
