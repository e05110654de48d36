"""The numbers of the law: one set for every deployment, chosen on the bench and not by users."""

from dataclasses import dataclass

DAY = 86_400.0
"""Seconds."""


@dataclass(frozen=True)
class Parameters:
    """One set for every deployment.

    Attributes:
        late_share: Share of late requests that the price aims at.
        level_seconds: Time constant of the level.
        fast_seconds: Time constant of the level that jumps are seen in.
        jump_up: Standard deviations of a jump upwards.
        jump_down: Standard deviations of a jump downwards.
        dispersion_seconds: Time constant of the dispersion.
        burst_share: Of the dispersion over a tick, what counts from one second to the next.
        burst_floor: Relative standard deviation that the level has at least.
        drift_seconds: Time constant of the drift.
        drift_share: Of the squared drift, what is covered.
        believe: Loss of a forecast model over that of persistence from which down it is believed.
        price_limit: Bound of the price, on both sides.
        hold_seconds: Time over which the need must have been lower before replicas go.
        up_margin: Fraction of a replica by which the need may pass what is ordered.
        changes_per_day: Changes of direction that the band aims at.
        band_gain: Growth of the band, as a logarithm, at each change of direction.
        band_start: Width of the band at first, in replicas.
        band_limit: Bound of the band's logarithm, on both sides.
        band_fleet: Replicas above which the band grows with their number.
        most_down: Share of the replicas that go at once at most.
        queue_seconds: Time in which a queue is to be worked off.
        lead_factor: On the lead, for starts that take longer than usual.
        lead_more: Seconds added to the lead, for metrics and ticks.
        blame_from: Share of a replica's capacity from which late requests are for want of replicas.
    """

    late_share: float = 0.0101
    level_seconds: float = 60.0
    fast_seconds: float = 20.0
    jump_up: float = 3.0
    jump_down: float = 5.0
    dispersion_seconds: float = 300.0
    burst_share: float = 0.15
    burst_floor: float = 0.06
    drift_seconds: float = 7200.0
    drift_share: float = 0.3
    believe: float = 0.85
    price_limit: float = 6.0
    hold_seconds: float = 180.0
    up_margin: float = 0.6
    changes_per_day: float = 23.0
    band_gain: float = 0.06
    band_start: float = 0.6
    band_limit: float = 1.5
    band_fleet: float = 20.0
    most_down: float = 0.25
    queue_seconds: float = 40.0
    lead_factor: float = 1.1
    lead_more: float = 15.0
    blame_from: float = 0.5
