"""Why a value is missing, and remarks on values that are there: short codes, readable texts."""

from __future__ import annotations

from enum import IntEnum, IntFlag, auto
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._nca.rules import Rules

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Codes = NDArray[np.int16]


class Column(NamedTuple):
    """One parameter of a block of patients: values, and a reason code where NaN.

    Attributes
    ----------
    value : ndarray of float, shape (patients,)
    why : ndarray of int16, shape (patients,)
        0 where there is a value.
    """

    value: Floats
    why: Codes


class Why(IntEnum):
    """Reason codes; the sentences are in `SENTENCES`."""

    OK = 0
    NO_SAMPLE = auto()
    NO_LATE_SAMPLE = auto()
    ALL_BLQ = auto()
    LATE_BLQ = auto()
    ONE_SAMPLE = auto()
    NO_START = auto()
    NO_LLOQ = auto()
    ZERO_AREA = auto()
    PEAK_LAST = auto()
    FEW_POINTS = auto()
    RISING = auto()
    CONSTANT = auto()
    CHOSEN_MISSING = auto()
    CHOSEN_FEW = auto()
    CHOSEN_RISING = auto()
    TWO_POINTS = auto()
    LOW_R2 = auto()
    SHORT_SPAN = auto()
    EXTRAPOLATED = auto()
    FEW_MEASURED = auto()
    COVERAGE = auto()
    NO_DOSE = auto()
    PEAK_FIRST = auto()
    EXPANSION_FEW = auto()
    EXPANSION_FLAT = auto()
    CONTRACTION_FEW = auto()
    CONTRACTION_FLAT = auto()
    STILL_QUANTIFIABLE = auto()
    NO_VISIT = auto()
    PEAK_AFTER_WINDOW = auto()
    AFTER_NEXT_INFUSION = auto()
    NO_INFUSION = auto()
    OVERFLOW = auto()


SENTENCES: dict[Why, str] = {
    Why.OK: "",
    Why.NO_SAMPLE: "no sample of this endpoint after the infusion",
    Why.NO_LATE_SAMPLE: "no sample at or after day {tmax_after:g} (rule tmax_after)",
    Why.ALL_BLQ: "no quantifiable sample",
    Why.LATE_BLQ: "no quantifiable sample at or after day {tmax_after:g} (rule tmax_after)",
    Why.ONE_SAMPLE: "only one sample; an area needs two",
    Why.NO_START: "no sample at the start of the window and start_rule='none'",
    Why.NO_LLOQ: "the BLQ rule needs an LLOQ, and a BLQ sample has none",
    Why.ZERO_AREA: "not defined for a zero area",
    Why.PEAK_LAST: "Tmax is the last quantifiable sample; there is no decline to fit",
    Why.FEW_POINTS: "fewer than {min_points} quantifiable samples in the terminal phase",
    Why.RISING: "no declining terminal phase: the best-fitting line rises",
    Why.CONSTANT: "the terminal samples are all equal; no slope",
    Why.CHOSEN_MISSING: "a sample chosen by hand for lambda_z is not a quantifiable sample",
    Why.CHOSEN_FEW: "fewer than {min_points} quantifiable samples among those chosen for lambda_z",
    Why.CHOSEN_RISING: "the line through the samples chosen for lambda_z does not fall",
    Why.TWO_POINTS: "adjusted R² is not defined for two samples",
    Why.LOW_R2: "not accepted: adjusted R² below {accept_adj_r_squared}",
    Why.SHORT_SPAN: "not accepted: span ratio below {accept_span_ratio}",
    Why.EXTRAPOLATED: "not accepted: more than {accept_aucpext} % extrapolated",
    Why.FEW_MEASURED: "not accepted: fewer than {accept_samples} quantifiable samples",
    Why.COVERAGE: "samples cover less than {min_coverage:.0%} of the window",
    Why.NO_DOSE: "no dose recorded",
    Why.PEAK_FIRST: "Tmax is the first quantifiable sample; no expansion was observed",
    Why.EXPANSION_FEW: "fewer than {expansion_min_points} quantifiable samples up to Tmax",
    Why.EXPANSION_FLAT: "the line up to Tmax does not rise",
    Why.CONTRACTION_FEW: "fewer than {contraction_min_points} quantifiable samples from Tmax "
    "to day {contraction_until:g}",
    Why.CONTRACTION_FLAT: "the line from Tmax to day {contraction_until:g} does not fall",
    Why.STILL_QUANTIFIABLE: "still quantifiable at the last sample (right-censored)",
    Why.NO_VISIT: "no sample inside the visit window",
    Why.PEAK_AFTER_WINDOW: "Tmax is not before the end of the window",
    Why.AFTER_NEXT_INFUSION: "the window starts at or after the next infusion",
    Why.NO_INFUSION: "the patient had no such infusion",
    Why.OVERFLOW: "too large or too small for floating-point numbers",
}


class Note(IntFlag):
    """Remarks on a profile whose values stand."""

    NONE = 0
    BASELINE = auto()
    START_POSITIVE = auto()
    ABOVE_ULOQ = auto()
    INTERVAL = auto()
    MISSING_DROPPED = auto()
    DUPLICATES = auto()
    PEAK_LAST = auto()
    TWO_POINT_LAMBDA = auto()
    TWO_POINT_EXPANSION = auto()
    REBOUND = auto()
    NEXT_INFUSION = auto()
    WINDOW_SHORT = auto()


REMARKS: dict[Note, str] = {
    Note.BASELINE: "quantifiable before the infusion",
    Note.START_POSITIVE: "quantifiable at the time of infusion",
    Note.ABOVE_ULOQ: "samples above the upper limit count at that limit",
    Note.INTERVAL: "interval-censored samples count as BLQ",
    Note.MISSING_DROPPED: "missing values left out",
    Note.DUPLICATES: "one of several samples at the same time used",
    Note.PEAK_LAST: "Cmax is the last sample",
    Note.TWO_POINT_LAMBDA: "lambda_z from two samples",
    Note.TWO_POINT_EXPANSION: "expansion from two samples",
    Note.REBOUND: "quantifiable again after a BLQ sample after Tmax",
    Note.NEXT_INFUSION: "profile ends at the next infusion",
    Note.WINDOW_SHORT: "the area of a window stops before its end",
}


class Book:
    """Codes and texts of one analysis: the standard reasons, then patients' own."""

    def __init__(self, rules: Rules) -> None:
        values = {name: getattr(rules, name) for name in rules.__dataclass_fields__}
        self.texts: list[str] = [SENTENCES[why].format(**values) for why in Why]

    def add(self, text: str) -> int:
        """Return the code of `text`, new or known."""
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text)


def remark_text(bits: int) -> str:
    """Return the remarks of a profile as one line."""
    return "; ".join(text for note, text in REMARKS.items() if bits & note)


def no_reason(patients: int) -> Codes:
    """Return a column of "no reason needed"."""
    return np.zeros(patients, dtype=np.int16)


def first_reason(*whys: Codes) -> Codes:
    """Return, for each patient, the first reason given."""
    out = whys[0]
    for why in whys[1:]:
        out = np.where(out == 0, why, out)
    return out


def explain(why: Codes, *cases: tuple[Bools, int]) -> Codes:
    """Return `why` with codes filled in where none is given yet; earlier cases win."""
    for where, code in cases:
        why = np.where((why == 0) & where, np.int16(code), why)
    return why


def derived(value: Floats, *sources: Column) -> Column:
    """Return a column computed from others: missing, for their reason, where they are."""
    why = first_reason(*(s.why for s in sources))
    return Column(np.where(why == 0, value, np.nan), why)


def settled(value: Floats, why: Codes) -> Column:
    """Return a column that is NaN wherever a reason is given."""
    return Column(np.where(why == 0, value, np.nan), why)
