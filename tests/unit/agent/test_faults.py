import dataclasses

import pytest

from autoglm_agent.device import ClockEvent, GpuSample, Reading, RecoveryAction, XidEvent
from autoglm_agent.faults import FaultState, Setting, advance, worst
from autoglm_agent.rules import RULES
from autoglm_agent.xid import RECOVERIES, REMEDIES, Action, Severity, recovery_name, remedy

SAMPLE = GpuSample(0, "GPU-a", "NVIDIA H100", 10, 80, 0.9, 0.0)


class Judge:
    """Feeds readings to the judgement, one a second."""

    def __init__(self, **setting):
        self.state = FaultState()
        self.setting = Setting(**setting)
        self.now = 1000.0

    def see(self, seconds=1, xids=(), down="", samples=None, **figures):
        """Return the faults after some seconds of the same figures; the XIDs come in the first."""
        for number in range(seconds):
            self.now += 1
            shown = (dataclasses.replace(SAMPLE, **figures),) if samples is None else samples
            events = tuple(XidEvent("GPU-a", xid, self.now) for xid in xids) if number == 0 else ()
            reading = Reading(() if down else tuple(shown), (), events, down)
            self.state = advance(self.state, reading, self.setting, self.now)
        return self.state.faults

    def codes(self, *args, **kwargs):
        return [fault.code for fault in self.see(*args, **kwargs)]


@pytest.fixture
def judge():
    return Judge()


def other(uuid="GPU-b", **figures):
    return dataclasses.replace(SAMPLE, uuid=uuid, **figures)


# ---- the tables


# The catalogue's columns, as the reference of the project holds them, written out once more.
NODE = {79, 151}
RESET = {46, 48, 62, 64, 74, 95, 109, 110, 119, 120, 136, 140, 143, *range(144, 151), 155, 156, 158}
ENGINE = {8, 11, 13, 25, 31, 32, 39, 40, 41, 60, *range(68, 73), 75, 76, 77, 80, *range(82, 87), 88, 89, 94}
ENGINE |= {*range(96, 106), *range(126, 136), 139}
NOTHING = {14, 37, 38, 43, 44, 45, 63, 66, 67, 78, 92, 93, 106, 107, 108, 121, 137, 141, 152, 153, 154, 157, 160, 161}


@pytest.mark.parametrize(
    ("action", "xids"),
    [(Action.DRAIN, NODE | RESET | {54}), (Action.RESTART, ENGINE), (Action.NONE, NOTHING)],
)
def test_every_xid_of_the_catalogue_has_its_action(action, xids):
    assert {xid for xid, each in REMEDIES.items() if each.action is action} == xids


@pytest.mark.parametrize("xid", [0, 1, 162, 170, 9999])
def test_xid_that_nobody_has_looked_up_takes_no_pod_down(xid):
    assert (remedy(xid).action, remedy(xid).severity) == (Action.NONE, Severity.WARNING)


def test_every_recovery_action_has_a_remedy_and_all_but_none_take_the_pod_out():
    assert set(RECOVERIES) == set(RecoveryAction)
    assert {value for value, each in RECOVERIES.items() if each.action is Action.NONE} == {RecoveryAction.NONE}


def test_actions_are_ordered_and_the_strongest_wins(judge):
    assert sorted(Action, key=lambda each: each.rank) == [Action.NONE, Action.RESTART, Action.NOT_READY, Action.DRAIN]
    assert worst(judge.see()) is Action.NONE
    assert worst(judge.see(xids=[31, 63])) is Action.RESTART
    assert worst(judge.see(xids=[79])) is Action.DRAIN


# ---- XID errors


def test_fault_names_the_gpu_what_happened_and_what_to_do(judge):
    judge.see()
    (fault,) = judge.see(xids=[79])

    assert (fault.gpu, fault.code, fault.severity, fault.action) == (
        "GPU-a",
        "xid-79",
        Severity.CRITICAL,
        Action.DRAIN,
    )
    assert fault.message == "XID 79, the GPU has fallen off the bus: drain the node and restart it"
    assert fault.since == judge.now


def test_what_needs_a_reset_stays_although_the_engine_restarts_and_hours_pass(judge):
    judge.see(xids=[95])
    judge.setting = Setting(engine_restarted=judge.now + 5)
    judge.now += 7 * 3600

    (fault,) = judge.see()
    assert (fault.code, fault.action, fault.since) == ("xid-95", Action.DRAIN, 1001.0)


def test_what_a_restart_cures_is_over_when_the_engine_has_restarted(judge):
    assert worst(judge.see(xids=[31])) is Action.RESTART
    assert worst(judge.see(60)) is Action.RESTART

    judge.setting = Setting(engine_restarted=judge.now)
    assert judge.see() == ()


def test_restart_before_the_error_does_not_cure_it(judge):
    judge.setting = Setting(engine_restarted=judge.now)
    assert worst(judge.see(2, xids=[31])) is Action.RESTART


def test_engine_that_goes_on_generating_is_not_restarted_for_an_error_on_its_gpu(judge):
    judge.see(xids=[31, 95])
    for _ in range(9):
        judge.setting = Setting(engine_progressed=judge.now)
        assert "xid-31" in judge.codes()
    judge.setting = Setting(engine_progressed=judge.now)
    judge.see()
    judge.setting = Setting(engine_progressed=judge.now)

    assert judge.codes(20) == ["xid-95"]


def test_engine_that_generates_for_a_moment_after_the_error_is_still_restarted(judge):
    judge.see(xids=[31])
    judge.setting = Setting(engine_progressed=judge.now + 5)
    assert worst(judge.see(120)) is Action.RESTART


def test_restart_that_nobody_confirms_is_not_asked_for_for_ever(judge):
    judge.see(xids=[31])
    assert judge.codes(299) == ["xid-31"]
    assert judge.codes(2) == []


def test_error_that_asks_for_nothing_is_shown_for_a_while(judge):
    (fault,) = judge.see(xids=[63])
    assert (fault.action, fault.severity) == (Action.NONE, Severity.INFO)
    assert judge.codes(298) == ["xid-63"]
    assert judge.codes(2) == []


def test_errors_that_repeat_are_one_fault_with_their_number(judge):
    judge.see(xids=[31])
    first = judge.now
    (fault,) = judge.see(xids=[31, 31])

    assert "(3 times)" in fault.message
    assert fault.since == first


def test_flood_of_different_errors_costs_no_memory(judge):
    assert len(judge.see(xids=range(1000))) <= 256


# ---- the driver's advice against the table


def test_recovery_action_decides_at_once_and_overrules_the_table_upwards(judge):
    judge.see(recovery_action=0)
    faults = judge.see(xids=[63], recovery_action=RecoveryAction.NODE_REBOOT)

    assert worst(faults) is Action.DRAIN
    assert "the driver asks for node-reboot: drain the node and restart it" in [fault.message for fault in faults]


def test_recovery_action_none_overrules_the_table_downwards_after_a_moment(judge):
    judge.see(recovery_action=0)
    assert worst(judge.see(3, xids=[95], recovery_action=0)) is Action.DRAIN

    (fault,) = judge.see(5, recovery_action=0)

    assert (fault.code, fault.action, fault.severity) == ("xid-95", Action.NONE, Severity.WARNING)
    assert "the driver asks for no recovery" in fault.message
    assert judge.codes(300, recovery_action=0) == []


def test_driver_that_tells_no_recovery_action_overrules_nothing(judge):
    assert worst(judge.see(60, xids=[95])) is Action.DRAIN


def test_recovery_action_none_does_not_cancel_the_restart_of_the_engine(judge):
    assert worst(judge.see(30, xids=[31], recovery_action=0)) is Action.RESTART


def test_recovery_action_that_is_newer_than_the_table_takes_the_pod_out(judge):
    (fault,) = judge.see(recovery_action=42)

    assert (fault.action, recovery_name(42)) == (Action.DRAIN, "unknown-42")


def test_recovery_action_of_a_mig_devices_gpu_counts_for_the_gpus_errors(judge):
    part = other("MIG-1", kind="mig", parent_uuid="GPU-a", recovery_action=0)
    judge.see(8, samples=[part], xids=[95])

    assert worst(judge.state.faults) is Action.NONE


# ---- conditions and their hysteresis

HOLDING = {
    "recovery-action": {"recovery_action": 1},
    "row-remap-failed": {"row_remap_failed": True},
    "row-remap-pending": {"row_remap_pending": True},
    "hw-thermal-slowdown": {"clock_events": int(ClockEvent.HW_THERMAL_SLOWDOWN | ClockEvent.HW_SLOWDOWN)},
    "power-brake": {"clock_events": int(ClockEvent.HW_POWER_BRAKE_SLOWDOWN)},
    "pcie-degraded": {"pcie_width": 8, "pcie_width_max": 16, "pcie_generation": 5, "pcie_generation_max": 5},
}
ACTIONS = {"recovery-action": Action.DRAIN, "row-remap-failed": Action.DRAIN}


def test_every_rule_has_its_case():
    assert set(HOLDING) == {rule.code for rule in RULES}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_condition_must_last_and_must_be_gone_for_a_while(judge, rule):
    figures = HOLDING[rule.code]
    after = int(rule.after)

    assert judge.codes(5) == []
    began = judge.now + 1
    if after:
        assert judge.codes(after, **figures) == []
    (fault,) = judge.see(**figures)
    assert (fault.code, fault.since, fault.action) == (rule.code, began, ACTIONS.get(rule.code, Action.NONE))
    assert judge.codes(int(rule.until) - 1) == [rule.code]
    assert judge.codes(2) == []


@pytest.mark.parametrize("code", ["hw-thermal-slowdown", "power-brake", "pcie-degraded"])
def test_condition_that_comes_and_goes_is_no_fault(judge, code):
    for _ in range(40):
        assert judge.codes(3, **HOLDING[code]) == []
        assert judge.codes(1) == []


def test_condition_that_flickers_once_it_holds_is_one_fault(judge):
    (fault,) = judge.see(20, **HOLDING["power-brake"])
    for _ in range(10):
        judge.see(5)
        (again,) = judge.see(5, **HOLDING["power-brake"])
        assert again.since == fault.since


@pytest.mark.parametrize(
    "figures",
    [
        {"clock_events": int(ClockEvent.SW_POWER_CAP | ClockEvent.GPU_IDLE | ClockEvent.SW_THERMAL_SLOWDOWN)},
        {"clock_events": 0},
        {"pcie_width": 8, "pcie_width_max": 16, "utilization": 0.1},
        {"pcie_generation": 1, "pcie_generation_max": 5, "utilization": None},
        {"pcie_width": 16, "pcie_width_max": 16, "pcie_generation": 4, "pcie_generation_max": 4},
        {"pcie_width": 0, "pcie_width_max": 16},
        {"recovery_action": 0, "row_remap_failed": False, "row_remap_pending": False},
    ],
)
def test_healthy_gpu_at_work_has_no_fault(judge, figures):
    assert judge.codes(120, **figures) == []


def test_message_holds_the_figures(judge):
    (fault,) = judge.see(11, **HOLDING["power-brake"], sm_clock_hertz=345e6, temperature_celsius=41.0)
    assert "SM clock 345 MHz, 41 °C" in fault.message
    (fault,) = Judge().see(31, **HOLDING["pcie-degraded"])
    assert "generation 5 x8 under load; expected 5 x16" in fault.message


# ---- memory errors


def test_new_uncorrected_errors_are_told_and_those_from_before_are_not(judge):
    assert judge.codes(5, ecc_uncorrected=7) == []

    (fault,) = judge.see(ecc_uncorrected=9)

    assert (fault.code, fault.severity, fault.action) == ("ecc-uncorrected", Severity.CRITICAL, Action.NONE)
    assert judge.codes(298, ecc_uncorrected=9) == ["ecc-uncorrected"]
    assert judge.codes(3, ecc_uncorrected=9) == []


def test_counter_that_falls_was_reset_and_is_no_error(judge):
    judge.see(5, ecc_uncorrected=7)
    assert judge.codes(ecc_uncorrected=0) == []
    assert judge.codes(ecc_uncorrected=3) == ["ecc-uncorrected"]


def test_counter_that_is_not_told_for_a_while_is_compared_with_the_last(judge):
    judge.see(ecc_uncorrected=7)
    judge.see(10)
    assert judge.codes(ecc_uncorrected=7) == []


# ---- missing GPUs


def test_gpu_that_is_gone_for_longer_than_nvml_takes_to_come_back_is_missing(judge):
    judge.see(samples=[SAMPLE, other()])
    assert judge.codes(15, samples=[SAMPLE]) == []

    (fault,) = judge.see(samples=[SAMPLE])

    assert (fault.gpu, fault.code, fault.action) == ("", "gpu-missing", Action.DRAIN)
    assert "1 of 2 GPUs answer" in fault.message
    assert judge.codes(samples=[SAMPLE, other()]) == []


def test_fewer_than_the_pod_has_are_missing():
    judge = Judge(expected=4)
    assert judge.codes(16, samples=[SAMPLE, other()]) == ["gpu-missing"]


def test_sidecar_that_sees_no_gpu_at_all_is_no_fault_of_a_gpu():
    assert Judge(expected=1).codes(60, samples=[]) == []


def test_exporter_that_loses_the_pod_takes_no_pod_down():
    judge = Judge(sees_all=False)
    judge.see(samples=[SAMPLE, other()])
    (fault,) = judge.see(16, samples=[SAMPLE])

    assert (fault.severity, fault.action) == (Severity.WARNING, Action.NONE)


def test_source_that_is_down_makes_no_gpu_sick(judge):
    judge.see(5)
    assert judge.see(3600, down="driver_not_loaded") == ()


def test_gpu_in_mig_mode_counts_once_and_its_devices_may_change(judge):
    parts = [other(f"MIG-{n}", kind="mig", parent_uuid="GPU-a") for n in range(3)]
    judge.see(samples=parts)
    assert judge.codes(30, samples=parts[:1]) == []


def test_devices_that_come_and_go_do_not_pile_up(judge):
    for number in range(5000):
        judge.now += 10
        judge.see(samples=[other(f"MIG-{number}", kind="mig", parent_uuid="GPU-a", ecc_uncorrected=1)])

    assert len(judge.state.known) < 500
    assert judge.state.conditions == {}
