"""From samples to the curve that the areas integrate: BLQ rules and the start point."""

from __future__ import annotations

import numpy as np

from cart_pkpd._nca.areas import Curve, log_ratio
from cart_pkpd._nca.block import Block, at, first_row, last_row
from cart_pkpd._nca.reasons import Bools, Floats, Ints
from cart_pkpd._nca.rules import Blq, Rules, blq_value


def positions(
    block: Block, blq: Blq, tmax: Floats, tfirst: Floats, tlast: Floats
) -> list[tuple[Bools, str | float]]:
    """Return which BLQ samples each part of the rule is about.

    With no quantifiable sample at all, every sample is ``first`` (or before Tmax).
    """
    below = block.present & ~block.quantified
    if blq.before_tmax is not None and blq.after_tmax is not None:
        after = below & (block.time >= tmax)
        return [(below & ~after, blq.before_tmax), (after, blq.after_tmax)]
    last = below & (block.time >= tlast)
    middle = below & (block.time > tfirst) & ~last
    return [(below & ~middle & ~last, blq.first), (middle, blq.middle), (last, blq.last)]


def apply_blq(
    block: Block, rules: Rules, tmax: Floats, tfirst: Floats, tlast: Floats
) -> tuple[Floats, Bools]:
    """Return the level of every sample after the BLQ rule (NaN: LLOQ missing), and which stay.

    A BLQ sample at the infusion is never dropped: it counts as 0.
    """
    level = block.level.copy()
    keep = block.present.copy()
    for where, rule in positions(block, rules.blq, tmax, tfirst, tlast):
        value = blq_value(rule)
        if value.drop:
            keep &= ~where | (block.time == 0)
        elif value.multiple:
            level = np.where(where, value.multiple * block.lloq, level)
        elif value.number:
            level = np.where(where, value.number, level)
    return level, keep


def start_level(block: Block, rules: Rules, level: Floats, keep: Bools) -> Floats:
    """Return the level to insert at the infusion, by the start rule."""
    if rules.start_rule == "predose":
        return np.where(np.isnan(block.baseline), 0.0, block.baseline)
    if rules.start_rule == "minimum":
        lowest = np.where(block.present, block.level, np.inf).min(axis=0, initial=np.inf)
        return np.where(np.isfinite(lowest), lowest, 0.0)
    if rules.start_rule == "extrapolate":
        return _back_extrapolated(block.time, level, keep)
    return np.zeros(block.patients)


def _back_extrapolated(time: Floats, level: Floats, keep: Bools) -> Floats:
    """C0 on the line of ln level through the first two points; the first where that rises."""
    one = first_row(keep)
    rest = keep & (np.arange(keep.shape[0])[:, None] > one)
    two = first_row(rest)
    t1, t2, c1, c2 = at(time, one), at(time, two), at(level, one), at(level, two)
    falls = (two >= 0) & (c1 > c2) & (c2 > 0)
    slope = log_ratio(np.where(falls, c2, 1.0), np.where(falls, c1, 1.0)) / np.where(
        falls, t2 - t1, 1.0
    )
    return np.where(falls, c1 * np.exp(slope * t1), np.where(one >= 0, c1, 0.0))


def curve_of(block: Block, rules: Rules, tmax: Floats, tfirst: Floats, tlast: Floats) -> Curve:
    """Return the curve of each patient. A level is NaN where its LLOQ is needed and missing."""
    level, keep = apply_blq(block, rules, tmax, tfirst, tlast)
    begun = keep & (block.time == 0)
    if rules.start_rule == "always-zero":
        level = np.where(begun, 0.0, level)
    insert = ~begun.any(axis=0) & (rules.start_rule != "none") & (block.problem == 0)
    start = start_level(block, rules, level, keep)
    x, y, n = _compact(
        np.vstack([np.zeros(block.patients), block.time]),
        np.vstack([start, level]),
        np.vstack([insert, keep]),
    )
    real = np.arange(x.shape[0])[:, None] < n
    return Curve(x, y, n, last_row(real & ~(y <= 0)), _curved(x, y, n, rules, tmax))


def _compact(x: Floats, y: Floats, keep: Bools) -> tuple[Floats, Floats, Ints]:
    """Move kept points to the top of each column and pad with the last of them."""
    n = keep.sum(axis=0)
    rows = max(int(n.max(initial=0)), 2)
    # Flat positions: numpy finds and takes them several times faster than pairs.
    source = np.flatnonzero(keep)
    place = (np.cumsum(keep, axis=0).take(source) - 1) * n.size + source % max(n.size, 1)
    real = np.arange(rows)[:, None] < n

    def packed(matrix: Floats) -> Floats:
        out = np.zeros((rows, n.size))
        out.ravel()[place] = matrix.take(source)
        return np.where(real, out, np.where(n == 0, 0.0, at(out, n - 1)))

    return packed(x), packed(y), n


def _curved(x: Floats, y: Floats, n: Ints, rules: Rules, tmax: Floats) -> Bools:
    """Return the logarithmic segments; equal levels and zeros are always linear."""
    y1, y2 = y[:-1], y[1:]
    log = (x[1:] > x[:-1]) & (y1 > 0) & (y2 > 0) & (y1 != y2)
    log &= np.arange(1, x.shape[0])[:, None] < n
    if rules.method == "linear":
        return np.zeros_like(log)
    if rules.method == "lin-log":
        return log & (x[:-1] >= tmax)
    return log & (y2 < y1)
