from autoglm_operator.api.types import seconds
from autoglm_operator.api.v1alpha1 import Autoscaling
from autoglm_operator.decide.law.parameters import Parameters
from autoglm_operator.render.autoscaler import behavior
from autoglm_simulator.replay.path import DOWN_WINDOW


def test_the_hold_of_the_law_is_the_default_of_the_spec():
    assert Parameters().hold_seconds == seconds(Autoscaling.model_fields["scale_down_hold"].default)


def test_a_replay_orders_through_the_window_of_our_hpa():
    rules = behavior(Autoscaling(max_replicas=4))
    assert rules["scaleDown"]["stabilizationWindowSeconds"] == DOWN_WINDOW
    assert rules["scaleUp"]["stabilizationWindowSeconds"] == 0
