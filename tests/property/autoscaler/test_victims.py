"""What holds for replicas on their way out, whatever becomes of the cluster around them."""

from dataclasses import dataclass, field, replace

from hypothesis import given
from hypothesis import strategies as st

from autoglm_operator.decide.scaling.needs import ScalingReason
from autoglm_operator.decide.scaling.rule import Decision
from autoglm_operator.decide.scaling.victims import Replica, Stage, Times, follow, in_service, plan

TICK = 3.0
TIMES = Times(drain=60.0, patience=120.0)
MOST = 6


@dataclass
class Cluster:
    """Replicas, the number that is ordered, and a controller that removes as a ReplicaSet or a LeaderWorkerSet does."""

    ordered: int
    grouped: bool = False
    now: float = 1000.0
    made: int = 0
    order: object = None
    replicas: dict[str, Replica] = field(default_factory=dict)
    removed: list[Replica] = field(default_factory=list)

    def __post_init__(self):
        self.reconcile()
        for name, replica in self.replicas.items():
            self.replicas[name] = replace(replica, ready=True)

    def reconcile(self):
        while len(self.replicas) < self.ordered or (self.grouped and self._free() < self.ordered):
            self.made += 1
            name = f"r{self.made}"
            index = self._free() if self.grouped else None
            load, made = 3.0 * (self.made % 5), self.now + self.made
            self.replicas[name] = Replica(name, ready=False, load=load, created=made, index=index)
        costs = {Stage.DRAINED: 0, Stage.DRAINING: 1, Stage.SERVING: 2}
        by_cost = lambda one: (one.ready, costs[one.stage], -one.created)  # noqa: E731
        ranked = sorted(self.replicas.values(), key=(lambda one: -one.index) if self.grouped else by_cost)
        for replica in ranked[: len(self.replicas) - self.ordered]:
            self.removed.append(self.replicas.pop(replica.name))

    def _free(self):
        taken = {replica.index for replica in self.replicas.values()}
        return next(number for number in range(MOST + 1) if number not in taken)

    def tick(self, wanted, fails=frozenset()):
        """Decide, patch and let time pass; return the plan and the replicas that were there when it was made."""
        self.now += TICK
        seen = list(self.replicas.values())
        decision = Decision(wanted, ScalingReason.SPARE, f"{wanted} replicas")
        self.order = follow(self.order, decision, self.ordered, self.now)
        made = plan(self.order, decision, seen, ordered=self.ordered, times=TIMES, now=self.now)
        for replica, stage in made.moves:
            if replica.name not in fails:
                since = self.now if replica.stage is Stage.SERVING else replica.since
                self.replicas[replica.name] = replace(
                    replica, stage=stage, since=0.0 if stage is Stage.SERVING else since, idle=False
                )
        return made, seen

    def work(self, finish):
        """Let those that are on their way out finish requests."""
        for name, replica in self.replicas.items():
            load = max(0.0, replica.load - finish) if replica.out else replica.load
            self.replicas[name] = replace(replica, load=load, idle=replica.out and load == 0)


events = st.one_of(
    st.tuples(st.just("want"), st.integers(1, MOST)),
    st.tuples(st.just("order"), st.integers(1, MOST)),
    st.tuples(st.just("health"), st.integers(0, MOST)),
    st.tuples(st.just("gone"), st.integers(0, MOST)),
    st.tuples(st.just("refuse"), st.integers(0, MOST)),
    st.tuples(st.just("follow"), st.just(0)),
    st.tuples(st.just("wait"), st.integers(1, 40)),
)


def happen(cluster, event, number, wanted, served):
    names = list(cluster.replicas)
    chosen = names[number % len(names)] if names else None
    if event == "order":
        cluster.ordered = number
    elif event == "follow":
        cluster.ordered = served
    elif event == "health" and chosen:
        cluster.replicas[chosen] = replace(cluster.replicas[chosen], ready=not cluster.replicas[chosen].ready)
    elif event == "gone" and chosen:
        del cluster.replicas[chosen]
    cluster.reconcile()
    return number if event == "want" else wanted, frozenset([chosen]) if event == "refuse" else frozenset()


@given(st.builds(Cluster, st.integers(1, MOST), st.booleans()), st.lists(events, max_size=30), st.floats(0, 4))
def test_whatever_happens_enough_replicas_serve(cluster, happenings, finish):
    wanted = served = cluster.ordered
    for event, number in happenings:
        wanted, refused = happen(cluster, event, number, wanted, served)
        for _ in range(number if event == "wait" else 1):
            before = cluster.ordered
            made, seen = cluster.tick(wanted, refused)
            served = made.decision.to
            assert wanted <= served <= max(wanted, before), "never fewer than wanted, never more than anybody ordered"
            ready = [one for one in seen if one.ready]
            stage = {replica.name: stage for replica, stage in made.moves}
            kept = [one for one in ready if stage.get(one.name, one.stage) is Stage.SERVING]
            assert len(kept) >= min(len(ready), wanted), "whoever is wanted serves, at once"
            assert kept or not ready, "the last one is never taken out"
            out = len(seen) - sum(one.stage is Stage.SERVING for one in seen)
            assert in_service(before, len(seen), out) <= before
            cluster.work(finish)
    # Then nothing happens any more, and the number is lowered by nobody: within its time each is given back or gone.
    cluster.ordered = max(cluster.ordered, wanted)
    cluster.reconcile()
    for _ in range(int(2 * TIMES.most / TICK) + 2):
        cluster.tick(wanted)
        cluster.work(finish)
    assert not [one for one in cluster.replicas.values() if one.out]


@given(st.builds(Cluster, st.integers(2, MOST), st.booleans()), st.data(), st.floats(0, 4))
def test_exactly_those_that_were_drained_are_removed(cluster, data, finish):
    ordered = cluster.ordered
    wanted = data.draw(st.integers(1, ordered - 1))
    for _ in range(int(TIMES.most / TICK)):
        made, _ = cluster.tick(wanted)
        cluster.ordered = made.decision.to
        cluster.reconcile()
        cluster.work(finish)
    assert (cluster.ordered, len(cluster.replicas)) == (wanted, wanted)
    assert [one.stage for one in cluster.removed] == [Stage.DRAINED] * (ordered - wanted)
    assert not [one for one in cluster.replicas.values() if one.out]
