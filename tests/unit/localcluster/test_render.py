import json
from dataclasses import replace

import yaml

from localcluster import controlplane, manifests, network
from localcluster.kube import object_path
from localcluster.node import config
from localcluster.node.init import Plan
from localcluster.paths import ClusterPaths

_ANY = "0.0.0.0"  # looked for, not bound


def _flags(arguments):
    return dict(argument.removeprefix("--").split("=", 1) for argument in arguments)


def test_the_api_server_trusts_the_front_proxy_by_a_ca_of_its_own(state):
    flags = _flags(controlplane.apiserver(state, ClusterPaths.of("unit")))
    assert flags["requestheader-client-ca-file"] != flags["client-ca-file"]
    assert flags["requestheader-allowed-names"] == "front-proxy-client"
    assert flags["enable-aggregator-routing"] == "true"
    assert flags["audit-log-path"].endswith("/unit/audit.log")


def test_arguments_of_the_user_come_last(state):
    options = replace(
        state.options, apiserver_arguments=("--v=9",), controller_manager_arguments=("--x=1",), audit=False
    )
    changed = replace(state, options=options)
    paths = ClusterPaths.of("unit")
    api = controlplane.apiserver(changed, paths)
    assert api[-1] == "--v=9"
    assert "audit-log-path" not in _flags(api)
    assert controlplane.controller_manager(changed, paths)[-1] == "--x=1"


def test_nothing_listens_on_every_address(state):
    paths = ClusterPaths.of("unit")
    everything = [controlplane.etcd, controlplane.apiserver, controlplane.controller_manager, controlplane.scheduler]
    assert not any(_ANY in argument for render in everything for argument in render(state, paths))


def test_kubeconfig_names_server_and_identity(state):
    kubeconfig = yaml.safe_load(controlplane.kubeconfig(state, ClusterPaths.of("unit"), "admin"))
    assert kubeconfig["clusters"][0]["cluster"]["server"] == "https://10.213.3.1:6443"
    assert kubeconfig["users"][0]["user"]["client-key"].endswith("/unit/pki/admin.key")


def test_fake_pods_get_addresses_that_nobody_has(state):
    flags = _flags(controlplane.kwok(state, ClusterPaths.of("unit")))
    assert flags["cidr"] == "10.213.3.128/25"


def test_kubelet_has_a_group_of_its_own_and_runs_on_both_versions_of_control_groups(state):
    kubelet = yaml.safe_load(config.kubelet_yaml(state, ClusterPaths.of("unit")))
    assert kubelet["cgroupRoot"] == "/localcluster-unit"
    assert kubelet["failCgroupV1"] is False
    assert kubelet["clusterDNS"] == ["10.224.48.10"]


def test_gpu_labels_only_where_there_are_gpus(state):
    paths = ClusterPaths.of("unit")
    assert "nvidia.com/gpu.count=8" in _flags(config.kubelet(state, paths))["node-labels"]
    without = replace(state, options=replace(state.options, gpus=0))
    assert "node-labels" not in _flags(config.kubelet(without, paths))


def test_the_plan_of_a_node_survives_its_file(state, tmp_path):
    programs = {name: tmp_path / name for name in ("kubelet", "kube-proxy", "coredns")}
    plan = config.plan(state, ClusterPaths.of("unit"), programs)
    assert Plan.from_json(plan.to_json()) == plan
    names = [program.name for program in plan.programs]
    assert names == ["containerd", "kubelet", "kube-proxy", "coredns", "fake-gpu-device-plugin"]
    assert set(plan.binds.values()) == set(config.PRIVATE_FOLDERS)
    assert len(plan.binds) == len(config.PRIVATE_FOLDERS)


def test_the_network_of_pods(state):
    (plugin,) = json.loads(config.cni(state))["plugins"]
    assert plugin["ipam"]["ranges"] == [[{"subnet": "10.214.3.0/24"}]]


def test_a_fake_node_offers_gpus_only_to_those_that_ask():
    node = manifests.kwok_node(1)
    assert node["metadata"]["labels"]["type"] == "kwok"
    assert node["metadata"]["labels"]["nvidia.com/gpu.product"] == "NVIDIA-H100-80GB-HBM3"
    assert node["spec"]["taints"] == [{"key": "kwok.x-k8s.io/node", "value": "fake", "effect": "NoSchedule"}]
    assert node["status"]["allocatable"]["nvidia.com/gpu"] == "8"


def test_the_dns_service_leads_to_the_node(state):
    service, endpoints = manifests.dns(state)[-2:]
    assert service["spec"]["clusterIP"] == state.addresses.dns
    assert endpoints["endpoints"][0]["addresses"] == [state.addresses.node]
    assert object_path(endpoints) == "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices/kube-dns"


def test_names_of_the_world_need_an_upstream(state):
    assert "forward . 192.0.2.53" in manifests.corefile(state, "/k", ["192.0.2.53"])
    assert "forward" not in manifests.corefile(state, "/k", [])


def test_name_servers_on_loopback_are_no_use_to_pods():
    text = "search x\nnameserver 127.0.0.53\nnameserver 192.0.2.7\nnameserver fe80::1%eth0\n"
    assert network.name_servers(text) == ["192.0.2.7", "fe80::1%eth0"]


def test_masquerade_spares_the_cluster_itself(state):
    rules = network.masquerade_rules(state.addresses)
    assert "{ 10.213.3.0/24, 10.214.3.0/24 }" in rules
    assert 'oifname != "lc3"' in rules
