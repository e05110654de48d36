"""Which of a few simple models expects demand best one lead ahead, and by how much that may be exceeded.

```
persistence  the level stays
trend        the level goes on as it went lately; how far, is learned by least squares
day          the level goes on as it did one day before, in proportion
week         the same, one week before
```

Each minute every model says what the level will be one lead later. When that time has come it is charged with the
pinball loss of its upper quantile, whose distance from the forecast is moved by how often it was exceeded (adaptive
conformal inference). Persistence is believed, unless another model was clearly better, over a day and also lately: at a
change point no model is better than persistence, so that nothing is expected of a past that is over.
"""

from collections import deque
from dataclasses import dataclass, field

BIN = 300.0
"""Seconds."""
PERSISTENCE, TREND, DAILY, WEEKLY = 0, 1, 2, 3
NAMES = ("", " by their trend", " as one day before", " as one week before")
"""How a sentence names each model."""
QUANTILE = 0.9
_MODELS = 4
DAY_BINS = 288
_WEEK_BINS = 2016
_SEASONS = (0, 0, DAY_BINS, _WEEK_BINS)
KEPT = _WEEK_BINS + 2
_SCORE_SECONDS = 60.0
_GAIN = 0.03
"""Of a model's mean error, by which its upper quantile goes down at each score; it goes up by so much more when it was
exceeded that it settles at `QUANTILE`."""
_ERROR_GAIN = 0.01
_MEMORY = 0.9993
"""Of losses kept at each score: about a day."""
_LATELY = 0.95
"""The same for what counts as lately: about twenty minutes."""
_PROVEN = 720.0
"""Scores before a model may be believed."""
_DOUBT = 0.1
"""On the loss below which a model is believed, above which it no longer is."""
_BELIEVE_LATELY = 1.0
_DOUBT_LATELY = 1.3
"""Loss over that of persistence, lately, below which a model is believed, and above which it no longer is."""
_SLOW_SECONDS = 300.0
_TREND_PRIOR = 0.012
"""Sum of squares that speaks for no trend, as half an hour of a level 2 % off its mean."""
_MOST_TREND = 2.0
_MOST_SCALE = 2.0
"""A season is stretched by at most this, and shrunk by as much."""
_MOST_OFFSET = 2.0
_LEAST_RATE = 0.1
_LEAST_LOSS = 1e-9
_FORGET = 2 * DAY_BINS * BIN
"""Seconds without a tick after which nothing of the past is kept."""


@dataclass
class Models:
    """What is remembered of the rate and of each model.

    Attributes:
        bins: Mean rate of each closed bin, the newest last; at most a week.
        open_sum: Requests in the bin that is open.
        open_seconds: Its length so far.
        slow: Level over five minutes, for the trend; negative before the first tick.
        since: Seconds since the last score.
        moves: Sum of moves of the level over a lead times how far it was above `slow` before.
        squares: Sum of squares of how far it was.
        offsets: Of each model, its upper quantile over its forecast, minus 1.
        errors: Of each model, its mean relative error.
        losses: Of each model, its pinball losses over a day.
        rivals: Those of persistence at the same times.
        recent: Of each model, its pinball losses lately.
        recent_rivals: Those of persistence at the same times.
        scores: Of each model, how many there are.
        chosen: The model that is believed.
        due: Times and forecasts that are not yet scored, with how far the level was above `slow`.
    """

    bins: list[float] = field(default_factory=list)
    open_sum: float = 0.0
    open_seconds: float = 0.0
    slow: float = -1.0
    since: float = 0.0
    moves: float = 0.0
    squares: float = 0.0
    offsets: list[float] = field(default_factory=lambda: [0.1] * _MODELS)
    errors: list[float] = field(default_factory=lambda: [0.1] * _MODELS)
    losses: list[float] = field(default_factory=lambda: [0.0] * _MODELS)
    rivals: list[float] = field(default_factory=lambda: [0.0] * _MODELS)
    recent: list[float] = field(default_factory=lambda: [0.0] * _MODELS)
    recent_rivals: list[float] = field(default_factory=lambda: [0.0] * _MODELS)
    scores: list[float] = field(default_factory=lambda: [0.0] * _MODELS)
    chosen: int = PERSISTENCE
    due: deque[tuple[float, list[float]]] = field(default_factory=deque)

    def add(self, now: float, rate: float, level: float, seconds: float, lead: float, believe: float) -> None:  # noqa: PLR0917
        """Take in one tick: its rate, and the level after it.

        A model is believed if its loss is less than `believe` of that of persistence; none is at 0.
        """
        if self.slow < 0:
            self.slow = level
        self.slow += (level - self.slow) * min(1.0, seconds / _SLOW_SECONDS)
        self.open_sum += rate * seconds
        self.open_seconds += seconds
        if self.open_seconds >= BIN:
            self.bins.append(self.open_sum / self.open_seconds)
            if len(self.bins) > KEPT:
                del self.bins[0]
            self.open_sum = self.open_seconds = 0.0
        self.since += seconds
        if self.since >= _SCORE_SECONDS:
            self.since = 0.0
            self._score(now, level, believe)
            forecasts = [self.at(model, level, lead) for model in range(_MODELS)]
            forecasts.append(level - self.slow)
            self.due.append((now + lead, forecasts))

    def skip(self, seconds: float) -> None:
        """Let time pass in which nothing was seen: the rate was as one week or one day before, or as at last."""
        bins = self.bins
        self.due.clear()
        missed = self.open_seconds + seconds
        if missed > _FORGET:
            bins.clear()
            self.chosen = PERSISTENCE
            self.open_sum = self.open_seconds = 0.0
            return
        while missed >= BIN and bins:
            kept = len(bins)
            season = _WEEK_BINS if kept >= _WEEK_BINS else DAY_BINS if kept >= DAY_BINS else 1
            bins.append(bins[kept - season])
            missed -= BIN
        del bins[:-KEPT]
        self.open_seconds = missed
        self.open_sum = missed * (bins[-1] if bins else 0.0)

    def at(self, model: int, level: float, ahead: float) -> float:
        """Return what a model expects in `ahead` seconds, the trend in one lead; negative if it cannot say."""
        if model == PERSISTENCE:
            return level
        if model == TREND:
            trend = max(0.0, min(_MOST_TREND, self.moves / (self.squares + _TREND_PRIOR)))
            return max(0.0, level + trend * (level - self.slow))
        place = len(self.bins) + self.open_seconds / BIN - _SEASONS[model] - 0.5
        if place < 0:
            return -1.0
        then, after = self._between(place), self._between(place + ahead / BIN)
        scale = max(1.0 / _MOST_SCALE, min(_MOST_SCALE, (level + _LEAST_RATE) / (then + _LEAST_RATE)))
        return max(0.0, level + (after - then) * scale)

    def expected(self, level: float, lead: float) -> float:
        """Return what the believed model expects within the lead: at its end or halfway, whatever is more."""
        if self.chosen == PERSISTENCE:
            return level
        end = self.at(self.chosen, level, lead)
        return end if self.chosen == TREND else max(end, self.at(self.chosen, level, lead / 2))

    def _between(self, place: float) -> float:
        """Return the rate at a place among the middles of the bins, on a straight line between neighbours."""
        low = int(place)
        share = place - low
        last = len(self.bins) - 1
        return (1.0 - share) * self.bins[min(low, last)] + share * self.bins[min(low + 1, last)]

    def _score(self, now: float, level: float, believe: float) -> None:
        found: list[float] = []
        while self.due and self.due[0][0] <= now:
            found = self.due.popleft()[1]
        if not found:
            return
        before, above = found[PERSISTENCE], found[_MODELS]
        size = max(level, before, _LEAST_RATE)
        self.moves = _MEMORY * self.moves + (level - before) * above / (size * size)
        self.squares = _MEMORY * self.squares + above * above / (size * size)
        rival = 0.0
        for model in range(_MODELS):
            if found[model] < 0:
                continue
            loss = self._loss(model, found[model], level) / size
            if model == PERSISTENCE:
                rival = loss
            self.losses[model] = _MEMORY * self.losses[model] + loss
            self.rivals[model] = _MEMORY * self.rivals[model] + rival
            self.recent[model] = _LATELY * self.recent[model] + loss
            self.recent_rivals[model] = _LATELY * self.recent_rivals[model] + rival
            self.scores[model] = _MEMORY * self.scores[model] + 1.0
        self._choose(believe)

    def _loss(self, model: int, forecast: float, level: float) -> float:
        """Return the pinball loss of a model's upper quantile, and move that."""
        base = max(forecast, _LEAST_RATE)
        upper = base * (1.0 + self.offsets[model])
        exceeded = level > upper
        self.errors[model] += (min(1.0, abs(level - forecast) / base) - self.errors[model]) * _ERROR_GAIN
        step = _GAIN * self.errors[model]
        self.offsets[model] += step * QUANTILE / (1.0 - QUANTILE) if exceeded else -step
        self.offsets[model] = max(0.0, min(_MOST_OFFSET, self.offsets[model]))
        return QUANTILE * (level - upper) if exceeded else (1.0 - QUANTILE) * (upper - level)

    def _choose(self, believe: float) -> None:
        best, chosen = 1.0, PERSISTENCE
        for model in range(TREND, _MODELS):
            kept = model == self.chosen
            share = self.losses[model] / max(self.rivals[model], _LEAST_LOSS)
            lately = self.recent[model] / max(self.recent_rivals[model], _LEAST_LOSS)
            good = share < believe + (_DOUBT if kept else 0.0) and self.scores[model] >= _PROVEN
            if good and lately < (_DOUBT_LATELY if kept else _BELIEVE_LATELY) and share < best:
                best, chosen = share, model
        self.chosen = chosen
