"""Parameters read off the samples: peak, first and last quantifiable, counts."""

from __future__ import annotations

import numpy as np

from cart_pkpd._nca.block import at, first_row, last_row
from cart_pkpd._nca.reasons import Codes, Column, Note, Why, derived, explain, first_reason, settled
from cart_pkpd._nca.registry import parameter
from cart_pkpd._nca.work import Work


def _late(work: Work) -> Codes:
    """Return why no sample counts for Cmax."""
    looked_at = work.block.present & (work.block.time >= work.rules.tmax_after)
    return explain(work.usable, (~looked_at.any(axis=0), Why.NO_LATE_SAMPLE))


@parameter("cmax", "Cmax", "level", "highest observed level; 0 if all are BLQ", cdisc="CMAX")
def cmax(work: Work) -> Column:
    """Return the highest level from `tmax_after` on."""
    value = np.where(work.peak >= 0, at(work.block.level, work.peak), 0.0)
    last = last_row(work.block.present)
    work.note(Note.PEAK_LAST, (work.peak >= 0) & (work.peak == last))
    return settled(value, _late(work))


@parameter(
    "tmax", "Tmax", "time", "time of Cmax, first or last of ties by rule", cdisc="TMAX",
    statistic="median",
)  # fmt: skip
def tmax(work: Work) -> Column:
    """Return the time of the peak."""
    why = explain(
        first_reason(_late(work), work.any_seen), (work.peak < 0, Why.LATE_BLQ)
    )  # fmt: skip
    return settled(work.tmax, why)


@parameter(
    "tfirst", "Tfirst", "time", "time of the first quantifiable level", cdisc="TFIRST",
    statistic="median",
)  # fmt: skip
def tfirst(work: Work) -> Column:
    """Return the time of the first quantifiable sample."""
    return settled(at(work.block.time, work.first_seen), work.any_seen)


@parameter(
    "tlast", "Tlast", "time", "time of the last quantifiable level", cdisc="TLST",
    statistic="median",
)  # fmt: skip
def tlast(work: Work) -> Column:
    """Return the time of the last quantifiable sample."""
    return settled(at(work.block.time, work.last_seen), work.any_seen)


@parameter("clast", "Clast", "level", "last quantifiable level, observed", cdisc="CLST")
def clast(work: Work) -> Column:
    """Return the last quantifiable level."""
    return settled(at(work.block.level, work.last_seen), work.any_seen)


@parameter(
    "clast_pred", "Clast,pred", "level", "level on the terminal line at Tlast", cdisc="CLSTP",
    needs=("tlast", "lambda_z"),
)  # fmt: skip
def clast_pred(work: Work) -> Column:
    """Return the predicted level at the last quantifiable sample."""
    time = work["tlast"]
    return derived(work.terminal.predict(time.value), time, work["lambda_z"])


@parameter(
    "last_sample", "Last sample", "time", "time of the last sample, BLQ or not",
    statistic="median",
)  # fmt: skip
def last_sample(work: Work) -> Column:
    """Return the time of the last sample of the profile."""
    times = np.where(work.block.present, work.block.time, -np.inf)
    return settled(times.max(axis=0, initial=-np.inf), work.usable)


@parameter(
    "n_quantifiable", "Quantifiable samples", "one", "number of quantifiable samples",
    statistic="median",
)  # fmt: skip
def n_quantifiable(work: Work) -> Column:
    """Return the number of quantifiable samples."""
    return settled(work.seen.sum(axis=0).astype(float), work.block.problem)


@parameter(
    "n_blq", "BLQ samples", "one", "number of samples below the limit of quantification",
    statistic="median",
)  # fmt: skip
def n_blq(work: Work) -> Column:
    """Return the number of BLQ samples."""
    below = (work.block.present & ~work.block.quantified).sum(axis=0)
    return settled(below.astype(float), work.block.problem)


@parameter(
    "cmax_is_last", "Cmax is the last sample", "one", "1 if the level was still rising at the end",
    statistic="count",
)  # fmt: skip
def cmax_is_last(work: Work) -> Column:
    """Return a flag: the peak is the last sample."""
    later = (work.block.present & (work.block.time > work.tmax)).any(axis=0)
    why = explain(work.any_seen, (work.peak < 0, Why.LATE_BLQ))
    return settled((~later).astype(float), why)


@parameter(
    "early_spike", "Early spike", "one",
    "1 if the highest of all samples lies before the day of rule early_spike_before",
    statistic="count",
)  # fmt: skip
def early_spike(work: Work) -> Column:
    """Return a flag: the highest sample is a distribution spike right after the infusion."""
    b = work.block
    top = np.where(work.seen, b.level, -1.0)
    first = first_row(top == top.max(axis=0))
    value = at(b.time, first) < work.rules.early_spike_before
    return settled(value.astype(float), work.any_seen)
