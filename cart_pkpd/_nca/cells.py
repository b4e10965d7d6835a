"""Parameters of a living drug: expansion, contraction, persistence, visits, dose-normalised."""

from __future__ import annotations

import math

import numpy as np

from cart_pkpd._nca.block import at, first_row, last_row
from cart_pkpd._nca.reasons import (
    Bools,
    Codes,
    Column,
    Floats,
    Ints,
    Note,
    Why,
    derived,
    explain,
    settled,
)
from cart_pkpd._nca.registry import Window, parameter, window_name
from cart_pkpd._nca.terminal import line
from cart_pkpd._nca.work import Work


def expansion_start(work: Work) -> Ints:
    """Return the row where the expansion starts; -1 without a peak."""
    rows = np.arange(work.block.time.shape[0])[:, None]
    rise = work.seen & (rows <= work.peak)
    if work.rules.expansion_from == "first":
        return first_row(rise)
    lowest = np.where(rise, work.block.level, np.inf).min(axis=0, initial=np.inf)
    return last_row(rise & (work.block.level == lowest))


def _expansion_reason(work: Work) -> Codes:
    return explain(
        work.any_seen,
        (work.peak < 0, Why.LATE_BLQ),
        (work.shared(expansion_start) == work.peak, Why.PEAK_FIRST),
    )


def _expansion_line(work: Work) -> tuple[Ints, Floats, Codes]:
    rows = np.arange(work.block.time.shape[0])[:, None]
    points = work.seen & (rows >= work.shared(expansion_start)) & (rows <= work.peak)
    n, slope, _ = line(work.block.time, work.log_level, points)
    why = explain(
        work.shared(_expansion_reason),
        (n < work.rules.expansion_min_points, Why.EXPANSION_FEW),
        (~(slope > 0), Why.EXPANSION_FLAT),
    )
    work.note(Note.TWO_POINT_EXPANSION, (why == 0) & (n == 2))
    return n, slope, why


@parameter(
    "growth_rate", "Growth rate", "rate",
    "slope of ln level from the nadir (or first quantifiable) to Tmax",
)  # fmt: skip
def growth_rate(work: Work) -> Column:
    """Return the rate of expansion."""
    _, slope, why = work.shared(_expansion_line)
    return settled(slope, why)


@parameter("doubling_time", "Doubling time", "time", "ln 2/growth rate", needs=("growth_rate",))
def doubling_time(work: Work) -> Column:
    """Return the doubling time of the expansion."""
    rate = work["growth_rate"]
    return derived(math.log(2) / rate.value, rate)


@parameter(
    "expansion_n_points", "Expansion points", "one", "samples behind the growth rate",
    statistic="median",
)  # fmt: skip
def expansion_n_points(work: Work) -> Column:
    """Return the number of samples of the expansion."""
    n, _, why = work.shared(_expansion_line)
    return settled(n.astype(float), why)


@parameter(
    "fold_expansion", "Fold expansion", "one",
    "Cmax over the nadir (or first quantifiable level) before it", needs=("cmax",),
)  # fmt: skip
def fold_expansion(work: Work) -> Column:
    """Return the fold expansion."""
    top = work["cmax"]
    value = top.value / at(work.block.level, work.shared(expansion_start))
    return derived(value, Column(value, work.shared(_expansion_reason)), top)


def _contraction_line(work: Work) -> tuple[Ints, Floats, Floats, Codes]:
    b, rules = work.block, work.rules
    after = b.time >= work.tmax if rules.contraction_from_tmax else b.time > work.tmax
    points = work.seen & after & (b.visit <= rules.contraction_until)
    n, slope, r2 = line(b.time, work.log_level, points)
    why = explain(
        work.any_seen,
        (work.peak < 0, Why.LATE_BLQ),
        (n < rules.contraction_min_points, Why.CONTRACTION_FEW),
        (~(slope < 0), Why.CONTRACTION_FLAT),
    )
    return n, slope, r2, why


@parameter(
    "contraction_half_life", "Contraction t½", "time",
    "ln 2/decline of ln level from Tmax to day contraction_until",
)  # fmt: skip
def contraction_half_life(work: Work) -> Column:
    """Return the half-life of the contraction."""
    _, slope, _, why = work.shared(_contraction_line)
    return settled(math.log(2) / -slope, why)


@parameter(
    "contraction_n_points", "Contraction points", "one", "samples behind the contraction half-life",
    statistic="median",
)  # fmt: skip
def contraction_n_points(work: Work) -> Column:
    """Return the number of samples of the contraction."""
    n, _, _, why = work.shared(_contraction_line)
    return settled(n.astype(float), why)


@parameter(
    "contraction_r_squared", "Contraction R²", "one", "R² of ln level in the contraction",
    statistic="arithmetic",
)  # fmt: skip
def contraction_r_squared(work: Work) -> Column:
    """Return R² of the contraction line."""
    _, _, r2, why = work.shared(_contraction_line)
    return settled(r2, why)


# -- persistence


def _loss(work: Work) -> tuple[Floats, Floats]:
    """Return the interval in which the level was lost; its end is NaN if it never was."""
    b = work.block
    below = b.present & ~b.quantified
    if work.rules.persistence_consecutive == 0:
        tlast = at(b.time, work.last_seen)
        return tlast, at(b.time, first_row(below & (b.time > tlast)))
    return _loss_in_a_row(work, below, work.rules.persistence_consecutive)


def _loss_in_a_row(work: Work, below: Bools, k: int) -> tuple[Floats, Floats]:
    """Return the interval before the first of `k` consecutive BLQ samples after Tmax."""
    time = work.block.time
    run = np.zeros(work.block.patients, dtype=np.int64)
    nan = np.full(work.block.patients, np.nan)
    seen_at, lower, upper, begin, before = nan, nan, nan, nan, nan
    for row in range(time.shape[0]):
        late = below[row] & (time[row] > work.tmax)
        begin = np.where(late & (run == 0), time[row], begin)
        before = np.where(late & (run == 0), seen_at, before)
        run = np.where(late, run + 1, np.where(work.seen[row], 0, run))
        lost = (run == k) & np.isnan(upper)
        lower, upper = np.where(lost, before, lower), np.where(lost, begin, upper)
        seen_at = np.where(work.seen[row], time[row], seen_at)
    return np.where(np.isnan(upper), seen_at, lower), upper


def _never_seen(work: Work) -> Bools:
    return ~work.seen.any(axis=0)


def _first_blq(work: Work) -> Floats:
    """Return the time of the first sample after the infusion."""
    return at(work.block.time, first_row(work.block.present & (work.block.time > 0)))


@parameter(
    "persistence_lower", "Persistence, at least", "time",
    "last time known to be quantifiable before the loss; 0 if never quantifiable",
    statistic="median",
)  # fmt: skip
def persistence_lower(work: Work) -> Column:
    """Return the lower end of the interval of loss."""
    lower, _ = work.shared(_loss)
    nowhere = _never_seen(work) & np.isnan(_first_blq(work))
    why = explain(work.usable, (nowhere, Why.NO_SAMPLE))
    return settled(np.where(_never_seen(work), 0.0, lower), why)


@parameter(
    "persistence_upper", "Persistence, at most", "time",
    "first time known to be BLQ at the loss", statistic="median",
)  # fmt: skip
def persistence_upper(work: Work) -> Column:
    """Return the upper end of the interval of loss."""
    _, upper = work.shared(_loss)
    value = np.where(_never_seen(work), _first_blq(work), upper)
    nowhere = _never_seen(work) & np.isnan(value)
    below = work.block.present & ~work.block.quantified
    rebound = (below & (work.block.time > work.tmax)).any(axis=0)
    first = at(work.block.time, first_row(below & (work.block.time > work.tmax)))
    work.note(Note.REBOUND, rebound & (first < at(work.block.time, work.last_seen)))
    why = explain(work.usable, (nowhere, Why.NO_SAMPLE), (np.isnan(value), Why.STILL_QUANTIFIABLE))
    return settled(value, why)


@parameter(
    "persistence_censored", "Still quantifiable", "one",
    "1 if the loss was not seen (right-censored at persistence_lower)",
    needs=("persistence_lower", "persistence_upper"), statistic="count",
)  # fmt: skip
def persistence_censored(work: Work) -> Column:
    """Return a flag: the loss lies after the last sample."""
    lower, upper = work["persistence_lower"], work["persistence_upper"]
    return settled((upper.why == Why.STILL_QUANTIFIABLE).astype(float), lower.why)


@parameter(
    "quantifiable_{visit}", "Quantifiable, day {target}", "one",
    "1 if the sample nearest to day {target} (from {first} to {last}) is quantifiable",
    statistic="count", each="visit",
)  # fmt: skip
def quantifiable_at(work: Work, visit: str) -> Column:
    """Return a flag for the sample nearest to a visit's target day, inside its window."""
    target, first, last = work.rules.visits[visit]
    b = work.block
    inside = b.present & (b.visit >= first) & (b.visit <= last)
    distance = np.where(inside, np.abs(b.visit - target), np.inf)
    nearest = first_row(distance == distance.min(axis=0))
    value = b.quantified[nearest, np.arange(b.patients)].astype(float)
    return settled(value, explain(work.usable, (~inside.any(axis=0), Why.NO_VISIT)))


# -- per dose; clearance and volumes exist for completeness and mean little for a living drug


@parameter("dose", "Dose", "dose", "amount infused, fractions added", statistic="median")
def dose(work: Work) -> Column:
    """Return the amount given."""
    amount = work.block.dose
    why = explain(work.block.problem, (~(amount > 0), Why.NO_DOSE))
    return settled(amount, why)


def _per_dose(work: Work, name: str) -> Column:
    top, amount = work[name], work["dose"]
    return derived(top.value / amount.value, top, amount)


@parameter("cmax_dn", "Cmax/dose", "level/dose", "Cmax per dose", cdisc="CMAXD",
           needs=("cmax", "dose"))  # fmt: skip
def cmax_dn(work: Work) -> Column:
    """Return Cmax per dose."""
    return _per_dose(work, "cmax")


@parameter("auclast_dn", "AUClast/dose", "area/dose", "AUClast per dose", cdisc="AUCLSTD",
           needs=("auclast", "dose"))  # fmt: skip
def auclast_dn(work: Work) -> Column:
    """Return AUClast per dose."""
    return _per_dose(work, "auclast")


@parameter("aucinf_obs_dn", "AUCinf/dose", "area/dose", "AUCinf per dose", cdisc="AUCIFOD",
           needs=("aucinf_obs", "dose"))  # fmt: skip
def aucinf_obs_dn(work: Work) -> Column:
    """Return AUCinf per dose."""
    return _per_dose(work, "aucinf_obs")


@parameter("auc{w}_dn", "AUC{span}/dose", "area/dose", "AUC{span} per dose", cdisc="AUCINTD",
           needs=("auc{w}", "dose"), each="window")  # fmt: skip
def auc_window_dn(work: Work, window: Window) -> Column:
    """Return the area of a window per dose."""
    return _per_dose(work, f"auc{window_name(window)}")


@parameter("cl", "CL", "dose/area", "dose/AUCinf; not meaningful for a living drug", cdisc="CLO",
           needs=("dose", "aucinf_obs"), default=False)  # fmt: skip
def cl(work: Work) -> Column:
    """Return dose over AUCinf."""
    top, area = work["dose"], work["aucinf_obs"]
    value = derived(top.value / area.value, top, area)
    return settled(value.value, explain(value.why, (area.value <= 0, Why.ZERO_AREA)))


@parameter("vz", "Vz", "dose/level", "CL/λz; not meaningful for a living drug", cdisc="VZO",
           needs=("cl", "lambda_z"), default=False)  # fmt: skip
def vz(work: Work) -> Column:
    """Return CL over lambda_z."""
    top, rate = work["cl"], work["lambda_z"]
    return derived(top.value / rate.value, top, rate)


@parameter("vss", "Vss", "dose/level", "CL·MRT; not meaningful for a living drug", cdisc="VSSO",
           needs=("cl", "mrtinf_obs"), default=False)  # fmt: skip
def vss(work: Work) -> Column:
    """Return CL times MRT."""
    top, mrt = work["cl"], work["mrtinf_obs"]
    return derived(top.value * mrt.value, top, mrt)
