"""How many requests per second one replica carries: a model that is fitted to what the engines report.

```
ITL = decode_base + decode_per_sequence x batch + prefill_per_token x prompt tokens per second x ITL
```

is linear in its three parameters, which least squares follow, older evidence fading. The capacity is the highest rate
of a burst
whose ITL is at the objective while the batch is that of `MEAN_SHARE` of it: bursts are short, a batch is slow.
"""

import math
from dataclasses import dataclass, field, replace

MEAN_SHARE = 0.65
"""Mean rate over the rate of the bursts that a replica must carry."""
_MEMORY = 0.9998
"""Of earlier evidence kept at each tick."""
_NOISE = 0.1
MEASURED = 100.0
BELIEVED = 10.0
"""Ticks of evidence that a prior counts as: one that was measured, and one that was reckoned or guessed."""
_GUESSED_STEP = 0.015
"""Seconds; whatever it is, the first tick puts it right."""
_FIT_EVERY = 12
SURE = 30
"""Ticks of evidence until which only `_UNSURE` of the capacity is promised."""
_UNSURE = 0.9
_LEAST_SEQUENCE = 1e-3
_MOST_SEQUENCE = 0.5
_LEAST_TOKEN = 1e-4
_MOST_TOKEN = 0.2
"""Of the time of a step, what a sequence and a prompt token take at least and at most: GPUs need about a hundredth for
both, processors up to a tenth for a token."""
_LEAST = 1e-9
_MOST_PREFILL = 0.9
_LEAST_PREFILL = 0.3
"""Share of its time that a replica may spend on prefill at least, and at most."""
_STALE = 0.02
"""Relative change of the token mix from which the capacity is computed anew."""


@dataclass
class Speed:
    """Speed of a replica: seconds per iteration, per sequence in it and per prompt token; and the room it has."""

    decode_base: float
    decode_per_sequence: float
    prefill_per_token: float
    max_batch: float
    kv_tokens: float


@dataclass
class Capacity:
    """What is known of one replica.

    Attributes:
        speed: As believed now.
        prior: As believed at first; the fit stays within a factor of it.
        input_tokens: Prompt tokens per request; assumed until the first one.
        output_tokens: Output tokens per request; likewise.
        mixed: Whether requests were seen.
        evidence: Sums of the least-squares fit, in units of the prior: six of the matrix, three of the right side.
        rate: Requests per second of one replica, last computed.
        computed_for: Seconds of a prompt, of an answer, and of a sequence in a step, for which it was computed.
        samples: Ticks that were learned from.
        trust: Ticks of evidence that the prior counts as.
        guessed: Whether the prior is no more than usual proportions: it is then drawn along with what is found.
    """

    speed: Speed
    prior: Speed
    input_tokens: float = 1000.0
    output_tokens: float = 250.0
    mixed: bool = False
    evidence: list[float] = field(default_factory=lambda: [0.0] * 9)
    rate: float = 0.0
    computed_for: tuple[float, float, float] = (0.0, 0.0, 0.0)
    samples: int = 0
    trust: float = MEASURED
    guessed: bool = False

    def learn(self, batch: float, prefill_rate: float, itl: float) -> None:
        """Take in one tick of a replica that decoded without a queue."""
        if self.guessed and not self.samples:
            self._begin(batch, prefill_rate, itl)
        prior = self.prior
        # An error of a tenth of the latency is expected: a mean over a tick hides what happened inside it.
        weight = 1.0 / (_NOISE * itl)
        x0 = prior.decode_base * weight
        x1 = prior.decode_per_sequence * batch * weight
        x2 = prior.prefill_per_token * prefill_rate * itl * weight
        y = itl * weight
        found = (x0 * x0, x0 * x1, x0 * x2, x1 * x1, x1 * x2, x2 * x2, x0 * y, x1 * y, x2 * y)
        evidence = self.evidence
        for place in range(9):
            evidence[place] = _MEMORY * evidence[place] + found[place]
        self.samples += 1
        if self.samples % _FIT_EVERY == 0:
            self._fit()
            if self.guessed:
                self._draw_along()

    def _begin(self, batch: float, prefill_rate: float, itl: float) -> None:
        """Scale the guess so that it is right about the first tick."""
        prior = self.prior
        guess = prior.decode_base + prior.decode_per_sequence * batch
        factor = itl / (guess + prior.prefill_per_token * prefill_rate * itl)
        for speed in (prior, self.speed):
            speed.decode_base *= factor
            speed.decode_per_sequence *= factor
            speed.prefill_per_token *= factor

    def _draw_along(self) -> None:
        """Make what was found the prior, so that the next fits may go on from there; the evidence in its new units."""
        prior, speed = self.prior, self.speed
        # What cannot be told apart must neither fade to nothing nor explain everything.
        step = speed.decode_base
        speed.decode_per_sequence = max(_LEAST_SEQUENCE * step, min(_MOST_SEQUENCE * step, speed.decode_per_sequence))
        speed.prefill_per_token = max(_LEAST_TOKEN * step, min(_MOST_TOKEN * step, speed.prefill_per_token))
        x = speed.decode_base / prior.decode_base
        y = speed.decode_per_sequence / prior.decode_per_sequence
        z = speed.prefill_per_token / prior.prefill_per_token
        factors = (x * x, x * y, x * z, y * y, y * z, z * z, x, y, z)
        for place in range(9):
            self.evidence[place] *= factors[place]
        prior.decode_base = speed.decode_base
        prior.decode_per_sequence = speed.decode_per_sequence
        prior.prefill_per_token = speed.prefill_per_token

    def _fit(self) -> None:
        """Solve for the factors on the prior, which itself counts as some ticks of evidence."""
        held = self.trust
        a, b, c, d, e, f, u, v, w = self.evidence
        a, d, f = a + held, d + held, f + held
        u, v, w = u + held, v + held, w + held
        # The inverse of a symmetric matrix of three rows, by its cofactors.
        c00, c01, c02 = d * f - e * e, c * e - b * f, b * e - c * d
        c11, c12, c22 = a * f - c * c, b * c - a * e, a * d - b * b
        determinant = a * c00 + b * c01 + c * c02
        speed, prior = self.speed, self.prior
        speed.decode_base = prior.decode_base * _within((c00 * u + c01 * v + c02 * w) / determinant)
        speed.decode_per_sequence = prior.decode_per_sequence * _within((c01 * u + c11 * v + c12 * w) / determinant)
        speed.prefill_per_token = prior.prefill_per_token * _within((c02 * u + c12 * v + c22 * w) / determinant)

    def mix(self, input_tokens: float, output_tokens: float, gain: float) -> None:
        """Take in the tokens per request of one tick."""
        if not self.mixed:
            self.input_tokens, self.output_tokens = input_tokens, output_tokens
            self.mixed = True
        self.input_tokens += (input_tokens - self.input_tokens) * gain
        self.output_tokens += (output_tokens - self.output_tokens) * gain

    def per_replica(self, ttft: float, itl: float) -> float:
        """Return the requests per second of one replica, at these objectives."""
        speed = self.speed
        prompt, answer = speed.prefill_per_token * self.input_tokens, speed.decode_base * self.output_tokens
        sequence = speed.decode_per_sequence
        before = self.computed_for
        # Each by itself: an answer takes much longer than its prompt, and the prompt decides all the same.
        if (
            not self.rate
            or abs(prompt - before[0]) > _STALE * before[0]
            or abs(answer - before[1]) > _STALE * before[1]
            or abs(sequence - before[2]) > _STALE * before[2]
        ):
            self.rate = burst_rate(speed, max(1.0, self.input_tokens), max(1.0, self.output_tokens), ttft, itl)
            self.computed_for = (prompt, answer, sequence)
        return self.rate * (_UNSURE if self.samples < SURE else 1.0)


def guess(max_batch: float, kv_tokens: float) -> Capacity:
    """Return what is assumed of a replica of which nothing is known: usual proportions, scaled by the first tick.

    Those of an 8B model on an H100-class GPU: a sequence takes a hundredth of a step, a prompt token as much.
    """
    prior = Speed(_GUESSED_STEP, _GUESSED_STEP / 100, _GUESSED_STEP / 100, max_batch, kv_tokens)
    return Capacity(replace(prior), prior, trust=BELIEVED, guessed=True)


def _within(factor: float) -> float:
    return max(0.25, min(4.0, factor))


def burst_rate(speed: Speed, input_tokens: float, output_tokens: float, ttft: float, itl: float) -> float:
    """Return the requests per second of a burst that just meets the objectives."""
    work = speed.prefill_per_token * input_tokens
    # A prompt shares the replica with half of the others' prefill while it is computed. One that takes nearly the whole
    # objective by itself is late on any number of replicas: they are not multiplied for it.
    shared = max(_LEAST_PREFILL, 2 * (1 - work / max(ttft, _LEAST)))
    low, high = 0.0, min(_MOST_PREFILL, shared) / (work + _LEAST)
    fits = min(speed.max_batch, speed.kv_tokens / (input_tokens + output_tokens / 2))
    for _ in range(30):
        rate = (low + high) / 2
        mean = MEAN_SHARE * rate
        decoding = 1.0 - mean * work - mean * output_tokens * speed.decode_per_sequence
        batch = mean * output_tokens * speed.decode_base / decoding if decoding > 0 else math.inf
        if batch <= fits and speed.decode_base + speed.decode_per_sequence * batch <= itl * (1.0 - rate * work):
            low = rate
        else:
            high = rate
    return max(low, _LEAST)
