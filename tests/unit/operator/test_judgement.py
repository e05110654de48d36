"""What is reported beside the health: versions, the fit against the engines' own figures, what a layout costs."""

import pytest

from autoglm_operator.api import names
from autoglm_operator.decide.decided import Decided, shape
from autoglm_operator.decide.health import GPU_ALLOCATION
from autoglm_operator.decide.judgement import ENGINE_VERSION, GPU_HEALTHY, judge
from autoglm_operator.decide.plan import make_plan
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.errors import Terminal
from autoglm_operator.observe.world import Deployment, Observed, child_ref
from autoglm_operator.settings import Images

H100 = {"gpu": {"product": "NVIDIA-H100-80GB-HBM3"}}
L4 = {"gpu": {"product": "NVIDIA-L4"}}
PHONE = {"source": {"huggingFace": "zai-org/AutoGLM-Phone-9B"}}
REAL = {"engine": {"type": "vLLM"}, "resources": H100, "model": PHONE}


@pytest.fixture
def seen(deployment_document):
    def make(status=None, live=None, **spec):
        document = deployment_document(**(REAL | spec)) | {"status": status or {}}
        children = {child_ref(live): live} if live else {}
        return Observed(Deployment.parse(document), children, (), frozenset({"LeaderWorkerSet"}), 0.0)

    return make


def judged(observed, doubt=None):
    return judge(observed, make_plan(observed, Images()), doubt)


def condition(health, kind):
    return next((verdict for verdict in health.verdicts if verdict.type == kind), None)


def test_the_fit_is_said_with_its_numbers(seen):
    health = judged(seen())
    assert health.fit["verdict"] == "Fits"
    assert health.fit["kvCacheTokens"] > 1_000_000
    assert "observed" not in health.fit
    assert condition(health, "Fits").message == health.fit["message"]


@pytest.mark.parametrize(("share", "told"), [(1.0, False), (0.96, False), (0.9, True), (1.1, True)])
def test_an_estimate_that_is_off_is_told_once(seen, share, told):
    expected = judged(seen()).fit["kvCacheTokens"]
    status = {"serving": {"kvCacheTokens": round(expected * share)}}
    health = judged(seen(status=status))
    assert [notice.reason for notice in health.notices] == ([Reason.FIT_ESTIMATE_OFF] if told else [])
    again = judged(seen(status=status | {"fit": health.fit}))
    assert again.notices == ()
    assert again.fit == health.fit, "nothing to write"


def test_the_cache_of_all_ranks_is_compared_rank_by_rank(seen):
    spread = {"gpu": {"product": "NVIDIA-H100-80GB-HBM3", "count": 2}, "parallelism": {"data": 2}}
    expected = judged(seen(resources=spread)).fit["kvCacheTokens"]
    health = judged(seen(resources=spread, status={"serving": {"kvCacheTokens": 2 * expected}}))
    assert health.fit["observed"]["errorPercent"] == 0.0


def test_what_does_not_fit_is_refused_before_anything_is_made(seen):
    with pytest.raises(Terminal) as raised:
        make_plan(seen(resources=L4), Images())
    assert raised.value.reason == Reason.DOES_NOT_FIT
    assert "use fp8" in str(raised.value)


def test_what_runs_is_not_stopped_by_an_estimate(seen):
    decided = Decided(shape(seen(resources=L4).deployment.spec), drain=180, startup=600, version="0.33.0")
    meta = {"name": "phone", "annotations": {names.ANNOTATION_DECIDED: decided.text()}}
    template = {"metadata": {}, "spec": {"containers": [{"name": names.ENGINE_CONTAINER}]}}
    live = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": {"template": template}}
    health = judged(seen(live=live, resources=L4))
    assert condition(health, "Fits").reason == Reason.DOES_NOT_FIT


def test_the_simulator_is_judged_by_neither(seen):
    health = judged(seen(engine={"type": "Simulator"}))
    assert health.fit is None
    assert condition(health, ENGINE_VERSION) is None


@pytest.mark.parametrize(
    ("doubt", "expected"), [(None, ("True", Reason.FLAGS_CHECKED)), ("newer", ("Unknown", Reason.FLAGS_UNCHECKED))]
)
def test_whether_the_flags_are_known(seen, doubt, expected):
    verdict = condition(judged(seen(), doubt), ENGINE_VERSION)
    assert (verdict.status, verdict.reason) == expected


def test_an_image_that_is_asked_holds_the_pods_back_and_says_so(seen):
    health = judged(seen(engine={"type": "vLLM", "image": "team/engine@sha256:0"}))
    assert condition(health, ENGINE_VERSION).reason == Reason.PROBING_IMAGE
    assert condition(health, "Ready").reason == Reason.PROBING_IMAGE
    assert condition(health, "Stalled").status == "False"


def test_what_a_layout_costs_is_said_where_the_gpus_are(seen):
    spread = {
        "gpu": {"product": "NVIDIA-H100-80GB-HBM3", "count": 4},
        "parallelism": {"tensor": 2, "pipeline": 2},
    }
    assert "each idles 50% of the time" in condition(judged(seen(resources=spread)), GPU_ALLOCATION).message


FAULT = {"pod": "phone-x", "code": "xid-79", "severity": "critical", "action": "drain", "message": "off the bus"}


def test_a_fault_is_a_condition_and_one_event(seen):
    status = {"serving": {"faults": [FAULT]}}
    health = judged(seen(status=status))
    verdict = condition(health, GPU_HEALTHY)
    assert (verdict.status, verdict.message) == ("False", "pod phone-x: xid-79: off the bus")
    (notice,) = health.notices
    assert (notice.kind, notice.reason) == ("Warning", Reason.FAULT_REPORTED)
    assert "asks for: drain" in notice.message
    told = {
        "type": GPU_HEALTHY,
        "status": "False",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        "reason": verdict.reason,
        "message": verdict.message,
    }
    assert judged(seen(status=status | {"conditions": [told]})).notices == ()


def test_a_warning_is_no_sick_gpu(seen):
    status = {"serving": {"faults": [FAULT | {"severity": "warning"}]}}
    assert condition(judged(seen(status=status)), GPU_HEALTHY).status == "True"


def test_nothing_is_said_of_gpus_that_nobody_has_looked_at(seen):
    assert condition(judged(seen()), GPU_HEALTHY) is None
    assert condition(judged(seen(status={"serving": {"kvCacheTokens": 1}})), GPU_HEALTHY).status == "True"
