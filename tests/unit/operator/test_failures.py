"""Why a pod does not run, and when its GPUs are given up."""

from dataclasses import replace

import pytest

from autoglm_operator.api.v1alpha1 import Spec
from autoglm_operator.decide.failures import Failure, about, failure_of, release_gpus
from autoglm_operator.decide.platform import rejection_cure, unschedulable_cures
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.decide.release import Release, release
from autoglm_operator.decide.signatures import Outlook
from autoglm_operator.observe.engine_log import EngineLog
from autoglm_operator.observe.pod import Container, Exit, Pod

NAMED = {"model": "a/b", "revision": "main", "context": "25,480"}
STARTUP, NOW = 3600.0, 1_800_000_000.0
ENDED = Exit(1, "Error", "Traceback\nValueError: no such model\n", 30.0)
WORDS = "container engine keeps exiting: exit code 1; last line of its log: ValueError: no such model"


def engine(**facts):
    return Container("engine", "x:1", **facts)


def pod(*containers, name="p", ready=False, **facts):
    return Pod(name, "new", ready, facts.pop("terminating", False), containers=containers, **facts)


def failure(*containers, log="", problem="", **facts):
    read = EngineLog(crash=log, problem=problem)
    return failure_of(pod(*containers, **facts), NAMED, log=read, startup=STARTUP)


def looping(last, **facts):
    return engine(restarts=2, waiting="CrashLoopBackOff", last_exit=last, **facts)


@pytest.mark.parametrize(
    ("container", "reason", "text"),
    [
        (engine(running_since=NOW), None, None),
        (engine(waiting="ContainerCreating"), None, None),
        (engine(waiting="PodInitializing"), None, None),
        (engine(waiting="ImagePullBackOff"), "ImageUnavailable", "container engine: image x:1 cannot be pulled"),
        (
            engine(waiting="CreateContainerConfigError", waiting_message='secret "hf" not found'),
            "ContainerNotCreated",
            'container engine: secret "hf" not found',
        ),
        (
            engine(waiting="CreateContainerError"),
            "ContainerNotCreated",
            "container engine: CreateContainerError",
        ),
        (looping(ENDED), "EngineCrashing", WORDS),
        (looping(None), "EngineCrashing", "container engine keeps exiting: exit code unknown"),
        # The same trouble between two back-offs: no end and no return of it.
        (engine(running_since=NOW, last_exit=ENDED, restarts=2), "EngineCrashing", WORDS),
        (engine(ended=True, last_exit=ENDED, restarts=2), "EngineCrashing", WORDS),
        # One exit can be chance; a clean exit is an order; a ready container is over it.
        (engine(running_since=NOW, last_exit=ENDED, restarts=1), None, None),
        (engine(running_since=NOW, last_exit=Exit(0, ran=60.0), restarts=5), None, None),
        (engine(running_since=NOW, last_exit=ENDED, restarts=5, ready=True), None, None),
    ],
)
def test_trouble_of_a_container(container, reason, text):
    found = failure(container)
    assert (found and found.reason, found and found.text) == (reason, text)


def test_trouble_of_the_sidecar_comes_first():
    found = failure(Container("agent", "y:1", waiting="ErrImagePull"), looping(ENDED))
    assert found.text == "container agent: image y:1 cannot be pulled"
    assert found.sentence == "pod p: container agent: image y:1 cannot be pulled"


def test_long_last_line_is_cut():
    assert len(failure(looping(Exit(1, message="x" * 2000))).text) < 400


def test_a_line_that_the_kubelet_cut_is_not_quoted():
    tail = ("entry.py line 61\n" + "    frame\n" * 300)[:2048]
    assert "entry.py" not in failure(looping(Exit(1, message=tail))).text
    assert "entry.py" in failure(looping(Exit(1, message=tail[:2000]))).text


@pytest.mark.parametrize(
    ("last", "reason", "says"),
    [
        (Exit(137, "OOMKilled"), "HostOutOfMemory", "raise spec.resources.memory"),
        # The kubelet's word counts more than an old line of the log.
        (Exit(137, "OOMKilled", "CUDA out of memory"), "HostOutOfMemory", "the CPU's, not the GPU's"),
        (Exit(139, "Error"), "EngineSegfault", "signal 11"),
        (Exit(132, "Error"), "EngineSegfault", "signal 4"),
        (Exit(135, "Error"), "SharedMemoryTooSmall", "spec.resources.memory"),
        (Exit(127, "Error"), "ImageBroken", "spec.engine.image"),
        (Exit(126, "Error"), "ImageBroken", "spec.engine.image"),
        (Exit(137, "Error", "", 3605.0), "StartupDeadlineExceeded", "within the 3,600 s that it has to start"),
        (Exit(0, "Completed", "", 3605.0), "StartupDeadlineExceeded", "within the 3,600 s"),
        (Exit(143, "Error", "", 18_000.0), "LivenessFailed", "it stopped answering after 18,000 s"),
        (Exit(137, "Error", "", 100.0), "EngineCrashing", "exit code 137"),
        (Exit(1, "Error", "", 18_000.0), "EngineCrashing", "exit code 1"),
        (
            Exit(128, "StartError", 'exec: "vllm": executable file not found in $PATH: unknown'),
            "ImageBroken",
            "executable file not found in $PATH",
        ),
    ],
)
def test_how_it_ended(last, reason, says):
    found = failure(looping(last))
    assert found.reason == reason
    assert says in found.text


def test_a_probe_that_stops_an_engine_which_obeys_is_told_between_back_offs():
    again = engine(running_since=NOW, restarts=2, last_exit=Exit(0, "Completed", "", 3605.0))
    assert failure(again).reason == Reason.STARTUP_DEADLINE_EXCEEDED


def test_the_log_tells_what_the_tail_does_not():
    tail = "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"
    words = "container engine keeps exiting: exit code 1; the end of its log only points to what is above it"
    assert failure(looping(Exit(1, message=tail))).text == words
    unread = failure(looping(Exit(1, message=tail)), problem="the log of pod p could not be read: forbidden")
    assert unread.text == f"{words}; the log of pod p could not be read: forbidden"
    frames = '  File "x.py", line 1, in y\n    raise RuntimeError(\n' + tail
    assert failure(looping(Exit(1, message=frames))).text == words
    log = "ValueError: No available memory for the cache blocks. Try\n" + tail
    found = failure(looping(Exit(1, message=tail)), log=log)
    assert (found.reason, found.outlook) == (Reason.KV_CACHE_TOO_SMALL, Outlook.PERMANENT)
    agent = Container("agent", waiting="CrashLoopBackOff", last_exit=Exit(1, message=tail))
    assert failure(agent, log=log).reason == Reason.ENGINE_CRASHING, "the log is the engine's"


def test_a_driver_too_old_for_the_container_to_be_made():
    words = "nvidia-container-cli: requirement error: unsatisfied condition: cuda>=12.9, please update your driver"
    found = failure(engine(waiting="RunContainerError", waiting_message=words))
    assert found.reason == Reason.DRIVER_TOO_OLD


#: As containerd 2 words them, behind `Back-off pulling image "x:1": ErrImagePull: rpc error: ...` of the kubelet.
PULLS = {
    'failed to resolve reference "docker.io/x:1": docker.io/x:1: not found': ("OUTSIDE", "has no such image"),
    "pull access denied, repository does not exist or may require authorization: insufficient_scope: "
    "authorization failed": ("OUTSIDE", "the registry refuses it"),
    "unexpected status from HEAD request to https://r.example/v2/x/manifests/1: 401 Unauthorized": (
        "OUTSIDE",
        "pull secret",
    ),
    "429 Too Many Requests - Server message: toomanyrequests: You have reached your unauthenticated pull rate limit.": (
        "PASSING",
        "limits the rate of pulls",
    ),
    "no match for platform in manifest: not found": ("OUTSIDE", "not made for the node's processor"),
    "dial tcp: lookup registry.example on 10.0.0.2:53: no such host": ("PASSING", "does not reach the registry"),
    "dial tcp 192.0.2.1:443: i/o timeout": ("PASSING", "does not reach the registry"),
    "tls: failed to verify certificate: x509: certificate signed by unknown authority": ("OUTSIDE", "certificate"),
    "failed to extract layer: write /var/lib/x: no space left on device": ("OUTSIDE", "the node's disk is full"),
}


@pytest.mark.parametrize("words", PULLS)
def test_image_pulls(words):
    outlook, says = PULLS[words]
    message = f'Back-off pulling image "x:1": ErrImagePull: rpc error: code = Unknown desc = failed to pull: {words}'
    for waiting in ("ErrImagePull", "ImagePullBackOff"):
        found = failure(engine(waiting=waiting, waiting_message=message))
        assert (found.reason, found.outlook.name) == (Reason.IMAGE_UNAVAILABLE, outlook)
        assert says in found.text


def test_images_that_are_never_pulled():
    assert "not the name of an image" in failure(engine(waiting="InvalidImageName")).text
    assert "pulling it is forbidden" in failure(engine(waiting="ErrImageNeverPull")).text


@pytest.mark.parametrize(
    ("facts", "reason", "says"),
    [
        ({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}, "PodEvicted",
         "raise spec.resources.memory"),
        ({"phase": "Failed", "reason": "Evicted", "message": "ephemeral local storage usage exceeds"}, "PodEvicted",
         "spec.warmStart.cache"),
        ({"phase": "Failed", "reason": "UnexpectedAdmissionError", "message": "Allocate failed due to requested "
          "number of devices unavailable for nvidia.com/gpu. Requested: 1, Available: 0"}, "PodNotAdmitted",
         "Requested: 1, Available: 0"),
        ({"disruption": "DeletionByTaintManager", "node": "gpu-1"}, "NodeLost", "node gpu-1 is lost"),
        ({"reason": "NodeLost", "node": "gpu-1"}, "NodeLost", "node gpu-1 is lost"),
    ],
)  # fmt: skip
def test_pods_that_failed_as_a_whole(facts, reason, says):
    found = failure(**facts)
    assert found.reason == reason
    assert says in found.text


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("0/3 nodes are available: 3 Insufficient nvidia.com/gpu.", "nvidia.com/gpu: free one, add a node"),
        ("0/3 nodes are available: 3 Insufficient nvidia.com/mig-3g.40gb.", "nvidia.com/mig-3g.40gb: free one"),
        (
            "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector.",
            "spec.resources.gpu (product",
        ),
        (
            "0/2 nodes are available: 2 node(s) had untolerated taint {gpu: only}.",
            "the taint {gpu: only} in spec.scheduling.tolerations",
        ),
        ("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.", "kubectl describe pvc"),
        ('0/1 nodes are available: persistentvolumeclaim "weights" not found.', "kubectl describe pvc"),
        ("0/1 nodes are available: 1 node(s) had volume node affinity conflict.", "kubectl describe pvc"),
        ("0/2 nodes are available: 2 cannot allocate all claims.", "ResourceSlices"),
        ("waiting for resource claim to be created: phone-gpu", "ResourceSlices"),
        ("0/2 nodes are available: 2 Insufficient memory.", "lower spec.resources.memory"),
        ("0/2 nodes are available: 2 node(s) didn't match pod topology spread constraints.", "topologySpread"),
        ("0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules.", "spec.scheduling.affinity"),
    ],
)
def test_what_the_scheduler_lacks(words, says):
    found = failure(unschedulable=words)
    assert found.reason == Reason.UNSCHEDULABLE
    assert found.text.startswith(words)
    assert says in found.text


def test_several_obstacles_have_several_cures():
    words = "0/5 nodes: 2 Insufficient nvidia.com/gpu, 3 node(s) had untolerated taint {spot: true}."
    assert len(unschedulable_cures(words)) == 2
    assert unschedulable_cures("0/5 nodes: the moon is full") == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("exceeded quota: gpus, requested: requests.nvidia.com/gpu=1, used: 8, limited: 8", "ResourceQuota"),
        ('violates PodSecurity "restricted:latest": runAsNonRoot', "the namespace allows fewer rights"),
        ('admission webhook "v.kyverno" denied the request: no', "webhook"),
        ("no PriorityClass with name high was found", "spec.scheduling.priorityClassName"),
        ("RuntimeClass nvidia not found", "spec.scheduling.runtimeClassName"),
        ("something new", ""),
    ],
)
def test_what_admission_refuses(words, says):
    assert says in rejection_cure(words)
    assert bool(says) == bool(rejection_cure(words))


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ({"huggingFace": "a/b"}, "a/b"),
        ({"modelScope": "c/d"}, "c/d"),
        ({"pvc": {"claimName": "weights", "path": "x/y"}}, "x/y of claim weights"),
    ],
)
def test_sentences_name_the_model(deployment_document, source, name):
    spec = Spec.model_validate(deployment_document(model={"source": source, "contextLength": 25480})["spec"])
    named = about(spec)
    assert (named["model"], named["context"]) == (name, "25,480")


NOT_FOUND = Failure(Reason.MODEL_NOT_FOUND, Outlook.PERMANENT, "no model", "p", crashes=2)
PLACED = pod(node="gpu-1")


@pytest.mark.parametrize(
    ("failures", "pods", "released"),
    [
        ((NOT_FOUND,), (PLACED,), True),
        ((), (PLACED,), False),
        ((), (), False),
        # Some pod answers: an old one, or one that is on its way out.
        ((NOT_FOUND,), (PLACED, pod(name="q", node="gpu-2", ready=True)), False),
        ((NOT_FOUND,), (PLACED, pod(name="q", node="gpu-2", ready=True, terminating=True)), False),
        # Another pod still tries; one without a node, or that has run its course, holds no GPU.
        ((NOT_FOUND,), (PLACED, pod(name="q", node="gpu-2")), False),
        ((NOT_FOUND,), (PLACED, pod(name="q", unschedulable="0/1 nodes")), True),
        ((NOT_FOUND,), (PLACED, pod(name="q", node="gpu-2", phase="Failed")), True),
        ((NOT_FOUND,), (pod(unschedulable="0/1 nodes"),), False),
    ],
)
def test_gpus_are_released_only_when_no_pod_can_ever_work(failures, pods, released):
    assert release_gpus(failures, pods, NOW) is released


@pytest.mark.parametrize("outlook", [Outlook.OUTSIDE, Outlook.PASSING])
def test_what_may_pass_releases_nothing(outlook):
    assert not release_gpus((Failure(Reason.HUB_RATE_LIMITED, outlook, "", "p", crashes=9),), (PLACED,), NOW)


def test_one_crash_can_be_chance():
    once = Failure(Reason.MODEL_NOT_FOUND, Outlook.PERMANENT, "", "p", crashes=1)
    assert not release_gpus((once,), (PLACED,), NOW)


def test_a_run_that_lasts_longer_than_the_one_that_failed_is_let_be():
    trying = Failure(Reason.MODEL_NOT_FOUND, Outlook.PERMANENT, "", "p", crashes=2, over=NOW)
    assert not release_gpus((trying,), (PLACED,), NOW)
    assert release_gpus((trying,), (PLACED,), NOW - 1)


def test_weights_that_can_never_be_fetched():
    never = Failure(Reason.MODEL_NOT_FOUND, Outlook.PERMANENT, "", "phone-fetch")
    later = Failure(Reason.HUB_RATE_LIMITED, Outlook.PASSING, "", "phone-fetch")
    assert release_gpus((), (PLACED,), NOW, fetch=never)
    assert not release_gpus((), (PLACED,), NOW, fetch=later)
    assert not release_gpus((), (pod(node="gpu-1", ready=True),), NOW, fetch=never)


LOST = "Repository Not Found for url: https://huggingface.co/api/models/zai-org/AutoGLM-Fone."


def crashed(name="p", template="new", message=LOST, restarts=2):
    last = Exit(1, "Error", message, 30.0)
    container = engine(restarts=restarts, waiting="CrashLoopBackOff", last_exit=last)
    return Pod(name, template, ready=False, terminating=False, uid=f"uid-{name}", node="gpu-1", containers=(container,))


def test_release_says_why_and_stands(observe, workload):
    observed, _ = observe(crashed(), workload=workload())
    why = release(observed, None, startup=STARTUP)
    assert why.reason == Reason.MODEL_NOT_FOUND
    assert "the hub has no model zai-org/AutoGLM-Phone-9B" in why.message
    gone, _ = observe(workload=workload())
    assert release(gone, None, startup=STARTUP) is None
    assert release(gone, why, startup=STARTUP) == why


def test_the_first_crash_counts_once_it_has_come_again(observe, workload):
    once, _ = observe(crashed(restarts=0), workload=workload())
    assert release(once, None, startup=STARTUP) is None
    twice, _ = observe(crashed(restarts=1), workload=workload())
    assert release(twice, None, startup=STARTUP) is not None


def test_pods_of_the_spec_before_release_nothing(observe, workload):
    observed, _ = observe(crashed(template="old"), workload=workload())
    assert release(observed, None, startup=STARTUP) is None


def test_release_reads_the_logs(observe, workload):
    observed, _ = observe(crashed(message="See root cause above."), workload=workload())
    assert release(observed, None, startup=STARTUP) is None
    observed = replace(
        observed, logs={"uid-p": EngineLog(crash="ValueError: No available memory for the cache blocks.")}
    )
    why = release(observed, None, startup=STARTUP)
    assert isinstance(why, Release)
    assert why.reason == Reason.KV_CACHE_TOO_SMALL
