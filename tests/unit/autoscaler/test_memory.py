import asyncio
import contextlib
import json
from dataclasses import replace

import pytest

from autoglm_operator.api.v1alpha1 import Autoscaling
from autoglm_operator.autoscaler.memory import (
    _AT_ONCE,
    LAW_SECONDS,
    NUMBER_SECONDS,
    READ_AGAIN_SECONDS,
    RECORD_SECONDS,
    RETRY_SECONDS,
    Memory,
)
from autoglm_operator.autoscaler.memory_document import MOST_BYTES, contents
from autoglm_operator.autoscaler.pods import Target
from autoglm_operator.decide.scaling.bounds import Bounds, Limit
from autoglm_operator.decide.scaling.history import MOST, Inputs, Ring
from autoglm_operator.decide.scaling.needs import ScalingReason, Signals
from autoglm_operator.decide.scaling.rule import Decision
from autoglm_operator.kube.errors import ApiError, ConnectionLost

TARGET = Target("prod", "phone", "u", 3, Autoscaling(max_replicas=9))
KEY = ("prod", "phone")
NAME = ("prod", "phone-autoscaling")
SIGNALS = Signals(ready=3)
BOUNDS = Bounds(1, 9, "minReplicas is 1 and maxReplicas 9")
OWNER = {"kind": "AutoGLMDeployment", "name": "phone", "uid": "u", "controller": True}


class Api:
    """Holds ConfigMaps as the API server does: server-side apply by one manager, a uid for each, conflicts by uid."""

    def __init__(self):
        self.objects = {}
        self.applied = []
        self.reads = self.version = 0
        self.errors = []
        self.hold = asyncio.Event()
        self.hold.set()

    def put(self, data, owners=(OWNER,), uid="cm-0"):
        self.objects[NAME] = {"metadata": {"uid": uid, "ownerReferences": list(owners)}, "data": data}
        self._number(NAME)

    async def get(self, api_version, kind, namespace, name):
        assert (api_version, kind) == ("v1", "ConfigMap")
        self.reads += 1
        self._fail()
        if (namespace, name) not in self.objects:
            raise ApiError(404, {}, "GET")
        return self.objects[namespace, name]

    async def apply(self, obj, manager, *, force):
        await self.hold.wait()
        self._fail()
        meta = obj["metadata"]
        key = (meta["namespace"], meta["name"])
        present = self.objects.get(key, {}).get("metadata", {}).get("uid")
        if "uid" in meta and meta["uid"] != present:
            raise ApiError(409, {}, "PATCH")
        self.applied.append((obj, manager, force))
        uid = present or f"cm-{len(self.applied)}"
        self.objects[key] = obj | {"metadata": meta | {"uid": uid}}
        self._number(key)
        return self.objects[key]

    def _number(self, key):
        self.version += 1
        self.objects[key]["metadata"]["resourceVersion"] = str(self.version)

    def _fail(self):
        if self.errors and (error := self.errors.pop(0)):
            raise error


class Judge:
    """Learns one number."""

    def __init__(self):
        self.learned = {}

    def dump(self, key):
        return self.learned.get(key)

    def restore(self, key, stored):
        self.learned[key] = stored


def decision(to=5, reason=ScalingReason.QUEUE, cause="QueueBacklog"):
    return Decision(to, reason, f"{to} replicas", candidates=((cause, float(to)),))


@pytest.fixture
async def api():
    return Api()


@pytest.fixture
def judge():
    return Judge()


@pytest.fixture
def leads():
    return [True]


@pytest.fixture
def memory(api, judge, leads, clock):
    return Memory(api, lambda: leads[0], judge, clock)


@contextlib.asynccontextmanager
async def running(memory):
    """Run the writer's task; `settled` of it returns once it has nothing to do."""
    task = asyncio.create_task(memory.run())
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("autoglm_operator.autoscaler.memory._LOOK_SECONDS", 0.0)


async def settle():
    for _ in range(50):
        await asyncio.sleep(0)


def stored(api):
    data = api.objects[NAME]["data"]
    return json.loads(data["decisions.json"]), json.loads(data["law.json"]) if "law.json" in data else None


async def seen(memory, *decisions, target=TARGET):
    await memory.recall(target)
    for made in decisions:
        memory.note(target, made, SIGNALS, BOUNDS)


async def test_what_is_decided_and_learned_is_written_and_owned(memory, api, judge, clock):
    await seen(memory, decision())
    judge.learned[KEY] = {"level": 2.5}
    async with running(memory):
        await settle()
        assert api.applied == []
        clock.now += NUMBER_SECONDS
        await settle()
    ((obj, manager, force),) = api.applied
    assert (manager, force) == ("autoglm-autoscaler", False)
    assert obj["metadata"]["name"] == "phone-autoscaling"
    assert obj["metadata"]["labels"]["autoglm.io/deployment"] == "phone"
    (owner,) = obj["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("AutoGLMDeployment", "u", True)
    assert "blockOwnerDeletion" not in owner
    ((record,), law) = stored(api)
    assert (record["from"], record["to"], record["inputs"]["ready"], law) == (3, 5, 3, {"level": 2.5})


async def test_another_process_goes_on_where_this_one_was(memory, api, judge, clock):
    await seen(memory, decision(5), decision(6))
    judge.learned[KEY] = {"level": 2.5}
    async with running(memory):
        clock.now += NUMBER_SECONDS
        await settle()
    later_judge = Judge()
    later = Memory(api, lambda: True, later_judge, clock)
    await seen(later, decision(6), decision(7))
    assert later_judge.learned == {KEY: {"level": 2.5}}
    async with running(later):
        clock.now += NUMBER_SECONDS
        await settle()
    records, _ = stored(api)
    assert [(record["from"], record["to"], record["repeated"]) for record in records] == [
        (3, 5, 0),
        (5, 6, 1),
        (6, 7, 0),
    ]
    assert api.applied[-1][2] is True
    assert api.applied[-1][0]["metadata"]["uid"] == "cm-1"


async def writes_over(seconds, memory, api, clock, each):
    """Return how many writes there are in that time, with `each` called every five seconds."""
    async with running(memory) as task:
        for place in range(0, seconds, 5):
            each(place)
            clock.now += 5
            await settle()
        written = len(api.applied)
        # What is written on the way out is not counted here.
        memory._leads = False
        task.cancel()
    return written


async def test_at_rest_it_is_written_once_and_then_every_half_hour(memory, api, judge, clock):
    await seen(memory)
    judge.learned[KEY] = {}
    note = lambda _: memory.note(TARGET, decision(3), SIGNALS, BOUNDS)  # noqa: E731
    assert await writes_over(2 * int(LAW_SECONDS) + 60, memory, api, clock, note) == 3


async def test_reasons_that_take_turns_are_written_every_ten_minutes(memory, api, clock):
    await seen(memory)

    def turn(place):
        memory.note(TARGET, decision(3, cause=("Load", "ColdStartLead")[place // 5 % 2]), SIGNALS, BOUNDS)

    assert await writes_over(2 * int(RECORD_SECONDS) + 60, memory, api, clock, turn) == 3


async def test_a_change_of_number_is_written_within_five_seconds_and_no_more_often(memory, api, clock):
    await seen(memory, decision(3))
    async with running(memory):
        clock.now += NUMBER_SECONDS
        await settle()
        assert len(api.applied) == 1
        clock.now += 60
        memory.note(TARGET, decision(4), SIGNALS, BOUNDS)
        await settle()
        assert len(api.applied) == 2
        for number in (5, 6, 7):
            memory.note(TARGET, decision(number), SIGNALS, BOUNDS)
            await settle()
        assert len(api.applied) == 2
        clock.now += NUMBER_SECONDS
        await settle()
        assert len(api.applied) == 3
    assert [record["to"] for record in stored(api)[0]] == [3, 4, 5, 6, 7]


async def test_a_standby_reads_and_writes_nothing(memory, api, leads, judge, clock):
    leads[0] = False
    api.put({"decisions.json": "[]", "law.json": '{"level": 1}'})
    await seen(memory, decision())
    async with running(memory):
        clock.now += 2 * LAW_SECONDS
        await settle()
    assert (api.reads, api.applied, judge.learned[KEY]) == (1, [], {"level": 1})


async def test_who_begins_to_lead_takes_over_what_the_other_wrote_and_keeps_its_own_learning(
    memory, api, leads, judge, clock
):
    leads[0] = False
    await seen(memory, decision(5))
    judge.learned[KEY] = {"level": 9}
    other = Ring()
    other.note(decision(4), lambda: Inputs.of(3, SIGNALS, BOUNDS, decision(4)), 0.0)
    api.put({"decisions.json": json.dumps(other.documents()), "law.json": '{"level": 1}'})
    async with running(memory):
        await settle()
        leads[0] = True
        clock.now += NUMBER_SECONDS
        await settle()
    records, law = stored(api)
    assert [record["to"] for record in records] == [4, 5]
    assert law == {"level": 9}


async def test_what_is_written_is_not_kept_in_memory_but_for_the_last(memory, api, clock):
    await seen(memory, *(decision(number) for number in range(20)))
    async with running(memory):
        clock.now += NUMBER_SECONDS
        await settle()
        assert [record.to for record in memory._kept[KEY].ring.records] == [19]
        memory.note(TARGET, decision(20), SIGNALS, BOUNDS)
        clock.now += NUMBER_SECONDS
        await settle()
    assert [record["to"] for record in stored(api)[0]] == list(range(21))


async def test_what_is_decided_while_a_write_is_under_way_is_for_the_next_one(memory, api, clock):
    await seen(memory, decision(1), decision(2))
    async with running(memory):
        api.hold.clear()
        clock.now += NUMBER_SECONDS
        await settle()
        memory.note(TARGET, decision(3), SIGNALS, BOUNDS)
        api.hold.set()
        await settle()
        assert [record["to"] for record in stored(api)[0]] == [1, 2]
        clock.now += NUMBER_SECONDS
        await settle()
    assert [record["to"] for record in stored(api)[0]] == [1, 2, 3]


async def test_a_standby_keeps_what_the_leader_may_not_have_written(memory, leads, monkeypatch):
    leads[0] = False
    wall = [0.0]
    monkeypatch.setattr("autoglm_operator.autoscaler.memory.time.time", lambda: wall[0])
    for number in range(10):
        wall[0] += LAW_SECONDS / 3
        await seen(memory, decision(number))
    assert [record.to for record in memory._kept[KEY].ring.records] == [6, 7, 8, 9]


async def test_on_the_way_out_what_is_new_is_written(memory, api, clock):
    await seen(memory, decision(3))
    async with running(memory):
        clock.now += NUMBER_SECONDS
        await settle()
        memory.note(TARGET, decision(4), SIGNALS, BOUNDS)
        await settle()
        assert len(api.applied) == 1
    assert [record["to"] for record in stored(api)[0]] == [3, 4]


async def test_on_the_way_out_what_was_just_written_is_left(memory, api, clock):
    await seen(memory, decision(3))
    async with running(memory):
        clock.now += NUMBER_SECONDS
        await settle()
    assert len(api.applied) == 1


async def test_an_api_server_that_hangs_does_not_keep_the_process(memory, api, clock, monkeypatch, caplog):
    monkeypatch.setattr("autoglm_operator.autoscaler.memory._FLUSH_SECONDS", 0.01)
    await seen(memory, decision(3))
    async with running(memory):
        clock.now += NUMBER_SECONDS
        await settle()
        memory.note(TARGET, decision(4), SIGNALS, BOUNDS)
        api.hold.clear()
    assert len(api.applied) == 1
    assert caplog.records[-1].deployments == 1


@pytest.mark.parametrize(
    "owners", [[], [OWNER | {"uid": "another"}], [OWNER | {"controller": False}], [{"kind": "Deployment", "uid": "d"}]]
)
async def test_a_config_map_of_somebody_else_is_not_touched(memory, api, clock, caplog, owners):
    api.put({"mine": "1"}, owners)
    await seen(memory, decision())
    async with running(memory):
        for _ in range(5):
            clock.now += RETRY_SECONDS
            await settle()
        assert api.applied == []
        (limit,) = memory.note(TARGET, decision(), SIGNALS, BOUNDS).limits
        assert limit.reason == Limit.MEMORY_NOT_KEPT
        assert "ConfigMap prod/phone-autoscaling does not belong to this AutoGLMDeployment" in limit.message
        assert len(caplog.records) == 1
        # Once it is gone, the deployment's own takes its place.
        del api.objects[NAME]
        clock.now += RETRY_SECONDS
        await settle()
    assert len(api.applied) == 1
    assert memory.note(TARGET, decision(), SIGNALS, BOUNDS).limits == ()


@pytest.mark.parametrize(
    ("data", "restored"),
    [
        ({"decisions.json": "{", "law.json": "{}"}, {}),
        ({"decisions.json": "[]", "law.json": "not json"}, None),
        ({"decisions.json": '[{"time": 1}]', "law.json": "{}"}, {}),
        ({"decisions.json": "[]", "law.json": "[1]"}, None),
        ({}, None),
    ],
)
async def test_what_cannot_be_read_begins_anew(memory, api, judge, clock, caplog, data, restored):
    api.put(data)
    await seen(memory, decision())
    assert judge.learned.get(KEY) == restored
    broken = [record for record in caplog.records if record.message.startswith("memory is not readable")]
    assert len(broken) == (1 if data else 0)
    async with running(memory):
        clock.now += LAW_SECONDS
        await settle()
    assert [record["to"] for record in stored(api)[0]] == [5]


@pytest.mark.parametrize("error", [ApiError(403, {}, "GET"), ApiError(500, {}, "GET"), ConnectionLost("refused")])
async def test_nothing_is_written_before_it_was_read(memory, api, judge, clock, caplog, error):
    api.put({"decisions.json": "[]", "law.json": '{"level": 1}'})
    api.errors = [error]
    await seen(memory, decision(3))
    assert [record.message for record in caplog.records] == ["memory not read"]
    await memory.recall(TARGET)
    assert api.reads == 1
    async with running(memory):
        clock.now += READ_AGAIN_SECONDS
        await settle()
        assert api.applied == []
        await memory.recall(TARGET)
        assert judge.learned[KEY] == {"level": 1}


@pytest.mark.parametrize("errors", [[ConnectionLost("no look")], [None, ConnectionLost("looked, and not written")]])
async def test_a_write_that_fails_is_tried_again_later_with_everything(memory, api, clock, caplog, errors):
    await seen(memory, decision())
    async with running(memory):
        api.errors = errors
        clock.now += NUMBER_SECONDS
        await settle()
        assert [record.message for record in caplog.records] == ["memory not written"]
        clock.now += RETRY_SECONDS - 1
        await settle()
        assert api.applied == []
        clock.now += 1
        await settle()
        assert len(api.applied) == 1
    assert [record["to"] for record in stored(api)[0]] == [5]


async def test_a_config_map_that_was_deleted_is_made_again(memory, api, clock, caplog):
    await seen(memory, decision(3))
    async with running(memory):
        clock.now += NUMBER_SECONDS
        await settle()
        del api.objects[NAME]
        memory.note(TARGET, decision(4), SIGNALS, BOUNDS)
        clock.now += NUMBER_SECONDS
        await settle()
        clock.now += RETRY_SECONDS
        await settle()
    assert [record["to"] for record in stored(api)[0]] == [3, 4]
    assert caplog.records == []


async def test_a_deployment_that_is_gone_is_written_no_more(memory, api, clock):
    await seen(memory, decision())
    memory.forget(KEY)
    async with running(memory):
        clock.now += LAW_SECONDS
        await settle()
    assert api.applied == []


async def test_a_successor_of_the_same_name_begins_anew(memory, api, clock):
    await seen(memory, decision())
    async with running(memory):
        clock.now += NUMBER_SECONDS
        await settle()
        memory.forget(KEY)
        # The garbage collector has not come by yet.
        successor = replace(TARGET, uid="u2")
        await seen(memory, decision(1), target=successor)
        clock.now += RETRY_SECONDS
        await settle()
        assert len(api.applied) == 1
        del api.objects[NAME]
        clock.now += RETRY_SECONDS
        await settle()
    (owner,) = api.objects[NAME]["metadata"]["ownerReferences"]
    assert owner["uid"] == "u2"
    assert [record["to"] for record in stored(api)[0]] == [1]


async def test_a_thousand_deployments_at_rest_are_not_written_at_the_same_time(api, judge, clock):
    memory = Memory(api, lambda: True, judge, clock)
    targets = [replace(TARGET, name=f"d{number}") for number in range(1000)]
    for target in targets:
        meta = {"uid": "c", "resourceVersion": "1", "ownerReferences": [OWNER]}
        api.objects["prod", f"{target.name}-autoscaling"] = {"metadata": meta}
        await memory.recall(target)
    most = 0
    async with running(memory) as task:
        for _ in range(30):
            before = len(api.applied)
            clock.now += LAW_SECONDS / 30
            for _ in range(10):
                await settle()
            most = max(most, len(api.applied) - before)
        assert len(api.applied) == 1000
        memory._leads = False
        task.cancel()
    assert most < 70


def test_the_oldest_decisions_go_where_there_is_no_room():
    ring = Ring()
    for number in range(MOST):
        made = replace(decision(number), message="→" * 4000)
        ring.note(made, lambda made=made: Inputs.of(3, SIGNALS, BOUNDS, made), 0.0)
    data = contents(ring.documents(), {"bins": [1.5] * 1000})
    assert MOST_BYTES * 0.95 < sum(len(text.encode()) for text in data.values()) <= MOST_BYTES
    kept = [record["to"] for record in json.loads(data["decisions.json"])]
    assert kept == list(range(MOST - len(kept), MOST))


def test_without_learning_there_is_no_law():
    assert list(contents([], None)) == ["decisions.json"]
    assert contents([], {})["law.json"] == "{}"


async def test_a_change_everywhere_is_written_a_few_at_a_time(api, judge, clock, monkeypatch):
    memory = Memory(api, lambda: True, judge, clock)
    for number in range(40):
        await seen(memory, decision(), target=replace(TARGET, name=f"d{number}"))
    clock.now += NUMBER_SECONDS
    monkeypatch.setattr("autoglm_operator.autoscaler.memory._LOOK_SECONDS", 1000.0)
    async with running(memory):
        await settle()
        assert len(api.applied) == _AT_ONCE
    # And all of them on the way out.
    assert len({obj["metadata"]["name"] for obj, *_ in api.applied}) == 40
