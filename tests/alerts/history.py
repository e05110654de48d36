"""What the alerts on unusual values are tried on: eight days whose hours repeat, with a sample every five minutes."""

from tests.alerts.situations import ABOUT, PHONE, Fires, Series, Situation, series

from autoglm_operator.autoscaler import metrics as autoscaler
from autoglm_operator.slo_metrics import AVAILABILITY

DAYS = 8
_MINUTES = DAYS * 24 * 60
#: Minute at which is asked: the same hour of each of the days before has been seen.
NOW = _MINUTES + 60


def _requests(end: str) -> Series:
    """Return eight days of 10 requests a second, that are 1% more or less each second day, and then `end`."""
    labels = PHONE | {"objective": AVAILABILITY, "instance": "a"}
    days = " ".join(f"{day * 864_000}+{3000 + 30 * (-1) ** day}x287" for day in range(DAYS))
    return series(autoscaler.SLO_REQUESTS, labels, f"{days} {end}")


def _ttft(end: str) -> Series:
    labels = PHONE | {"metric": "autoglm_ttft_p99_seconds", "instance": "a"}
    days = " ".join(f"{0.8 + 0.01 * (-1) ** day:g}x287" for day in range(DAYS))
    return series(autoscaler.SIGNAL, labels, f"{days} {end}")


_START = DAYS * 864_000


def _rate(text):
    words = f"{text} requests each second, out of 3 standard deviations around the same hour of past days."
    return (Fires("info", PHONE, ABOUT + words),)


BASELINE = (
    Situation("AutoGLMRequestRateUnusual", "a third more", NOW, _requests(f"{_START}+4000x100")),
    Situation(
        "AutoGLMRequestRateUnusual",
        "the first day",
        300,
        series(autoscaler.SLO_REQUESTS, PHONE | {"objective": AVAILABILITY}, "0+3000x40 120000+30000x40"),
    ),
    Situation("AutoGLMRequestRateUnusual", "no data", 300, {}),
    Situation("AutoGLMRequestRateUnusual", "three times as much", NOW, _requests(f"{_START}+9000x100"), _rate("30")),
    Situation("AutoGLMRequestRateUnusual", "next to nothing", NOW, _requests(f"{_START}+300x100"), _rate("1")),
    Situation("AutoGLMFirstTokenUnusual", "faster than ever", NOW, _ttft("0.1x100")),
    Situation("AutoGLMFirstTokenUnusual", "no data", 300, {}),
    Situation(
        "AutoGLMFirstTokenUnusual",
        "more than twice as long",
        NOW,
        _ttft("1.9x100"),
        (
            Fires(
                "info",
                PHONE,
                f"{ABOUT}P99 of the time to first token is 1.9s, more than 3 standard deviations over the same hour of "
                "past days.",
            ),
        ),
    ),
)
