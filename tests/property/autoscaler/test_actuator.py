"""Whatever is decided: inside the bounds, and ahead of an HPA up only."""

from hypothesis import given
from hypothesis import strategies as st

from autoglm_operator.api.status import Actuation
from autoglm_operator.api.v1alpha1 import Autoscaling
from autoglm_operator.autoscaler.actuator import order
from autoglm_operator.autoscaler.pods import Target

PATHS = ("HPA", "Direct", "KEDA", "Foreign", "None")
replicas = st.integers(0, 30)


@given(st.integers(1, 10), st.integers(0, 10), replicas, replicas, st.sampled_from(PATHS))
def test_what_is_written_is_inside_the_bounds_and_up_only_ahead_of_an_hpa(least, more, ordered, wanted, path):
    autoscaling = Autoscaling(min_replicas=least, max_replicas=least + more)
    target = Target("prod", "phone", "u", ordered, autoscaling, actuation=Actuation(path=path, message="m"))
    to = order(target, wanted)
    if to is None:
        assert path != "Direct" or ordered == 0 or ordered == min(max(wanted, least), least + more)
    else:
        assert least <= to <= least + more
        assert to != ordered
        assert path == "Direct" or (path == "HPA" and to > ordered)
