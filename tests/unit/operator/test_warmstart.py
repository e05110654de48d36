"""What is made ready ahead, when a download is tried again, and what becomes of the pods meanwhile."""

import json
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoglm_fetch import reasons as fetch_reasons
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.decide.start.cache import Weights, compile_folder
from autoglm_operator.decide.start.fetching import FIXES, decide_next, pause_seconds
from autoglm_operator.decide.start.startup import COMPILE_SECONDS, DOWNLOAD_RATE, download_deadline, startup_seconds
from autoglm_operator.decide.start.timing import STARTUP_SECONDS
from autoglm_operator.decide.start.warmstart import NO_WARM_START, Pods, plan_warm_start
from autoglm_operator.errors import Terminal
from autoglm_operator.observe.fetch import FetchRun, Outcome, fetch_pod_of
from autoglm_operator.observe.pod import Container, Exit, Pod
from autoglm_operator.observe.world import Deployment, Observed

NOW = 1_800_000_000.0
GIB = 1 << 30
MODEL = "zai-org/AutoGLM-Phone-9B"
FOLDER = f"models/huggingface/{MODEL.replace('/', '--')}/main"
IDENTITY = f"phone-cache/{FOLDER}"
DONE = {
    "reason": "Downloaded",
    "message": "downloaded",
    "bytes": 20 * GIB,
    "seconds": 400.0,
    "bytesPerSecond": 50 << 20,
    "revision": "0123456789abcdef",
    "config": {"hidden_size": 64},
}


def time(seconds):
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def job(warm, *, ended=None, kind="Failed"):
    """Return the Job that `warm` asks for, as the API serves it."""
    notes = {
        "autoglm.io/weights": warm.identity,
        "autoglm.io/fetch-request": warm.job.request,
        "autoglm.io/fetch-attempt": str(warm.job.attempt),
    }
    conditions = [] if ended is None else [{"type": kind, "status": "True", "lastTransitionTime": time(ended)}]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": warm.job.name, "annotations": notes},
        "status": {"conditions": conditions},
    }


def pod(last_word=None, **fields):
    last = Exit(65, message=last_word if isinstance(last_word, str) else json.dumps(last_word)) if last_word else None
    container = Container("fetch", image="fetch:1", ended=last is not None, last_exit=last, **fields)
    return Pod(name="phone-fetch-x", template="", ready=False, terminating=False, containers=(container,))


def workload(weights, replicas=2):
    notes = {"autoglm.io/weights": weights} if weights else {}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "phone", "annotations": notes},
        "spec": {"replicas": replicas},
    }


@pytest.fixture
def plan(deployment_document):
    """Plan a warm start; `children` are what is there, `fetch` the download's pod."""

    def make(*children, fetch=None, pods=(), now=NOW, mode="Hybrid", status=None, size=None, **spec):
        spec.setdefault("warmStart", {"mode": mode, "cache": {}})
        document = deployment_document(**spec) | {"status": status or {}}
        there = {(child["apiVersion"], child["kind"], child["metadata"]["name"]): child for child in children}
        deployment = Deployment.parse(document)
        assert deployment.spec is not None, deployment.spec_error
        fetch_pods = {name: fetch for _, kind, name in there if kind == "Job" and fetch is not None}
        return plan_warm_start(
            deployment.spec,
            Observed(deployment, there, tuple(pods), frozenset(), now),
            fetch_pods,
            image="engine:1",
            version="0.33.0",
            checkpoint_bytes=size,
        )

    return make


@pytest.fixture
def failed(plan):
    """Return the plan after a download that ended `ago` seconds ago with `reason`."""

    def make(reason, *more, ago=1.0, **spec):
        word = {"reason": reason, "message": "what happened"}
        return plan(job(plan(**spec), ended=NOW - ago), *more, fetch=pod(word), **spec)

    return make


def test_lazy_makes_nothing(plan):
    assert plan(mode="Lazy") == NO_WARM_START


def test_a_download_begins_and_pods_wait_for_it_in_hybrid_only(plan):
    hybrid, full = plan(mode="Hybrid"), plan(mode="Full")

    for warm in (hybrid, full):
        assert (warm.claim.name, warm.claim.owned, warm.weights.folder) == ("phone-cache", True, FOLDER)
        assert (warm.job.attempt, warm.status, warm.reason) == (1, "Unknown", Reason.DOWNLOADING_WEIGHTS)
        assert len(warm.job.name) <= 63
    assert (hybrid.pods, hybrid.prepull) == (Pods.RUN, False)
    assert (full.pods, full.prepull) == (Pods.NONE, True)


def test_a_running_job_is_left_alone(plan):
    begun = plan()
    warm = plan(job(begun))

    assert (warm.job, warm.keep) == (None, {("batch/v1", "Job", begun.job.name)})
    assert (warm.status, warm.message) == (
        "False",
        f"Job {begun.job.name} downloads {MODEL} to claim phone-cache",
    )


@pytest.mark.parametrize("mode", ["Hybrid", "Full"])
def test_finished_weights_are_told_with_their_figures(plan, mode):
    warm = plan(job(plan(mode=mode), ended=NOW, kind="Complete"), fetch=pod(DONE), mode=mode)

    assert (warm.status, warm.reason, warm.pods, warm.job, warm.again) == (
        "True",
        Reason.WEIGHTS_CACHED,
        Pods.RUN,
        None,
        None,
    )
    assert warm.message == (
        f"{MODEL} is on claim phone-cache: 20.0 GiB, commit 0123456789ab, downloaded in 400 s at 50.0 MiB/s"
    )
    assert warm.outcome.config == {"hidden_size": 64}


def test_the_nodes_that_have_the_image_are_told(plan):
    def prepull(**status):
        meta = {"name": "phone-prepull"}
        return {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": meta, "status": status}

    there = prepull(desiredNumberScheduled=4, numberReady=3)

    assert plan(there, mode="Full").message.endswith("; the engine image is on 3 of 4 nodes")
    assert "nodes" not in plan(prepull(desiredNumberScheduled=0), mode="Full").message
    assert "nodes" not in plan(there, mode="Hybrid").message


def test_the_figures_outlive_the_pod_that_told_them(plan):
    complete = job(plan(), ended=NOW, kind="Complete")
    told = plan(complete, fetch=pod(DONE))

    later = plan(complete, status={"weights": told.record()})
    other = plan(complete, status={"weights": told.record() | {"identity": "other"}})

    assert later.message == told.message
    assert later.outcome.bytes == 20 * GIB
    assert other.message == f"{MODEL} is on claim phone-cache"


def test_the_reasons_of_the_download_and_ours_are_the_same_list():
    assert set(FIXES) == {reason.value for reason in fetch_reasons.PERMANENT}
    done = {fetch_reasons.Reason.DOWNLOADED, fetch_reasons.Reason.ALREADY_THERE}
    assert {reason.value for reason in set(fetch_reasons.Reason) - done} <= {reason.value for reason in Reason}


@pytest.mark.parametrize("reason", sorted(FIXES))
@pytest.mark.parametrize("mode", ["Hybrid", "Full"])
def test_what_will_not_pass_waits_for_a_person_and_holds_no_gpu(failed, reason, mode):
    warm = failed(reason, ago=1e6, mode=mode)

    assert (warm.job, warm.again, warm.hopeless) == (None, None, True)
    assert (warm.status, warm.reason, warm.pods) == ("False", reason, Pods.NONE)
    assert warm.message.startswith(f"{MODEL} cannot be downloaded: what happened; ")
    assert FIXES[reason] in warm.message
    assert "delete Job phone-fetch-" in warm.message


@pytest.mark.parametrize("reason", ["HubRateLimited", "HubUnreachable", "DownloadTooSlow", "DownloadInterrupted"])
def test_what_passes_is_tried_again_after_a_pause(failed, reason):
    waiting, again = failed(reason, ago=10), failed(reason, ago=40)

    assert (waiting.job, waiting.reason, waiting.hopeless, waiting.pods) == (None, reason, False, Pods.RUN)
    assert 20 <= waiting.again <= 26
    assert f"the next one follows in {waiting.again:.0f} s" in waiting.message
    assert (again.job.attempt, again.again, again.keep) == (2, None, frozenset())


@pytest.mark.parametrize("word", [None, "Traceback: boom", '{"reason": 3}', '{"bytes": 1e999}', "[" * 3000, "null"])
def test_a_download_without_a_last_word_is_tried_again(plan, word):
    warm = plan(job(plan(), ended=NOW - 100), fetch=pod(word))

    assert (warm.job.attempt, warm.status, warm.reason) == (2, "False", Reason.DOWNLOAD_FAILED)


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"source": {"huggingFace": MODEL}, "tokenSecretRef": {"name": "hub", "key": "token"}}},
        {"model": {"source": {"huggingFace": MODEL}, "hubEndpoint": "https://mirror.corp"}},
        {"model": {"source": {"huggingFace": "zai-org/Other"}}},
        {"model": {"source": {"huggingFace": MODEL}, "revision": "v2"}},
        {"warmStart": {"mode": "Hybrid", "cache": {"size": "900Gi"}}},
    ],
)
def test_a_change_of_the_spec_is_worth_another_attempt(plan, change):
    old = plan()
    warm = plan(job(old, ended=NOW - 1), fetch=pod({"reason": "ModelGated", "message": ""}), **change)

    assert (warm.job.attempt, warm.hopeless) == (1, False)
    assert warm.job.name != old.job.name


def test_another_token_does_not_fetch_again_what_is_there(plan):
    complete = job(plan(), ended=NOW, kind="Complete")
    model = {"source": {"huggingFace": MODEL}, "tokenSecretRef": {"name": "other", "key": "token"}}

    warm = plan(complete, fetch=pod(DONE), model=model)

    assert (warm.job, warm.status) == (None, "True")


@pytest.mark.parametrize(
    ("fetch", "reason", "words"),
    [
        (
            Pod("p", "", False, False, unschedulable="0/3 nodes: no volume"),
            Reason.UNSCHEDULABLE,
            "0/3 nodes: no volume",
        ),
        (pod(waiting="ImagePullBackOff", waiting_message="no"), Reason.IMAGE_UNAVAILABLE, "fetch:1 cannot be pulled"),
        (
            pod(waiting="CreateContainerConfigError", waiting_message='secret "hub" not found'),
            Reason.CONTAINER_NOT_CREATED,
            'secret "hub" not found',
        ),
    ],
)
def test_a_download_that_does_not_run_says_why(plan, fetch, reason, words):
    warm = plan(job(plan()), fetch=fetch)

    assert (warm.status, warm.reason) == ("False", reason)
    assert words in warm.message


@pytest.mark.parametrize("mode", ["Hybrid", "Full"])
def test_pods_of_other_weights_serve_on_until_the_new_ones_are_there(failed, plan, mode):
    old = workload("phone-cache/models/huggingface/zai-org--Old/main")

    assert plan(old, mode=mode).pods is Pods.KEEP
    assert failed("ModelNotFound", old, mode=mode).pods is Pods.KEEP
    assert plan(workload(""), mode=mode).pods is Pods.KEEP, "they load the model themselves"
    complete = job(plan(mode=mode), ended=NOW, kind="Complete")
    assert plan(old, complete, mode=mode).pods is Pods.RUN


@pytest.mark.parametrize(
    ("mode", "replicas", "ready", "reason", "expected"),
    [
        ("Hybrid", 2, False, "ModelNotFound", Pods.NONE),
        ("Hybrid", 2, False, "HubRateLimited", Pods.RUN),
        ("Hybrid", 0, False, "HubRateLimited", Pods.RUN),
        ("Hybrid", 2, True, "ModelNotFound", Pods.RUN),
        ("Full", 0, False, "HubRateLimited", Pods.NONE),
        ("Full", 2, True, "ModelNotFound", Pods.RUN),
        ("Full", 2, False, "HubRateLimited", Pods.RUN),
    ],
)
def test_pods_of_these_weights(plan, mode, replicas, ready, reason, expected):
    word = {"reason": reason, "message": ""}
    pods = [Pod("phone-1", "t", ready, False)]
    there = job(plan(mode=mode), ended=NOW - 1)

    assert plan(there, workload(IDENTITY, replicas), fetch=pod(word), pods=pods, mode=mode).pods is expected


@pytest.mark.parametrize(
    "source", [{"pvc": {"claimName": "weights", "path": "x"}}, {"ociImage": {"reference": "corp/model:1"}}]
)
def test_weights_on_a_volume_are_not_fetched_but_compiled_code_is_kept(plan, source):
    warm = plan(model={"source": source}, mode="Full")

    assert (warm.job, warm.weights, warm.pods, warm.prepull) == (None, None, Pods.RUN, True)
    assert (warm.status, warm.reason) == ("True", Reason.WEIGHTS_ON_VOLUME)
    assert warm.compile_folder.startswith("compile/")


def live_claim(storage="100Gi", storage_class="fast", modes=("ReadWriteMany",)):
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "phone-cache"},
        "spec": {
            "storageClassName": storage_class,
            "accessModes": list(modes),
            "resources": {"requests": {"storage": storage}},
        },
    }


def cache(**fields):
    return {"mode": "Hybrid", "cache": fields}


@pytest.mark.parametrize(
    ("size", "live", "given", "expected"),
    [
        (None, None, None, 200),
        (20 * GIB, None, None, 50),
        (1, None, None, 20),
        (20 * GIB, None, "33Gi", 33),
        (90 * GIB, "100Gi", None, 100),
        (20 * GIB, "100Gi", "150Gi", 150),
    ],
)
def test_the_size_of_the_claim(plan, size, live, given, expected):
    children = [live_claim(live)] if live else []
    fields = {"size": given} if given else {}

    assert plan(*children, warmStart=cache(**fields), size=size).claim.size == expected * GIB


@pytest.mark.parametrize(("size", "live"), [(None, "200Gi"), (20 * GIB, "50Gi")])
def test_the_claim_that_was_made_changes_nothing_that_was_planned(plan, size, live):
    begun = plan(size=size)

    again = plan(live_claim(live), job(begun), size=size)
    later = plan(live_claim(live), job(begun), size=77 * GIB)

    assert again.claim == later.claim == begun.claim
    assert again.keep == later.keep == {("batch/v1", "Job", begun.job.name)}
    assert (again.job, later.job) == (None, None)


def test_a_claim_of_the_user_is_only_used(plan):
    warm = plan(warmStart=cache(claimName="shared"))

    assert (warm.claim.name, warm.claim.owned) == ("shared", False)
    assert warm.identity == f"shared/{FOLDER}"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"storageClassName": "slow"}, "spec.warmStart.cache.storageClassName: slow, but claim phone-cache has fast"),
        (
            {"accessMode": "ReadWriteOnce"},
            "accessMode: ReadWriteOnce, but claim phone-cache was made with ReadWriteMany",
        ),
        ({"size": "50Gi"}, "size: 50Gi, but claim phone-cache has 100Gi and cannot shrink: put it back, or delete"),
    ],
)
def test_what_a_claim_cannot_become_is_refused(plan, fields, words):
    with pytest.raises(Terminal, match=words):
        plan(live_claim(), warmStart=cache(**fields))


def test_a_group_over_nodes_needs_a_claim_for_many(plan):
    resources = {"gpu": {"count": 2}, "parallelism": {"pipeline": 2, "nodes": 2}}

    with pytest.raises(Terminal, match="ReadWriteOnce is mounted on one node, and a replica has 2"):
        plan(warmStart=cache(accessMode="ReadWriteOnce"), resources=resources)


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"source": {"huggingFace": "zai-org/Other"}}},
        {"model": {"source": {"huggingFace": MODEL}, "revision": "v2"}},
        {"model": {"source": {"huggingFace": MODEL}, "dtype": "float16"}},
        {"engine": {"type": "vLLM"}},
        {"engine": {"type": "Simulator", "quantization": "fp8"}},
        {"engine": {"type": "Simulator", "batching": {"maxNumSeqs": 3}}},
        {"engine": {"type": "Simulator", "extraArgs": ["--enforce-eager"]}},
        {"engine": {"type": "Simulator", "kvCache": {"dtype": "fp8_e4m3"}}},
        {"resources": {"gpu": {"product": "NVIDIA-L4", "count": 1}}},
        {"resources": {"gpu": {"count": 2}, "parallelism": {"tensor": 2}}},
    ],
)
def test_what_changes_the_graph_has_its_own_compile_cache(plan, change):
    assert plan(**change).compile_folder != plan().compile_folder


@pytest.mark.parametrize(
    "change",
    [{"replicas": 7}, {"model": {"source": {"huggingFace": MODEL}, "servedName": "x"}}, {"tolerance": "Strict"}],
)
def test_what_does_not_change_the_graph_shares_it(plan, change):
    assert plan(**change).compile_folder == plan().compile_folder


def test_the_compile_cache_is_that_of_one_gpu_and_one_engine(plan, deployment_document):
    spec = Deployment.parse(deployment_document()).spec
    folders = {
        compile_folder(spec, image, version, product)
        for image in ("a", "b")
        for version in ("1", "2")
        for product in (None, "NVIDIA-L4", "NVIDIA-H200")
    }
    assert len(folders) == 12


@pytest.mark.parametrize(
    ("weights", "folder"),
    [
        (Weights("huggingface", "a/b", "v1"), "models/huggingface/a--b/v1"),
        (Weights("modelscope", "a/b"), "models/modelscope/a--b/master"),
    ],
)
def test_folders(weights, folder):
    assert weights.folder == folder


@given(
    st.lists(st.from_regex(r"\Ahttps?://[a-z.]{1,9}/[A-Za-z0-9._~%/-]{0,90}\Z"), min_size=2, max_size=2, unique=True)
)
def test_folders_of_addresses_are_safe_and_their_own(addresses):
    folders = [Weights("url", address).folder for address in addresses]

    assert len(set(folders)) == 2
    for folder in folders:
        assert all(part not in {"", ".", ".."} and len(part) <= 100 for part in folder.split("/"))
        assert len(folder.split("/")) == 4


# The history of Jobs


@given(st.integers(1, 10_000), st.text("abc", min_size=1, max_size=8))
def test_pauses_grow_to_half_an_hour_and_no_further(attempt, name):
    pause = pause_seconds(name, attempt)

    assert 30 <= pause <= 1800 * 1.2
    assert pause_seconds(name, attempt + 5) >= pause / 1.2
    assert pause == pause_seconds(name, attempt)


@given(st.lists(st.sampled_from(["HubRateLimited", "HubUnreachable", None, "ModelGated"]), max_size=30))
def test_a_history_is_followed_by_one_attempt_at_a_time(ends):
    """Play a controller that looks every 5 s, with downloads that end as given, each after 10 s."""
    now, runs, started = 0.0, {}, []
    while now < 24 * 3600 and len(started) <= len(ends):
        step = decide_next(runs.values(), "r", "w", now)
        if step.attempt is not None:
            assert not any(run.ended is None for run in runs.values())
            started.append(now)
            name = f"job-{step.attempt}"
            runs = {name: FetchRun(name, "w", "r", step.attempt)}
            end = ends[len(started) - 1] if len(started) <= len(ends) else None
            word = Outcome(end, "") if end else None
            runs[name] = FetchRun(name, "w", "r", step.attempt, ended=now + 10, outcome=word)
            now += 10
        else:
            assert step.keep in runs
            if step.hopeless:
                break
            now += min(max(step.again or 5.0, 0.001), 5.0)

    permanent = ends.index("ModelGated") if "ModelGated" in ends else len(ends)
    assert len(started) == min(permanent + 1, len(ends) + 1)
    gaps = [later - earlier - 10 for earlier, later in pairwise(started)]
    assert all(gap >= pause_seconds(f"job-{n}", n) - 1e-6 for n, gap in enumerate(gaps, start=1))


# Deadlines


@given(
    size=st.integers(1, 2 << 40),
    rate=st.one_of(st.none(), st.floats(1e5, 1e10)),
    cached=st.booleans(),
    compiled=st.booleans(),
    nodes=st.integers(1, 32),
)
def test_a_start_has_time_enough_and_not_for_ever(size, rate, cached, compiled, nodes):
    seconds = startup_seconds(size, download=rate, cached=cached, compiled=compiled, nodes=nodes)

    assert 600 <= seconds <= 12 * 3600
    assert seconds % 2 == 0, "the probe looks every 2 s"
    assert seconds <= startup_seconds(size * 2, download=rate, cached=cached, compiled=compiled, nodes=nodes)
    assert startup_seconds(size, download=rate, cached=True, compiled=compiled, nodes=nodes) <= seconds
    assert startup_seconds(size, download=rate, cached=cached, compiled=True, nodes=nodes) <= seconds


def test_startup_deadlines():
    assert startup_seconds(None, cached=True) == STARTUP_SECONDS
    # AutoGLM-Phone-9B in two bytes, 20.6e9 bytes: twice (120 + 600 + 137 s), and with the download 824 s more.
    assert startup_seconds(20_600_000_000, cached=True) == 1740
    assert startup_seconds(20_600_000_000, cached=False) == 3420
    assert startup_seconds(20_600_000_000, cached=True, compiled=True) == 900
    assert COMPILE_SECONDS == 600


def test_download_deadlines():
    assert download_deadline(None) == 6 * 3600
    assert download_deadline(1) == 1800
    assert download_deadline(int(DOWNLOAD_RATE) * 3600) == 7200
    assert download_deadline(int(DOWNLOAD_RATE) * 3600, rate=2 * DOWNLOAD_RATE) == 3600
    # A burst does not become the bound.
    assert download_deadline(int(DOWNLOAD_RATE) * 36_000, rate=1e12) == 18_000
    assert download_deadline(10**15) == 24 * 3600


# Pods of downloads


@pytest.mark.parametrize(
    ("labels", "maker", "expected"),
    [
        ({"autoglm.io/fetch": "phone", "batch.kubernetes.io/job-name": "j"}, ("Job", "j"), ("phone", "j")),
        ({"autoglm.io/fetch": "phone", "batch.kubernetes.io/job-name": "j"}, ("Job", "other"), None),
        ({"autoglm.io/fetch": "phone", "batch.kubernetes.io/job-name": "j"}, ("ReplicaSet", "j"), None),
        ({"autoglm.io/fetch": "phone", "batch.kubernetes.io/job-name": "j"}, None, None),
        ({"autoglm.io/deployment": "phone"}, ("ReplicaSet", "phone-1"), None),
    ],
)
def test_whose_download_a_pod_is(labels, maker, expected):
    owners = [{"kind": maker[0], "name": maker[1], "controller": True}] if maker else []
    document = {"metadata": {"name": "p", "labels": labels, "ownerReferences": owners}}

    assert fetch_pod_of(document) == expected
