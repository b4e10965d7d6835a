"""What is done with records beyond the limits of quantification.

The names are those of Beal (2001, J Pharmacokinet Pharmacodyn 28:481). M3 and M4 keep every record
as it is; the others, which are here for comparison, drop or replace records before the fit and
so bias it (Bergstrand & Karlsson 2009, AAPS J 11:371).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._core.errors import FitError
from cart_pkpd._core.validate import one_of
from cart_pkpd._stats.design import ABOVE, BELOW, BETWEEN, QUANTIFIED, Design, Exclusion
from cart_pkpd._stats.error import ErrorModel

METHODS: Mapping[str, str] = MappingProxyType(
    {
        "m1": "dropped",
        "m3": "by the probability of lying there",
        "m4": "by the probability of lying there, given that a measurement is above 0",
        "m5": "at LLOQ/2",
        "m6": "at LLOQ/2 for the first of a run, the others dropped",
        "m7": "at 0",
    }
)
"""What becomes of records below the LLOQ."""

LIKELIHOODS = ("m3", "m4")
"""The methods that use censored records as they are."""


def check(method: str) -> None:
    """Raise FitError for a method that is not known."""
    one_of(method, METHODS, "censoring method", error=FitError)


def method(given: str) -> str:
    """Return the key of `METHODS` that is meant, whatever its capitals; FitError for none."""
    key = given.lower() if isinstance(given, str) else given
    check(key)
    return key


def check_values(design: Design, method: str, on_log: NDArray[np.bool_]) -> None:
    """Refuse records that a method cannot have.

    Parameters
    ----------
    design : Design
        As :func:`treated` returned it.
    method : str
        One of `METHODS`.
    on_log : ndarray of bool
        By measure: its error is on the log scale.

    Raises
    ------
    FitError
        For records at 0 where the logarithm is needed (M7), or at 0 or less where it is given that
        a measurement is above 0 (M4).
    """
    logs = on_log[design.measure]
    none = (design.code == QUANTIFIED) & ~(design.dv > 0)
    if method == "m7" and design.treatment and (logs & none).any():
        i = int(np.flatnonzero(logs & none)[0])
        raise FitError(
            f"censoring='m7' puts records below the LLOQ at 0, which has no logarithm (patient "
            f"{str(design.ids[design.patient[i]])!r}, row {design.row[i]}); use 'm5', or an error "
            "on the natural scale such as 'additive'."
        )
    if method == "m4" and (~logs & none).any():
        i = int(np.flatnonzero(~logs & none)[0])
        raise FitError(
            f"censoring='m4' takes measurements above 0, and that of patient "
            f"{str(design.ids[design.patient[i]])!r} in row {design.row[i]} is {design.dv[i]:g}; "
            "use 'm3'."
        )


def treated(design: Design, method: str) -> Design:
    """Return the design as a method wants it; the same if nothing is censored.

    Records above the ULOQ stand at the ULOQ, and those within an interval at its middle, by every
    method but M1, which drops them too, and M3 and M4, which keep them as they are.

    Parameters
    ----------
    design : Design
        Records as measured.
    method : str
        One of `METHODS`.

    Raises
    ------
    FitError
        If no record is left.
    """
    censored = design.code != QUANTIFIED
    if method in LIKELIHOODS or not censored.any():
        return design
    keep = {"m1": ~censored, "m6": ~_later_of_runs(design)}.get(method, np.ones_like(censored))
    if not keep.any():
        raise FitError(
            f"censoring={method!r} leaves no record to fit: all {censored.size} are censored; use "
            "'m3'."
        )
    changed = replace(
        design,
        dv=_replaced(design, {"m7": 0.0}.get(method, 0.5)),
        code=np.full_like(design.code, QUANTIFIED),
        low=np.full_like(design.low, np.nan),
    )
    kept = changed.taken(np.flatnonzero(keep))
    kept = replace(
        kept,
        exclusions=(*design.exclusions, *_dropped(design, ~keep, method)),
        treatment=_said(design, keep, method),
    )
    return _with_records(kept, method)


def notes(design: Design, errors: Sequence[ErrorModel]) -> tuple[str, ...]:
    """Return what is to be said of censored records, one sentence each."""
    said: tuple[str, ...] = ()
    if design.treatment:
        said = (f"{design.treatment[0].upper()}{design.treatment[1:]}.",)
    conditional = [m.label for e, m in zip(errors, design.measures, strict=True) if e.positive]
    if conditional:
        said += (f"{', '.join(conditional)}: conditional on measurements above 0 (M4).",)
    return said


def _replaced(design: Design, share: float) -> NDArray[np.float64]:
    """Return what stands for every record; `share` of the LLOQ for those below it."""
    middle = (design.low + design.dv) / 2.0
    below, between = design.code == BELOW, design.code == BETWEEN
    return np.where(below, share * design.dv, np.where(between, middle, design.dv))


def _later_of_runs(design: Design) -> NDArray[np.bool_]:
    """Return the records that M6 drops: of each run below the LLOQ, all but one.

    The first of a run stays. Before the first other record of a patient, where levels rise, it
    is the last: the one next to what was quantified.
    """
    drop = np.zeros(design.n_obs, dtype=bool)
    for patient in range(design.n_patients):
        for measure in range(len(design.measures)):
            rows = np.flatnonzero((design.patient == patient) & (design.measure == measure))
            below = design.code[rows] == BELOW
            edges = np.flatnonzero(np.diff(below.astype(int), prepend=0, append=0))
            for first, end in edges.reshape(-1, 2):
                rising = first == 0 and end < rows.size
                stays = end - 1 if rising else first
                drop[rows[[i for i in range(first, end) if i != stays]]] = True
    return drop


def _dropped(design: Design, gone: NDArray[np.bool_], method: str) -> list[Exclusion]:
    where = {BELOW: "below the LLOQ", ABOVE: "above the ULOQ", BETWEEN: "within an interval"}
    return [
        Exclusion(
            str(design.ids[design.patient[i]]),
            int(design.row[i]),
            f"{where[int(design.code[i])]} (censoring method {method.upper()})",
        )
        for i in np.flatnonzero(gone)
    ]


def _said(design: Design, keep: NDArray[np.bool_], method: str) -> str:
    below, above = design.code == BELOW, design.code == ABOVE
    between, stays = design.code == BETWEEN, keep & (design.code == BELOW)
    dropped = int((below & ~keep).sum())
    said = []
    if method == "m1":
        n = int((~keep).sum())
        said.append(f"{n} censored {'record was' if n == 1 else 'records were'} dropped")
    else:
        value = "0" if method == "m7" else "LLOQ/2"
        if below.any():
            said.append(f"{int(stays.sum())} below the LLOQ stand at {value}")
        if dropped:
            said.append(f"{dropped} more below the LLOQ were dropped")
        if above.any():
            said.append(f"{int(above.sum())} above the ULOQ stand at the ULOQ")
        if between.any():
            said.append(f"{int(between.sum())} within an interval stand at its middle")
    return (
        f"censoring method {method.upper()}: {', '.join(said)}; estimates are biased by that, and "
        "M3 is not"
    )


def _with_records(design: Design, method: str) -> Design:
    """Return the design of the patients who have records left."""
    present = np.unique(design.patient)
    if present.size == design.n_patients:
        return design
    gone = np.setdiff1d(np.arange(design.n_patients), present)
    reason = f"every record was dropped (censoring method {method.upper()})"
    left = tuple(Exclusion(str(design.ids[i]), None, reason) for i in gone)
    return replace(design.among(present.tolist()), exclusions=(*design.exclusions, *left))
