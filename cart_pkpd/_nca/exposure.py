"""Parameters of exposure: areas, moments, mean residence times, areas in windows."""

from __future__ import annotations

import numpy as np

from cart_pkpd._nca.areas import decline, triangle, triangle_moment
from cart_pkpd._nca.reasons import Codes, Column, Floats, Note, Why, derived, explain, settled
from cart_pkpd._nca.registry import Window, parameter, window_name
from cart_pkpd._nca.work import Work, outside_horizon, per_patient

RULE_TEXTS = (
    "",
    "measured to the end",
    "zero beyond Tlast",
    "line to the first BLQ",
    "exponential from observed Clast",
    "exponential from predicted Clast",
    "ends at the last sample",
    "ends at the next infusion",
)
"""How a window's area was completed; position is the code."""

_SHORT = 0.05
"""Share of a window that may lie beyond the last sample without a remark."""


@parameter(
    "c0",
    "C0",
    "level",
    "level at the infusion that the areas start from, by start_rule",
    cdisc="C0",
    default=False,
)
def c0(work: Work) -> Column:
    """Return the first point of the curve."""
    return settled(work.curve.y[0], work.area_from_start_reason)


@parameter("auclast", "AUClast", "area", "area from 0 to Tlast", cdisc="AUCLST")
def auclast(work: Work) -> Column:
    """Return the area to the last level above 0."""
    zero = per_patient(work, 0)
    return settled(work.curve.integrate(zero, work.curve.tlast), work.area_from_start_reason)


@parameter(
    "aucall", "AUCall", "area", "AUClast and the triangle to the first BLQ after Tlast",
    cdisc="AUCALL", needs=("auclast",),
)  # fmt: skip
def aucall(work: Work) -> Column:
    """Return the area with the triangle after Tlast."""
    base, curve = work["auclast"], work.curve
    return derived(base.value + triangle(curve, curve.tlast, per_patient(work, np.inf)), base)


def _nothing(work: Work) -> Column:
    """Return lambda_z, needing no reason where the area is zero anyway."""
    rate = work["lambda_z"]
    zero = work.curve.last < 0
    return Column(rate.value, np.where(zero, 0, rate.why).astype(np.int16))


def _infinite(work: Work, level: Floats) -> Column:
    """Return AUClast and the exponential tail from `level`, without acceptance."""
    base, rate = work["auclast"], _nothing(work)
    tail = np.where(work.curve.last < 0, 0.0, level / rate.value)
    return derived(base.value + tail, base, rate)


def _predicted(work: Work) -> Floats:
    return work.terminal.predict(work.curve.tlast)


def _share(work: Work, whole: Column) -> Column:
    """Return 100 (1 - AUClast/AUCinf)."""
    base = work["auclast"]
    why = explain(whole.why, (whole.value == 0, Why.ZERO_AREA))
    return settled(100 * (1 - base.value / whole.value), why)


def _accepted(work: Work, whole: Column) -> Column:
    """Return AUCinf, missing where too much of it is extrapolated."""
    limit = work.rules.accept_aucpext
    if limit is None:
        return whole
    return settled(whole.value, explain(whole.why, (_share(work, whole).value > limit,
                                                     Why.EXTRAPOLATED)))  # fmt: skip


@parameter(
    "aucinf_obs", "AUCinf", "area", "AUClast and observed Clast/λz", cdisc="AUCIFO",
    needs=("auclast", "lambda_z"),
)  # fmt: skip
def aucinf_obs(work: Work) -> Column:
    """Return the area to infinity from the observed Clast."""
    return _accepted(work, _infinite(work, work.curve.clast))


@parameter(
    "aucinf_pred", "AUCinf,pred", "area", "AUClast and predicted Clast/λz", cdisc="AUCIFP",
    needs=("auclast", "lambda_z"),
)  # fmt: skip
def aucinf_pred(work: Work) -> Column:
    """Return the area to infinity from the predicted Clast."""
    return _accepted(work, _infinite(work, _predicted(work)))


@parameter(
    "aucpext_obs", "%extrap", "percent", "share of AUCinf (observed) beyond Tlast",
    cdisc="AUCPEO", needs=("auclast", "lambda_z"), statistic="arithmetic",
)  # fmt: skip
def aucpext_obs(work: Work) -> Column:
    """Return the extrapolated share; also where the acceptance rule rejects the area."""
    return _share(work, _infinite(work, work.curve.clast))


@parameter(
    "aucpext_pred", "%extrap,pred", "percent", "share of AUCinf (predicted) beyond Tlast",
    cdisc="AUCPEP", needs=("auclast", "lambda_z"), statistic="arithmetic",
)  # fmt: skip
def aucpext_pred(work: Work) -> Column:
    """Return the extrapolated share of AUCinf,pred."""
    return _share(work, _infinite(work, _predicted(work)))


@parameter("aumclast", "AUMClast", "moment", "first moment from 0 to Tlast", cdisc="AUMCLST")
def aumclast(work: Work) -> Column:
    """Return the first moment to the last level above 0."""
    curve = work.curve
    value = curve.integrate(per_patient(work, 0), curve.tlast, moment=True)
    return settled(value, work.area_from_start_reason)


@parameter(
    "aumcall", "AUMCall", "moment", "AUMClast and the triangle to the first BLQ after Tlast",
    needs=("aumclast",), default=False,
)  # fmt: skip
def aumcall(work: Work) -> Column:
    """Return the first moment with the triangle after Tlast."""
    base = work["aumclast"]
    return derived(base.value + triangle_moment(work.curve), base)


def _infinite_moment(work: Work, level: Floats) -> Column:
    base, rate, end = work["aumclast"], _nothing(work), work.curve.tlast
    tail = level * end / rate.value + level / rate.value**2
    return derived(base.value + np.where(work.curve.last < 0, 0.0, tail), base, rate)


@parameter(
    "aumcinf_obs", "AUMCinf", "moment", "first moment to infinity, observed Clast",
    cdisc="AUMCIFO", needs=("aumclast", "lambda_z", "aucinf_obs"),
)  # fmt: skip
def aumcinf_obs(work: Work) -> Column:
    """Return the first moment to infinity from the observed Clast."""
    value = _infinite_moment(work, work.curve.clast)
    return derived(value.value, value, work["aucinf_obs"])


@parameter(
    "aumcinf_pred", "AUMCinf,pred", "moment", "first moment to infinity, predicted Clast",
    cdisc="AUMCIFP", needs=("aumclast", "lambda_z", "aucinf_pred"),
)  # fmt: skip
def aumcinf_pred(work: Work) -> Column:
    """Return the first moment to infinity from the predicted Clast."""
    value = _infinite_moment(work, _predicted(work))
    return derived(value.value, value, work["aucinf_pred"])


def _ratio(work: Work, top: str, bottom: str) -> Column:
    """Return a ratio of two parameters; a zero denominator is a reason."""
    above, below = work[top], work[bottom]
    value = derived(above.value / below.value, above, below)
    return settled(value.value, explain(value.why, (below.value == 0, Why.ZERO_AREA)))


@parameter(
    "mrtlast", "MRTlast", "time", "AUMClast/AUClast", cdisc="MRTLST",
    needs=("aumclast", "auclast"),
)  # fmt: skip
def mrtlast(work: Work) -> Column:
    """Return the mean residence time to Tlast."""
    return _ratio(work, "aumclast", "auclast")


@parameter(
    "mrtinf_obs", "MRTinf", "time", "AUMCinf/AUCinf, observed Clast", cdisc="MRTIFO",
    needs=("aumcinf_obs", "aucinf_obs"),
)  # fmt: skip
def mrtinf_obs(work: Work) -> Column:
    """Return the mean residence time to infinity."""
    return _ratio(work, "aumcinf_obs", "aucinf_obs")


@parameter(
    "mrtinf_pred", "MRTinf,pred", "time", "AUMCinf/AUCinf, predicted Clast", cdisc="MRTIFP",
    needs=("aumcinf_pred", "aucinf_pred"),
)  # fmt: skip
def mrtinf_pred(work: Work) -> Column:
    """Return the mean residence time to infinity, predicted Clast."""
    return _ratio(work, "aumcinf_pred", "aucinf_pred")


# -- areas in windows


def _ends(work: Work, window: Window) -> tuple[Floats, Floats]:
    """Return start and end of a window for each patient; the next infusion ends it."""
    end = np.minimum(window[1], work.block.horizon)
    return per_patient(work, window[0]), np.maximum(end, window[0])


def _tail(work: Work, start: Floats, end: Floats) -> Column:
    """Return the area of a window beyond Tlast, by the tail rule."""
    curve, rule = work.curve, work.rules.tail
    beyond = (end > curve.tlast) & (curve.last >= 0)
    if rule == "zero":
        return Column(np.zeros_like(start), work.none())
    if rule == "triangle":
        return Column(np.where(beyond, triangle(curve, start, end), 0.0), work.none())
    stop = np.fmin(end, curve.lost)  # never extrapolate over a BLQ sample
    level = curve.clast if rule == "exponential" else _predicted(work)
    rate = work["lambda_z"]
    area = decline(level, rate.value, curve.tlast, start, stop)
    needed = beyond & (stop > start)
    return Column(np.where(needed, area, 0.0), np.where(needed, rate.why, np.int16(0)))


def tail_rule(work: Work, window: Window) -> Codes:
    """Return how the area of a window was completed: codes into `RULE_TEXTS`."""
    curve, rules = work.curve, work.rules
    _, end = _ends(work, window)
    open_end = np.isnan(curve.lost)
    code = {"zero": 2, "triangle": 3, "exponential": 4, "exponential-predicted": 5}[rules.tail]
    out = np.full(work.block.patients, code, dtype=np.int16)
    if rules.tail in ("zero", "triangle"):
        out = np.where(open_end, np.int16(6), out)
    out = np.where((end <= curve.tlast) | (curve.last < 0), np.int16(1), out)
    out = np.where(work.block.horizon < window[1], np.int16(7), out)
    missed = window[1] - np.fmin(curve.tlast, work.block.horizon)
    short = np.isin(out, (6, 7)) & (missed > _SHORT * (window[1] - window[0]))
    work.note(Note.WINDOW_SHORT, short & (work[f"auc{window_name(window)}"].why == 0))
    return np.where(work[f"auc{window_name(window)}"].why == 0, out, np.int16(0))


def _window_reason(work: Work, window: Window) -> Codes:
    """Return why a window has no area."""
    start, _ = _ends(work, window)
    curve = work.curve
    late = (curve.n == 0) | (curve.x[0] > start)
    least = start + work.rules.min_coverage * (window[1] - window[0])
    covered = np.where(work.block.present, work.block.time, -np.inf).max(axis=0, initial=-np.inf)
    return explain(
        work.area_reason,
        (outside_horizon(work, window), Why.AFTER_NEXT_INFUSION),
        (late, Why.NO_START),
        ((covered < least) & (work.rules.min_coverage > 0), Why.COVERAGE),
    )


@parameter(
    "auc{w}", "AUC{span}", "area", "area from day {a} to day {b}, interpolated at both ends",
    cdisc="AUCINT", needs=("lambda_z",), each="window",
)  # fmt: skip
def auc_window(work: Work, window: Window) -> Column:
    """Return the area in a window, completed by the tail rule."""
    start, end = _ends(work, window)
    measured = work.curve.integrate(start, np.minimum(end, work.curve.tlast))
    tail = _tail(work, start, end)
    reason = _window_reason(work, window)
    return derived(measured + tail.value, Column(measured, reason), tail)


@parameter(
    "auc{w}_pext", "%extrap {span}", "percent", "share of AUC{span} beyond Tlast, by the tail rule",
    needs=("auc{w}", "lambda_z"), statistic="arithmetic", each="window",
)  # fmt: skip
def auc_window_share(work: Work, window: Window) -> Column:
    """Return the share of a window's area that the tail rule added."""
    whole, tail = work[f"auc{window_name(window)}"], _tail(work, *_ends(work, window))
    why = explain(whole.why, (whole.value == 0, Why.ZERO_AREA))
    return settled(100 * tail.value / whole.value, why)


@parameter(
    "aumc{w}", "AUMC{span}", "moment",
    "first moment from day {a} to day {b} of the measured part, to Tlast at most",
    each="window", default=False,
)  # fmt: skip
def aumc_window(work: Work, window: Window) -> Column:
    """Return the first moment of the measured part of a window."""
    start, end = _ends(work, window)
    value = work.curve.integrate(start, np.minimum(end, work.curve.tlast), moment=True)
    return settled(value, _window_reason(work, window))


@parameter(
    "auc0_tmax", "AUC0–Tmax", "area", "area of the expansion, from 0 to Tmax", needs=("tmax",)
)
def auc_to_tmax(work: Work) -> Column:
    """Return the area up to the peak."""
    peak = work["tmax"]
    area = work.curve.integrate(per_patient(work, 0), np.nan_to_num(peak.value))
    return derived(area, Column(area, work.area_from_start_reason), peak)


@parameter(
    "auc_tmax_{end}", "AUCTmax–{b}d", "area", "area of the contraction, from Tmax to day {b}",
    needs=("tmax", "lambda_z"), each="window",
)  # fmt: skip
def auc_from_tmax(work: Work, window: Window) -> Column:
    """Return the area from the peak to the end of a window."""
    peak = work["tmax"]
    _, end = _ends(work, (0.0, window[1]))
    start = np.nan_to_num(peak.value)
    measured = work.curve.integrate(start, np.minimum(end, work.curve.tlast))
    tail = _tail(work, start, end)
    why = explain(work.area_reason, (peak.value >= end, Why.PEAK_AFTER_WINDOW))
    return derived(measured + tail.value, Column(measured, why), peak, tail)
