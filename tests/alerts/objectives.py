"""What the alerts on objectives are tried on."""

from tests.alerts.situations import ABOUT, PHONE, Fires, Series, Situation, series

from autoglm_operator.render import burn_rate
from autoglm_operator.slo_metrics import SLO_GOOD, SLO_REQUESTS

#: Events a minute: enough for any objective's guard.
RATE = 6000


def counted(objective, requests, good, instance="a", deployment=PHONE) -> Series:
    """Return the counters of one replica of the autoscaler."""
    labels = deployment | {"objective": objective, "instance": instance}
    found = series(SLO_REQUESTS, labels, requests)
    return found | series(SLO_GOOD, labels, good) if good else found


def steady(objective, share_missed, minutes, instance="a", deployment=PHONE) -> Series:
    """Return counters of events of which a share misses the objective all the time."""
    good = round(RATE * (1 - share_missed))
    return counted(objective, f"0+{RATE}x{minutes}", f"0+{good}x{minutes}", instance, deployment)


def fires(objective, severity, share) -> Fires:
    windows, days = {"critical": ("1h or 6h", 5), "warning": ("1d or 3d", 30)}[severity]
    text = (
        f"{ABOUT}{share} {objective.missed} within {windows}; 1% may ({objective.promise}). At this rate the error "
        f"budget of 30 days is used up in {days} days or less."
    )
    return Fires(severity, PHONE | {"objective": objective.name}, text)


def _situations(objective):
    name, alert = objective.name, objective.alert
    least = objective.least

    def at_both(share):
        return fires(objective, "critical", share), fires(objective, "warning", share)

    yield Situation(alert, "half of the budget is used", 70, steady(name, 0.005, 80))
    yield Situation(alert, "no data", 70, {})
    yield Situation(alert, "no traffic", 70, counted(name, "500x80", "400x80"))
    yield Situation(
        alert,
        "a few of few, which is chance",
        70,
        # Within the hour half of twice `least` minus two events miss the objective.
        counted(name, f"0x10 {2 * (least - 1)}x80", f"0x10 {least - 1}x80"),
    )
    few = (f"0x10 {2 * (least - 1)}x80", f"0x10 {least - 1}x80")
    yield Situation(
        alert, "a few of few, as both replicas count them", 70, counted(name, *few) | counted(name, *few, instance="b")
    )
    yield Situation(
        alert,
        "minutes without a good one, after six good hours: only the fast windows tell",
        372,
        counted(name, f"0+{RATE}x400", f"0+{RATE}x359 {RATE * 359}x40"),
        (fires(objective, "critical", "19.17%"),),
    )
    yield Situation(
        alert,
        "a tenth for six hours: only the slower windows tell",
        370,
        steady(name, 0.1, 400),
        at_both("10%"),
    )
    yield Situation(
        alert,
        "a bad minute after a good hour",
        70,
        counted(name, f"0+{RATE}x80", f"0+{RATE}x68 {RATE * 68}x1 {RATE * 69}+{RATE}x20"),
    )
    yield Situation(alert, "a fifth misses it", 70, steady(name, 0.2, 80), at_both("20%"))
    yield Situation(
        alert, "both replicas see it", 70, steady(name, 0.2, 80) | steady(name, 0.2, 80, "b"), at_both("20%")
    )
    yield Situation(
        alert,
        "the autoscaler restarted: counters begin at 0 again",
        70,
        counted(name, f"0+{RATE}x40 0+{RATE}x40", f"0+{RATE * 0.8:g}x40 0+{RATE * 0.8:g}x40"),
        at_both("20%"),
    )
    yield Situation(
        alert,
        "another pod of the autoscaler took over",
        70,
        counted(name, f"0+{RATE}x40 stale", f"0+{RATE * 0.8:g}x40 stale")
        | counted(name, f"_x42 0+{RATE}x40", f"_x42 0+{RATE * 0.8:g}x40", "c"),
        at_both("20%"),
    )
    yield Situation(
        alert,
        "none ever met it: there is no counter of good ones",
        70,
        counted(name, f"0+{RATE}x80", ""),
        at_both("100%"),
    )
    yield Situation(
        alert,
        # A fifth of the first hour, and of the minutes after it that rates over five minutes still see.
        "it is over: whoever sleeps is not woken",
        95,
        counted(name, f"0+{RATE}x100", f"0+{RATE * 0.8:g}x60 {RATE * 48.8:g}+{RATE}x40"),
        (fires(objective, "warning", "13.01%"),),
    )
    yield Situation(
        alert,
        "another deployment's trouble",
        70,
        steady(name, 0.2, 80, deployment={"namespace": "team-b", "name": "other"}) | steady(name, 0, 80),
        tuple(
            Fires(
                severity,
                {"namespace": "team-b", "name": "other", "objective": name},
                fires(objective, severity, "20%").description.replace("team-a/phone", "team-b/other"),
            )
            for severity in ("critical", "warning")
        ),
    )


OBJECTIVES = tuple(situation for objective in burn_rate.OBJECTIVES for situation in _situations(objective))
#: Takes days, and so is tried on one objective alone.
SLOW = Situation(
    burn_rate.OBJECTIVES[0].alert,
    "two in a hundred for three days",
    3 * 24 * 60,
    steady(burn_rate.OBJECTIVES[0].name, 0.02, 3 * 24 * 60 + 10),
    (fires(burn_rate.OBJECTIVES[0], "warning", "2%"),),
)
