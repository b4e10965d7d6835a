"""Samples of many patients in flat arrays, and blocks cut from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._core.validate import did_you_mean
from cart_pkpd._nca.block import Block
from cart_pkpd._nca.reasons import Book, Bools, Codes, Floats, Ints, Note
from cart_pkpd._nca.rules import Rules

BLOCK_ELEMENTS = 131_072
"""Samples × patients of one block: small enough to stay in cache, large enough for numpy."""


@dataclass(frozen=True)
class Samples:
    """Samples of one endpoint, sorted by patient and time.

    Attributes
    ----------
    ids : ndarray of str, shape (patients,)
    patient : ndarray of int, shape (samples,)
        Position in `ids`, not decreasing.
    time, visit : ndarray, shape (samples,)
        Since the infusion; nominal where known. Increasing within a patient. [day]
    level, lloq : ndarray, shape (samples,)
        Reported level, NaN-free; LLOQ, NaN where unknown. [any]
    quantified : ndarray of bool, shape (samples,)
    row : ndarray of int, shape (samples,)
        Place in the source, for messages.
    dose, dose_end, horizon : ndarray, shape (patients,)
    problem : ndarray of int16, shape (patients,)
        Codes of a `Book`.
    notes : ndarray of int, shape (patients,)
    """

    ids: NDArray[np.str_]
    patient: Ints
    time: Floats
    visit: Floats
    level: Floats
    lloq: Floats
    quantified: Bools
    row: Ints
    dose: Floats
    dose_end: Floats
    horizon: Floats
    problem: Codes
    notes: Ints

    def counts(self) -> Ints:
        """Return the number of samples of each patient."""
        return np.bincount(self.patient, minlength=self.ids.size)


def in_order(patient: Ints, time: Floats) -> Ints | None:
    """Return the order that sorts samples by patient and time; None if they are sorted."""
    same = patient[1:] == patient[:-1]
    # `not >` keeps a NaN time from passing as unsorted for ever; bad times are found later.
    if not ((patient[1:] < patient[:-1]) | (same & (time[1:] < time[:-1]))).any():
        return None
    return np.lexsort((time, patient))


def find_problems(samples: Samples, book: Book, rules: Rules) -> Samples:
    """Return the samples with bad patients marked and duplicates settled by the rule."""
    problem = samples.problem.copy()
    notes = samples.notes.copy()

    def mark(bad: Bools, text: str, *, pair: bool = False) -> None:
        for i in np.flatnonzero(bad):
            who = samples.patient[i]
            if problem[who] == 0:
                where = _place(samples, slice(i - 1, i + 1) if pair else slice(i, i + 1))
                problem[who] = book.add(text.format(value=samples.level[i], where=where))

    mark(~np.isfinite(samples.time), "a sample has no finite time ({where})")
    mark(~np.isfinite(samples.level), "level {value:g} is not finite ({where})")
    mark(samples.level < 0, "negative level {value:g} ({where})")
    again = np.zeros(samples.time.size, dtype=bool)
    again[1:] = (samples.patient[1:] == samples.patient[:-1]) & (
        samples.time[1:] == samples.time[:-1]
    )
    keep = np.ones(samples.time.size, dtype=bool)
    if rules.duplicates == "refuse":
        mark(again, "two samples at the same time ({where}); see rule duplicates", pair=True)
    elif again.any():
        notes[samples.patient[again]] |= Note.DUPLICATES
        keep = ~again if rules.duplicates == "first" else ~np.append(again[1:], False)
    if keep.all():
        return replace(samples, problem=problem, notes=notes)
    return _marked(samples, keep, problem, notes)


def _place(samples: Samples, which: slice) -> str:
    """Return day and source rows of samples at one time, for a message."""
    rows = [str(row) for row in samples.row[which] if row >= 0]
    day = f"day {samples.time[which][-1]:g}"
    return f"{day}, row{'s' if len(rows) > 1 else ''} {' and '.join(rows)}" if rows else day


def _marked(samples: Samples, keep: Bools, problem: Codes, notes: Ints) -> Samples:
    return Samples(
        ids=samples.ids, patient=samples.patient[keep], time=samples.time[keep],
        visit=samples.visit[keep], level=samples.level[keep], lloq=samples.lloq[keep],
        quantified=samples.quantified[keep], row=samples.row[keep], dose=samples.dose,
        dose_end=samples.dose_end, horizon=samples.horizon, problem=problem, notes=notes,
    )  # fmt: skip


def blocks(samples: Samples, rules: Rules) -> Iterator[tuple[Ints, Block]]:
    """Yield blocks of patients of similar length, with their positions in `ids`."""
    counts = samples.counts()
    first = np.cumsum(counts) - counts
    _check_chosen(samples, rules)
    for members in _groups(counts):
        yield members, _block(samples, rules, members, counts[members], first[members])


def _groups(counts: Ints) -> Iterator[Ints]:
    order = np.argsort(counts, kind="stable")
    begin = 0
    while begin < order.size:
        size = max(BLOCK_ELEMENTS // (int(counts[order[begin]]) + 2), 1)
        longest = int(counts[order[min(begin + size, order.size) - 1]])
        size = min(size, max(BLOCK_ELEMENTS // (longest + 2), 1))
        yield order[begin : begin + size]
        begin += size


def _block(samples: Samples, rules: Rules, members: Ints, counts: Ints, first: Ints) -> Block:
    rows = max(int(counts.max(initial=0)), 1)
    step = np.arange(rows)[:, None]
    real = step < counts
    source = np.where(real, first + step, 0)

    def matrix(values: NDArray[np.generic], fill: float | bool) -> NDArray[np.generic]:
        if values.size == 0:
            return np.full((rows, members.size), fill)
        return np.where(real, values[source], fill)

    time = np.asarray(matrix(samples.time, np.nan), dtype=np.float64)
    quantified = np.asarray(matrix(samples.quantified, False), dtype=bool)
    reported = np.asarray(matrix(samples.level, 0.0), dtype=np.float64)
    level = np.where(quantified, reported, 0.0)
    horizon = samples.horizon[members]
    fine = samples.problem[members] == 0
    present = real & (time >= 0) & (time <= horizon) & fine
    notes = samples.notes[members].copy()
    baseline = _baseline(time, level)
    notes |= np.where(baseline > 0, int(Note.BASELINE), 0)
    at_start = (quantified & present & (time == 0)).any(axis=0)
    notes |= np.where(at_start, int(Note.START_POSITIVE), 0)
    later = (real & (time > horizon)).any(axis=0) & fine
    notes |= np.where(later, int(Note.NEXT_INFUSION), 0)
    included, chosen, lost = _listed(
        samples.ids[members], time, rules.lambda_z_include, present & quantified
    )
    excluded, _, unknown = _listed(samples.ids[members], time, rules.lambda_z_exclude, present)
    return Block(
        time=time,
        level=level,
        present=present,
        quantified=quantified,
        lloq=np.asarray(matrix(samples.lloq, np.nan), dtype=np.float64),
        visit=np.asarray(matrix(samples.visit, np.nan), dtype=np.float64),
        included=included,
        excluded=excluded,
        chosen=chosen,
        chosen_missing=lost | unknown,
        baseline=baseline,
        dose=samples.dose[members],
        dose_end=samples.dose_end[members],
        horizon=horizon,
        problem=samples.problem[members],
        notes=notes,
    )


def _baseline(time: Floats, level: Floats) -> Floats:
    """Return the level of the last sample before the infusion, NaN without one."""
    before = (time < 0).sum(axis=0)
    last = level[np.maximum(before - 1, 0), np.arange(time.shape[1])]
    return np.where(before > 0, last, np.nan)


def _listed(
    ids: NDArray[np.str_], time: Floats, chosen: Mapping[str, tuple[float, ...]], usable: Bools
) -> tuple[Bools | None, Bools, Bools]:
    """Return the samples listed by hand, whose patients have a list, and where one is missing."""
    listed = np.zeros(ids.size, dtype=bool)
    lost = np.zeros(ids.size, dtype=bool)
    if not chosen:
        return None, listed, lost
    mask = np.zeros(time.shape, dtype=bool)
    for column in np.flatnonzero(np.isin(ids, list(chosen))):
        listed[column] = True
        for moment in chosen[str(ids[column])]:
            hit = usable[:, column] & np.isclose(time[:, column], moment, rtol=1e-9, atol=1e-9)
            mask[:, column] |= hit
            lost[column] |= not hit.any()
    return mask, listed, lost


def _check_chosen(samples: Samples, rules: Rules) -> None:
    """Refuse hand-made lists for patients that do not exist."""
    known: set[str] | None = None
    for name in ("lambda_z_include", "lambda_z_exclude"):
        for who in getattr(rules, name):
            known = known if known is not None else {str(i) for i in samples.ids}
            if who not in known:
                raise ValueError(
                    f"rule {name} names patient {who!r}, who is not in the data."
                    f"{did_you_mean(who, known)}"
                )
