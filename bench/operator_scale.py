"""The operator on a real API server: 100 AutoGLMDeployments at once, and at rest.

"Frozen" means that controller-manager and scheduler are stopped, so that only the API server, etcd, the operator and
the creator work; the state changes the API server's limit several times over, so it is named with each figure.
"""

import asyncio
import copy
import time
from statistics import median

import yaml
from harness import OUTPUT, ROOT, ControlPlane, control_plane, frozen, operator, record, resident_mib, spread, writes

from autoglm_operator.api import names
from autoglm_operator.api.crd import custom_resource_definition
from autoglm_operator.decide.plan import make_plan
from autoglm_operator.kube import resources
from autoglm_operator.kube.client import Client, Document
from autoglm_operator.kube.connection import Connection
from autoglm_operator.kube.errors import ApiError
from autoglm_operator.observe.world import Deployment, Observed
from autoglm_operator.render.bundle import bundle
from autoglm_operator.settings import Images

DEPLOYMENTS = 100
RUNS = 3
IN_FLIGHT = 32
REST_SECONDS = 60
_CHILDREN_TIMEOUT_SECONDS = 120
#: The controller-manager judges an HPA for the first time after up to 15 s, which is news for the status.
_SETTLE_SECONDS = 45


def example(name: str, namespace: str) -> Document:
    """Return the example under another name."""
    document: Document = copy.deepcopy(yaml.safe_load((ROOT / "examples/autoglm.yaml").read_text()))
    document["metadata"] = {"name": name, "namespace": namespace}
    return document


async def make_namespace(client: Client, name: str) -> None:
    """Create a namespace."""
    await client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


async def api_limit(client: Client, namespace: str) -> float:
    """Return the writes per second that the API server takes: the operator's own objects, applied by 32 at a time."""
    await make_namespace(client, namespace)
    objects = []
    for index in range(DEPLOYMENTS):
        parsed = Deployment.parse(_stored(example(f"limit-{index:03d}", namespace)))
        children = bundle(parsed, make_plan(Observed(parsed, {}, (), frozenset(), 0.0), Images()), Images())
        for child in children:
            child["metadata"].pop("ownerReferences")
        objects += children
    gate = asyncio.Semaphore(IN_FLIGHT)

    async def one(obj: Document) -> None:
        async with gate:
            await client.apply(obj, "limit")

    start = time.monotonic()
    await asyncio.gather(*(one(obj) for obj in objects))
    return len(objects) / (time.monotonic() - start)


def _stored(document: Document) -> Document:
    document["metadata"] |= {"uid": "00000000-0000-0000-0000-000000000000", "generation": 1}
    return document


async def create_at_once(client: Client, namespace: str) -> tuple[float, float]:
    """Create the deployments; return the seconds from the first create and from the last one to the last child."""
    await make_namespace(client, namespace)
    start = time.monotonic()
    for index in range(DEPLOYMENTS):
        await client.create(example(f"load-{index:03d}", namespace))
    last = time.monotonic()
    path = resources.path("autoscaling/v2", "HorizontalPodAutoscaler", namespace)
    # The HPA is the last child that is applied.
    while len((await client.list_all(path))[0]) < DEPLOYMENTS:
        if time.monotonic() - last > _CHILDREN_TIMEOUT_SECONDS:
            raise SystemExit("not all children were there within two minutes")
        await asyncio.sleep(0.1)
    end = time.monotonic()
    return end - start, end - last


async def install_crd(client: Client) -> None:
    """Install the CRD and wait until it is served."""
    await client.request(
        "PATCH",
        f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{names.PLURAL}.{names.GROUP}",
        params={"fieldManager": "bench", "force": "true"},
        body=custom_resource_definition(),
        content_type="application/apply-patch+yaml",
    )
    while True:
        try:
            await client.list_all(resources.path(names.API_VERSION, names.KIND))
        except ApiError:
            await asyncio.sleep(0.2)
        else:
            return


async def measure(plane: ControlPlane) -> dict[str, object]:
    """Run everything and return the figures."""
    limits, from_first, from_last, shares, writes_each = [], [], [], [], []
    log = OUTPUT / "operator.log"
    async with Client(Connection.from_kubeconfig(plane.kubeconfig), user_agent="bench") as client:
        await install_crd(client)
        with operator(plane, log) as process:
            await make_namespace(client, "one")
            await client.create(example("one", "one"))
            await asyncio.sleep(_SETTLE_SECONDS)
            memory_one = resident_mib(process.pid)
            offset = plane.audit_log.stat().st_size
            print(f"at rest for {REST_SECONDS} s ...")
            await asyncio.sleep(REST_SECONDS)
            at_rest = writes(plane, offset)
            for run in range(RUNS):
                with frozen(plane, "kube-controller-manager", "kube-scheduler"):
                    limits.append(await api_limit(client, f"limit-{run}"))
                    offset = plane.audit_log.stat().st_size
                    first, last = await create_at_once(client, f"load-{run}")
                    await asyncio.sleep(12)
                    counted = writes(plane, offset)
                counted.pop("update leases", None)
                total = sum(counted.values())
                from_first.append(first)
                from_last.append(last)
                writes_each.append(total / DEPLOYMENTS)
                children = sum(number for what, number in counted.items() if "status" not in what)
                shares.append(children / first / limits[-1])
                print(f"run {run + 1} of {RUNS}: {last:.1f} s after the last create, {dict(counted)}")
            memory_all = resident_mib(process.pid)
    leases = at_rest.pop("update leases", 0)
    return {
        "state": "frozen: controller-manager and scheduler stopped",
        "API limit, writes/s": spread(limits),
        "100 at once, s from first create": spread(from_first),
        "100 at once, s from last create": spread(from_last),
        "writes for each deployment": spread(writes_each),
        "share of the API limit (peers 0.43)": spread(shares),
        f"writes at rest in {REST_SECONDS} s": dict(at_rest) or 0,
        f"Lease renewals in {REST_SECONDS} s": leases,
        "operator RSS with 1 deployment, MiB": round(memory_one, 1),
        "operator RSS after 301 deployments, MiB": round(memory_all, 1),
        "raw": {"limits": limits, "from_first": from_first, "from_last": from_last, "shares": shares},
        "median seconds": median(from_last),
    }


def main() -> None:
    """Measure and record."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    with control_plane("bench") as plane:
        record("operator_scale", asyncio.run(measure(plane)))


if __name__ == "__main__":
    main()
