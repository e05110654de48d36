"""The weighted score: semantic 40, execution 35, latency 15, context use 10. Pure.

Each part is 0 to 1. A part that cannot be told is left out, its weight is spread over the others in proportion, and the
result says so.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Final

WEIGHTS: Final = {"semantic": 40, "execution": 35, "latency": 15, "context": 10}
#: An action of the phone agent, as its prompt asks for it.
_ACTION: Final = re.compile(r"\b(do\(\s*action\s*=|finish\(\s*message\s*=)")


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the score.

    Attributes:
        value: 0 to 1; `None` if it cannot be told.
        method: how it was told, or why it was not.
    """

    value: float | None
    method: str


@dataclass(frozen=True, slots=True)
class Score:
    """The score and where it comes from.

    Attributes:
        value: 0 to 100; `None` without any part.
        parts: by name.
        weights: what each part counted, in percent; those that cannot be told count 0.
    """

    value: float | None
    parts: Mapping[str, Part]
    weights: Mapping[str, float]


def score(parts: Mapping[str, Part]) -> Score:
    """Weigh the parts; those that cannot be told are left out."""
    known = {name: WEIGHTS[name] for name, part in parts.items() if part.value is not None}
    whole = sum(known.values())
    weights = {name: 100 * known.get(name, 0) / whole if whole else 0.0 for name in WEIGHTS}
    value = sum(weights[name] * (parts[name].value or 0.0) for name in known) if known else None
    return Score(value, parts, weights)


def normal(text: str) -> str:
    """Return a text as exact match compares it: without case, and with single spaces."""
    return " ".join(text.casefold().split())


def answer_of(text: str) -> str:
    """Return what a thinking model answers: the part inside `<answer>` if there is one, else all."""
    _, found, rest = text.rpartition("<answer>")
    return rest.partition("</answer>")[0] if found else text


def exact_match(answers: Mapping[str, str], expected: Mapping[str, str]) -> Part:
    """Return the share of expected answers that came; one that failed or was not asked for is wrong."""
    right = sum(normal(answer_of(answers.get(key, ""))) == normal(wanted) for key, wanted in expected.items())
    return Part(right / len(expected), f"exact match of {right} of {len(expected)} expected answers")


def judged(grades: Mapping[str, float | None], asked: int, model: str) -> Part:
    """Return the mean of a judge's grades; an answer that failed counts 0, one that was not graded is left out.

    Args:
        grades: 0 to 1 for each expected answer; `None` if the judge gave none.
        asked: number of expected answers.
        model: the judge.
    """
    known = [grade for grade in grades.values() if grade is not None]
    if not known:
        return Part(None, f"the judge {model} graded none of {asked} answers")
    return Part(fmean(known), f"mean grade of {len(known)} of {asked} answers by the judge {model}")


def has_action(text: str) -> bool:
    """Whether an answer holds an action of the phone agent."""
    return bool(_ACTION.search(text))


def execution(requests: int, succeeded: int, actions: int | None) -> Part:
    """Return the share of requests that were carried out.

    Args:
        requests: those sent.
        succeeded: those answered in full.
        actions: answers that hold an action of the phone agent; `None` if none has to.
    """
    if not requests:
        return Part(None, "no request was sent")
    if actions is None:
        return Part(succeeded / requests, f"{succeeded} of {requests} requests were answered in full")
    return Part(actions / requests, f"{actions} of {requests} answers hold an action do(action=…) or finish(message=…)")


def latency(requests: int, inside: int | None) -> Part:
    """Return the share of requests inside the objective."""
    if inside is None or not requests:
        return Part(None, "no objective was given" if inside is None else "no request was sent")
    return Part(inside / requests, f"{inside} of {requests} requests kept every limit of the objective")


def context(cached: int | None, reusable: int) -> Part:
    """Return how much of the prompts that the engine had seen before came from its prefix cache."""
    if cached is None:
        return Part(None, "the engine does not tell how many prompt tokens came from its prefix cache")
    if reusable <= 0:
        return Part(None, "no prompt repeats an earlier one")
    share = min(1.0, cached / reusable)
    return Part(share, f"{cached} prompt tokens came from the prefix cache; about {reusable} had been sent before")
