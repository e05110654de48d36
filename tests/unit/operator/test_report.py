"""Status documents, events, and the pauses between writes."""

from dataclasses import replace

import pytest

from autoglm_operator.decide.health import Health, Notice, Verdict
from autoglm_operator.errors import Gone
from autoglm_operator.kube.errors import ApiError
from autoglm_operator.kube.lease import LeadershipLost
from autoglm_operator.observe.world import Deployment
from autoglm_operator.report.events import events
from autoglm_operator.report.reporter import Reporter
from autoglm_operator.report.status import differs, status_document

NOW, LATER = 1_800_000_000.0, 1_800_000_100.0
STATUS_PATH = "/apis/autoglm.io/v1alpha1/namespaces/team-a/autoglmdeployments/phone/status"
EVENTS_PATH = "/apis/events.k8s.io/v1/namespaces/team-a/events"


def health(ready="True", stalled=("False", "NothingWrong", "nothing"), message="1 of 1"):
    return Health(
        1,
        1,
        1,
        (
            Verdict("Ready", ready, "ReplicasReady" if ready == "True" else "Starting", message),
            Verdict("Stalled", *stalled),
        ),
    )


STALLED = health("False", ("True", "ImageUnavailable", "image x cannot be pulled"))


@pytest.fixture
def deployment(deployment_document):
    def make(before=None, at=NOW, **kwargs):
        document = deployment_document(**kwargs)
        if before is not None:
            document["status"] = status_document(Deployment.parse(document), before, at)["status"]
        return Deployment.parse(document)

    return make


def conditions(document):
    return {item["type"]: item for item in document["status"]["conditions"]}


def test_status_document(deployment):
    document = status_document(deployment(generation=7), health(), NOW)
    assert document["metadata"] == {"name": "phone", "namespace": "team-a", "uid": "uid-of-phone"}
    status = document["status"]
    assert status["observedGeneration"] == 7
    assert (status["replicas"], status["readyReplicas"]) == (1, 1)
    assert status["selector"] == "app.kubernetes.io/managed-by=autoglm-operator,autoglm.io/deployment=phone"
    assert status["url"] == "http://phone.team-a.svc:8000/v1"
    assert status["modelName"] == "phone"
    assert conditions(document)["Ready"] == {
        "type": "Ready",
        "status": "True",
        "observedGeneration": 7,
        "lastTransitionTime": "2027-01-15T08:00:00Z",
        "reason": "ReplicasReady",
        "message": "1 of 1",
    }


def test_transition_time_moves_with_the_status_alone(deployment):
    before = deployment(health("False"))
    same = conditions(status_document(before, health("False", message="0 of 2"), LATER))["Ready"]
    assert same["lastTransitionTime"] == "2027-01-15T08:00:00Z"
    assert same["message"] == "0 of 2"
    other = conditions(status_document(before, health("True"), LATER))["Ready"]
    assert other["lastTransitionTime"] == "2027-01-15T08:01:40Z"


def test_long_messages_fit_the_schema(deployment):
    found = conditions(status_document(deployment(), health(message="ü" * 3000), NOW))["Ready"]
    assert len(found["message"]) == 1024


def test_differs_only_in_what_is_ours(deployment):
    document = status_document(deployment(), health(), NOW)
    live = document["status"] | {"autoscaling": {"desiredReplicas": 3}}
    assert not differs(document, live)
    assert differs(document, {})
    assert differs(document, live | {"readyReplicas": 0})
    assert differs(document, live | {"conditions": live["conditions"][:1]})


def test_a_new_generation_is_news_even_if_all_else_is_equal(deployment):
    before = deployment(health())
    after = Deployment(**{**{s: getattr(before, s) for s in before.__slots__}, "generation": 2})
    assert differs(status_document(after, health(), LATER), before.status)


def test_spec_that_cannot_be_read_still_has_a_status(deployment):
    document = status_document(deployment(engine={"type": "TensorRT"}), health("False"), NOW)
    assert document["status"]["modelName"] == "phone"


def test_event_once_for_each_trouble(deployment):
    (event,) = events(deployment(), STALLED, "pod-0", NOW)
    assert (event["type"], event["reason"]) == ("Warning", "ImageUnavailable")
    assert event["note"] == "image x cannot be pulled"
    assert event["regarding"]["uid"] == "uid-of-phone"
    assert event["eventTime"] == "2027-01-15T08:00:00.000000Z"
    assert events(deployment(STALLED), STALLED, "pod-0", NOW) == []
    again = health("False", ("True", "ImageUnavailable", "image y cannot be pulled"))
    assert events(deployment(STALLED), again, "pod-0", NOW) == []
    other = health("False", ("True", "Unschedulable", "no node"))
    assert [item["reason"] for item in events(deployment(STALLED), other, "pod-0", NOW)] == ["Unschedulable"]


def test_event_for_the_end_of_trouble_alone(deployment):
    (event,) = events(deployment(STALLED), health(), "pod-0", NOW)
    assert (event["type"], event["reason"]) == ("Normal", "Recovered")
    assert event["note"] == "no longer in trouble: image x cannot be pulled"
    assert events(deployment(health()), health(), "pod-0", NOW) == []
    assert events(deployment(), health(), "pod-0", NOW) == []


def test_trouble_that_may_pass_is_told_too(deployment):
    limited = health("False", ("False", "HubRateLimited", "the hub limits the rate"))
    (event,) = events(deployment(), limited, "pod-0", NOW)
    assert (event["type"], event["reason"]) == ("Warning", "HubRateLimited")
    assert events(deployment(limited), limited, "pod-0", NOW) == []
    assert [item["reason"] for item in events(deployment(STALLED), limited, "pod-0", NOW)] == ["HubRateLimited"]
    assert [item["reason"] for item in events(deployment(limited), health(), "pod-0", NOW)] == ["Recovered"]


def test_notices_are_told_beside(deployment):
    noticed = replace(health(), notices=(Notice("Warning", "FitWrong", "7 % more than thought"),))
    (event,) = events(deployment(), noticed, "pod-0", NOW)
    assert (event["type"], event["reason"], event["note"]) == ("Warning", "FitWrong", "7 % more than thought")


def test_what_was_learned_is_in_the_status(deployment):
    status = status_document(deployment(), replace(health(), fit={"a": 1}, cold_start={"samples": 1}), NOW)["status"]
    assert (status["fit"], status["coldStart"]) == ({"a": 1}, {"samples": 1})


def test_what_was_learned_stays_until_it_is_learned_anew(deployment):
    learned = replace(health(), fit={"a": 1}, cold_start={"samples": 1})
    status = status_document(deployment(learned), health(), LATER)["status"]
    assert (status["fit"], status["coldStart"]) == ({"a": 1}, {"samples": 1})
    status = status_document(deployment(learned), replace(health(), fit={"a": 2}), LATER)["status"]
    assert (status["fit"], status["coldStart"]) == ({"a": 2}, {"samples": 1})
    assert not {"fit", "coldStart"} & status_document(deployment(), health(), NOW)["status"].keys()


def test_learning_is_news_and_the_same_again_is_not(deployment):
    learned = replace(health(), cold_start={"samples": 1})
    before = deployment(learned)
    assert not differs(status_document(before, learned, LATER), before.status)
    assert differs(status_document(before, replace(learned, cold_start={"samples": 2}), LATER), before.status)


def test_note_is_cut_by_bytes(deployment):
    (event,) = events(deployment(), health("False", ("True", "Unschedulable", "ü" * 3000)), "pod-0", NOW)
    assert event["note"] == "ü" * 512


@pytest.fixture
def clock():
    class Clock:
        now = 50.0

        def __call__(self):
            return self.now

    return Clock()


@pytest.fixture
def reporter(client, clock):
    return Reporter(client, "pod-0", lambda: None, clock)


def test_new_children_get_one_status_for_the_whole_start(deployment, reporter, clock):
    fresh = deployment()
    assert reporter.pause(fresh, health("False"), now=NOW, created=True) == 5
    clock.now += 3
    assert reporter.pause(fresh, health("False", message="changed"), now=NOW, created=False) == 2
    clock.now += 2
    assert reporter.pause(fresh, health("False"), now=NOW, created=False) == 0


def test_readiness_does_not_wait(deployment, reporter):
    assert reporter.pause(deployment(), health("True"), now=NOW, created=True) == 0


def test_nothing_new_needs_no_pause(deployment, reporter):
    assert reporter.pause(deployment(health("False")), health("False"), now=NOW, created=True) == 0


async def test_changes_soon_after_a_write_wait(deployment, reporter, clock):
    await reporter.report(deployment(), health("False"), NOW)
    known = deployment(health("False"))
    assert reporter.pause(known, health("False", message="other"), now=NOW, created=False) == 5
    # A wall clock that jumps back an hour does not lengthen it.
    assert reporter.pause(known, health("False", message="other"), now=NOW - 3600, created=False) == 5
    reporter.forget("uid-of-phone")
    assert reporter.pause(known, health("False", message="other"), now=NOW, created=False) == 0


async def test_report_writes_status_then_event(deployment, reporter, api):
    answer = await reporter.report(deployment(), STALLED, NOW)
    assert answer["status"]["conditions"][0]["type"] == "Ready"
    assert api.writes() == [f"PATCH {STATUS_PATH}", f"POST {EVENTS_PATH}"]
    assert await reporter.report(deployment(STALLED), STALLED, NOW) is None
    assert len(api.writes()) == 2


async def test_an_event_that_is_refused_keeps_nothing_from_being_done(deployment, reporter, api, error_status):
    api.answer(f"POST {EVENTS_PATH}", lambda: error_status(403, "Forbidden", "quota"))
    assert await reporter.report(deployment(), STALLED, NOW) is not None


async def test_a_failing_status_posts_no_event(deployment, reporter, api, error_status):
    api.answer(f"PATCH {STATUS_PATH}", lambda: error_status(500, "InternalError", "etcd"))
    with pytest.raises(ApiError, match="etcd"):
        await reporter.report(deployment(), STALLED, NOW)
    assert f"POST {EVENTS_PATH}" not in api.requests


async def test_a_deployment_that_is_gone(deployment, reporter, api, error_status):
    api.answer(f"PATCH {STATUS_PATH}", lambda: error_status(404, "NotFound", "gone"))
    with pytest.raises(Gone, match="team-a/phone"):
        await reporter.report(deployment(), STALLED, NOW)


async def test_trouble_that_wavers_is_told_once_a_while(deployment, reporter, api, clock):
    """Two pods in two kinds of trouble: the condition names one, then the other, and back."""
    other = health("False", ("True", "Unschedulable", "no node"))
    api.objects["/apis/autoglm.io/v1alpha1/namespaces/team-a/autoglmdeployments/phone"] = {"metadata": {}}
    for _ in range(4):
        await reporter.report(deployment(other), STALLED, NOW)
        await reporter.report(deployment(STALLED), other, NOW)
    assert api.requests[f"POST {EVENTS_PATH}"] == 2
    clock.now += 600
    await reporter.report(deployment(other), STALLED, NOW)
    assert api.requests[f"POST {EVENTS_PATH}"] == 3
    reporter.forget("uid-of-phone")
    assert not reporter._told


async def test_who_no_longer_leads_writes_nothing(deployment, client, api):
    def may_not():
        raise LeadershipLost("x")

    with pytest.raises(LeadershipLost):
        await Reporter(client, "pod-0", may_not).report(deployment(), STALLED, NOW)
    assert api.writes() == []
