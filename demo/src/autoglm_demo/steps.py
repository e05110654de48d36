"""The steps of the demo, each idempotent: run it again and it goes on where it stopped."""

import hashlib
import json
import time
from pathlib import Path

import yaml

from autoglm_demo.commands import DemoError, own, run, show, tool
from autoglm_demo.observe import Observer
from autoglm_demo.settings import (
    CHART,
    EXAMPLE,
    IMAGE_TAG,
    LOAD_JOB,
    NAMESPACE,
    RELEASE,
    ROOT,
    SCRAPE_INTERVAL,
    SYSTEM_NAMESPACE,
    Load,
    Target,
)
from autoglm_operator.api import names
from autoglm_operator.api.types import seconds

_READY_TIMEOUT_SECONDS = 300.0


def bring_up_cluster(target: Target) -> Path:
    """Return the kubeconfig of a cluster that runs."""
    if target.kubeconfig is not None:
        return target.kubeconfig
    show(own("localcluster"), "up", "--name", target.cluster)
    return Path(run(own("localcluster"), "kubeconfig", "--name", target.cluster).strip())


def build_images(target: Target) -> None:
    """Build the images into the local cluster; a cluster of somebody else pulls them from the registry."""
    if target.kubeconfig is None:
        show(own("python"), "scripts/images.py", "--cluster", target.cluster)


def install_chart(target: Target, kubeconfig: Path) -> None:
    """Install or upgrade the chart and wait until both processes are ready."""
    values = {
        "image": _image(target, "operator"),
        "engines": {"simulator": {"image": _image(target, "simulator")}},
        "agent": {"source": target.agent_source, "image": _image(target, "agent")},
        "fetch": {"image": _image(target, "fetch")},
        "bench": {"image": _image(target, "bench")},
        "podMonitor": {"interval": SCRAPE_INTERVAL},
        **{process: {"podAnnotations": _build()} for process in ("operator", "autoscaler")},
    }
    release = ("upgrade", "--install", RELEASE, str(CHART), "--namespace", SYSTEM_NAMESPACE, "--create-namespace")
    waiting = ("--values", "-", "--wait", "--timeout", "5m")
    run(tool("helm"), *release, *waiting, kubeconfig=kubeconfig, stdin=yaml.safe_dump(values))


def _build() -> dict[str, str]:
    """Return an annotation that changes with the code: the tag stays the same, and pods would go on with old code."""
    digest = hashlib.sha256()
    for wheel in sorted((ROOT / ".local/images/operator").glob("*.whl")):
        digest.update(wheel.read_bytes())
    return {f"{names.GROUP}/build": digest.hexdigest()[:16]}


def _image(target: Target, name: str) -> dict[str, str]:
    registry, _, folder = target.registry.partition("/")
    return {"registry": registry, "repository": f"{folder}/{name}" if folder else name, "tag": IMAGE_TAG}


def apply_example(kubeconfig: Path) -> tuple[Observer, float]:
    """Apply the example and wait until it is ready; return what observes it and how long that took, in seconds."""
    kubectl = tool("kubectl")
    namespace = yaml.safe_dump({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    run(kubectl, "apply", "-f", "-", kubeconfig=kubeconfig, stdin=namespace)
    name = yaml.safe_load(EXAMPLE.read_text())["metadata"]["name"]
    start = time.monotonic()
    run(kubectl, "apply", "-n", NAMESPACE, "-f", str(EXAMPLE.relative_to(ROOT)), kubeconfig=kubeconfig)
    observer = Observer(kubeconfig, NAMESPACE, name)
    while not _is_ready(observer):
        if time.monotonic() - start > _READY_TIMEOUT_SECONDS:
            conditions = json.dumps((observer.deployment().get("status") or {}).get("conditions"), indent=1)
            raise DemoError(
                f"{name} was not ready within {_READY_TIMEOUT_SECONDS:.0f} s; its conditions:\n{conditions}"
            )
        time.sleep(0.2)
    return observer, time.monotonic() - start


def _is_ready(observer: Observer) -> bool:
    document = observer.deployment()
    status = document.get("status") or {}
    current = status.get("observedGeneration") == document["metadata"]["generation"]
    return current and any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or [])


def start_load(target: Target, kubeconfig: Path, load: Load) -> None:
    """Start the load generator as a Job beside the deployment."""
    kubectl = tool("kubectl")
    run(kubectl, "delete", "job", LOAD_JOB, "-n", NAMESPACE, "--ignore-not-found", "--wait", kubeconfig=kubeconfig)
    run(kubectl, "apply", "-n", NAMESPACE, "-f", "-", kubeconfig=kubeconfig, stdin=yaml.safe_dump(_job(target, load)))


def _job(target: Target, load: Load) -> dict[str, object]:
    example = yaml.safe_load(EXAMPLE.read_text())
    name, model = example["metadata"]["name"], example["spec"]["model"]["servedName"]
    arguments = {
        "--url": f"http://{name}:8000/v1",
        "--model": model,
        "--profile": "spike",
        "--rate": load.rate,
        "--duration": load.duration,
        "--spike-rate": load.spike_rate,
        "--spike-start": load.spike_start,
        "--spike-duration": load.spike_duration,
        "--prompt-tokens": load.prompt_tokens,
        "--output-tokens": load.output_tokens,
        "--seed": load.seed,
        "-o": "json",
    }
    security = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "load",
        "image": f"{target.registry}/bench:{IMAGE_TAG}",
        "imagePullPolicy": "IfNotPresent",
        "args": ["run", *(str(word) for pair in arguments.items() for word in pair)],
        "securityContext": security,
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": LOAD_JOB},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": int(load.duration) + 300,
            "template": {"metadata": {"labels": {"app.kubernetes.io/name": "load"}}, "spec": pod},
        },
    }


def load_finished(kubeconfig: Path) -> bool:
    """Whether the Job has ended, well or badly."""
    text = run(tool("kubectl"), "get", "job", LOAD_JOB, "-n", NAMESPACE, "-o", "json", kubeconfig=kubeconfig)
    conditions = json.loads(text).get("status", {}).get("conditions") or []
    return any(item["type"] in {"Complete", "Failed"} and item["status"] == "True" for item in conditions)


def load_report(kubeconfig: Path) -> dict[str, object]:
    """Return what the load generator printed."""
    text = run(tool("kubectl"), "logs", f"job/{LOAD_JOB}", "-n", NAMESPACE, kubeconfig=kubeconfig)
    try:
        report: dict[str, object] = json.loads(text[text.index("{") :])
    except ValueError as error:
        raise DemoError(f"the load generator did not print a report:\n{text[-2000:]}") from error
    return report


def objective_seconds() -> float:
    """Return the P99 TTFT that the example promises."""
    return seconds(yaml.safe_load(EXAMPLE.read_text())["spec"]["autoscaling"]["objective"]["ttftP99"])


def tear_down(target: Target) -> None:
    """Remove what the demo made: the whole local cluster, or release and namespaces from another one."""
    if target.kubeconfig is None:
        show(own("localcluster"), "down", "--name", target.cluster)
        return
    kubectl = tool("kubectl")
    run(kubectl, "delete", "namespace", NAMESPACE, "--ignore-not-found", kubeconfig=target.kubeconfig)
    run(tool("helm"), "uninstall", RELEASE, "-n", SYSTEM_NAMESPACE, "--ignore-not-found", kubeconfig=target.kubeconfig)
    run(kubectl, "delete", "namespace", SYSTEM_NAMESPACE, "--ignore-not-found", kubeconfig=target.kubeconfig)
