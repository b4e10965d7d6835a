"""From predictors and outcomes to the arrays of each part, and what is to be said of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.optimize import linprog

from cart_pkpd._core.errors import DataError
from cart_pkpd._crs.integral import clipped
from cart_pkpd._crs.likelihood import GradeData, OccurrenceData, OnsetData, PartData
from cart_pkpd._crs.outcomes import Outcomes, names_of, outcomes
from cart_pkpd._crs.parts import Hazard, Logistic, Part, ProportionalOdds
from cart_pkpd._crs.terms import Term

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
_FEWEST = 5  # events (and non-events) per coefficient below which it is said
_MANY = "priors weigh heavily in what follows"


@dataclass(frozen=True, eq=False)
class Arranged:
    """Arrays of every part, notes for the reader, and the serious ones among them.

    Attributes
    ----------
    data : tuple of PartData
    notes : tuple of str
        Who is not used where, and what the data do not tell.
    warnings : tuple of str
        Notes that a user must not overlook.
    """

    data: tuple[PartData, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def columns(found: xr.Dataset, terms: Sequence[Term]) -> Floats:
    """Return terms side by side, shape (sample,) + (n, p), or (n, g, p) if one is in time."""
    dims = tuple(d for d in ("sample", "id") if d in found.dims)
    if any(t.in_time for t in terms):
        dims = (*dims, "time")
    shape = tuple(found.sizes[d] for d in dims)
    like = xr.DataArray(np.zeros(shape), dims=dims)
    made = [(like + found[t.name].drop_vars(found[t.name].coords)).transpose(*dims) for t in terms]
    return np.stack([m.values for m in made], axis=-1) if made else np.zeros((*shape, 0))


def in_time(found: xr.Dataset, terms: Sequence[Term]) -> Floats:
    """Return terms on the time grid, shape (n, g, p), constant where they do not change."""
    x = columns(found, terms)
    if any(t.in_time for t in terms):
        return x
    return np.repeat(x[..., None, :], found.sizes["time"], axis=-2)


def arrange(found: xr.Dataset, parts: Sequence[Part], window: tuple[float, float]) -> Arranged:
    """Return the arrays of predictors without draws (dims id, time).

    Raises
    ------
    DataError
        If outcomes are missing or contradict themselves, or a part has no patient.
    """
    seen = outcomes(found, parts, window)
    notes, serious, data = list(seen.notes), [], []
    for part in parts:
        made, said = _made(found, part, seen, window)
        if not made.rows.size:
            why = f" ({'; '.join(said)})" if said else ", perhaps because nobody had CRS"
            raise DataError(
                f"{part.name}: no patient has both the outcome and every predictor{why}; look at "
                "the ids and at missing values, or leave this part of the layer out."
            )
        notes += said
        told, alarming = _informative(made)
        notes += [*told, *alarming]
        serious += alarming
        data.append(made)
    return Arranged(tuple(data), tuple(dict.fromkeys(notes)), tuple(serious))


def _missing(part: str, ids: NDArray[np.str_], lost: Mask, why: str) -> list[str]:
    if not lost.any():
        return []
    return [f"{part}: {names_of([str(i) for i in ids[lost]])} not used: {why}."]


def _lacking(found: xr.Dataset, terms: Sequence[Term]) -> tuple[Mask, str]:
    """Return whose predictors are missing, and which predictors."""
    n = found.sizes["id"]
    lost, which = np.zeros(n, dtype=bool), []
    for t in terms:
        column = found[t.name]
        gone = column.isnull().any([d for d in column.dims if d != "id"]).values
        lost |= gone
        if gone.any():
            which.append(t.quantity)
    return lost, ", ".join(which)


def _occurrence(
    found: xr.Dataset, part: Logistic, seen: Outcomes, window: tuple[float, float]
) -> tuple[OccurrenceData, list[str]]:
    had = (seen.grade >= 1) | np.isfinite(seen.day)
    unknown = np.isnan(seen.grade) & ~had
    short = ~unknown & ~had & ~(seen.exit >= window[1])
    lacking, which = _lacking(found, part.terms)
    rows = np.flatnonzero(~unknown & ~short & ~lacking)
    said = [
        *_missing(part.name, seen.ids, unknown, "no CRS grade"),
        *_missing(part.name, seen.ids, short, f"without CRS, but not seen to day {window[1]:g}"),
        *_missing(part.name, seen.ids, lacking & ~unknown, f"no {which}"),
    ]
    return OccurrenceData(
        part, rows, columns(found, part.terms)[rows], had[rows].astype(float)
    ), said


def _grade(
    found: xr.Dataset, part: ProportionalOdds, seen: Outcomes
) -> tuple[GradeData, list[str]]:
    unknown = np.isnan(seen.grade)
    asked = unknown | (seen.grade >= part.levels[0])
    lacking, which = _lacking(found, part.terms)
    rows = np.flatnonzero(~unknown & ~lacking & asked)
    said = [
        *_missing(part.name, seen.ids, unknown, "no CRS grade"),
        *_missing(part.name, seen.ids, lacking & asked & ~unknown, f"no {which}"),
    ]
    category = (seen.grade[rows] - part.levels[0]).astype(np.int64)
    return GradeData(part, rows, columns(found, part.terms)[rows], category), said


def _onset(found: xr.Dataset, part: Hazard, seen: Outcomes) -> tuple[OnsetData, list[str]]:
    known = np.isfinite(seen.day)
    had = known | (seen.grade >= 1)
    nothing = np.isnan(seen.grade) & ~known
    unseen = ~nothing & ~(seen.entry < np.maximum(seen.exit, np.where(known, seen.day, -np.inf)))
    lacking, which = _lacking(found, part.terms)
    asked = ~nothing & ~unseen & ~lacking
    said = [
        *_missing(part.name, seen.ids, nothing, "neither grade nor day of CRS"),
        *_missing(part.name, seen.ids, unseen, "no time at risk in the window"),
        *_missing(part.name, seen.ids, lacking & ~nothing & ~unseen, f"no {which}"),
    ]
    undated = asked & had & ~known
    if undated.any():
        who = names_of([str(i) for i in seen.ids[undated]])
        use = "not used" if part.among == "crs" else "counted as beginning some day in the window"
        said.append(f"onset: {who} with CRS but without its day: {use}.")
    if part.among == "crs":
        asked &= known
    rows = np.flatnonzero(asked)
    end = np.maximum(seen.exit, np.where(known, seen.day, -np.inf))[rows]
    stop = np.where(known[rows], np.nan_to_num(seen.day[rows]), end)
    grid, x = found["time"].values.astype(float), in_time(found, part.terms)[rows]
    time, own = clipped(grid, x, seen.entry[rows], stop)
    whole, all_ = clipped(grid, x, seen.entry[rows], end)
    made = OnsetData(part, rows, time, own, known[rows], undated[rows], whole, all_)
    return made, said


def _made(
    found: xr.Dataset, part: Part, seen: Outcomes, window: tuple[float, float]
) -> tuple[PartData, list[str]]:
    match part:
        case Logistic():
            return _occurrence(found, part, seen, window)
        case ProportionalOdds():
            return _grade(found, part, seen)
    return _onset(found, part, seen)


# --- what the data tell -----------------------------------------------------------------------


def _informative(data: PartData) -> tuple[list[str], list[str]]:
    """Return what to say of a part's information: plain notes, and serious ones."""
    match data:
        case OccurrenceData():
            return _two_groups(data.part.name, data.y > 0, data.x, "CRS")
        case GradeData():
            return _grades(data)
    events = int((data.known | data.unknown).sum())
    n, p = data.rows.size, len(data.part.terms)
    told, alarming = _events("onset", events, p, f"onsets among {n} patients")
    if events == n and data.part.among == "all":
        told.append(
            "onset: everybody used had CRS; if those without lack the predictor, the hazard is too "
            "high for them: use among='crs'."
        )
    return told, alarming


def _events(part: str, events: int, p: int, what: str) -> tuple[list[str], list[str]]:
    said = f"{part}: {events} {what}"
    if events == 0:
        return [], [f"{said}: the data bound the risk from above only, and {_MANY}."]
    if events < _FEWEST * p:
        return [f"{said} for {p} coefficient{'s' * (p > 1)}: few, so {_MANY}."], []
    return [f"{said}."], []


def _two_groups(part: str, yes: Mask, x: Floats, what: str) -> tuple[list[str], list[str]]:
    n, k = yes.size, int(yes.sum())
    counted = f"{part}: {k} of {n} patients had {what}"
    if k in (0, n):
        return [], [f"{counted}, so no predictor can be learnt from them; {_MANY}."]
    if separated(x, [np.where(yes, 1, -1)]):
        return [f"{counted}."], [_separation(part)]
    p = x.shape[1]
    if min(k, n - k) < _FEWEST * p:
        return [f"{counted}: few for {p} coefficient{'s' * (p > 1)}, so {_MANY}."], []
    return [f"{counted}."], []


def _separation(part: str) -> str:
    return (
        f"{part}: the predictors separate the outcomes completely, so the likelihood alone has no "
        "maximum; the priors keep the coefficients finite and decide how large they are."
    )


def _grades(data: GradeData) -> tuple[list[str], list[str]]:
    part = data.part
    counts = np.bincount(data.category, minlength=len(part.levels))
    text = ", ".join(f"grade {k}: {c}" for k, c in zip(part.levels, counts, strict=True))
    counted = f"grade: {data.rows.size} patients ({text})"
    empty = [str(k) for k, c in zip(part.levels, counts, strict=True) if not c]
    if counts.max() == data.rows.size:
        return [], [f"{counted}: all have the same grade, so no predictor can be learnt; {_MANY}."]
    serious = []
    if empty:
        serious.append(
            f"{counted}: nobody had grade {' or '.join(empty)}, so its probability is bounded by "
            "the others and otherwise decided by the prior of the steps."
        )
    splits = [np.where(data.category >= j, 1, -1) for j in range(1, len(part.levels))]
    splits = [s for s in splits if abs(s.sum()) < s.size]
    if separated(data.x, splits):
        serious.append(_separation("grade"))
    p = len(part.terms)
    above = data.rows.size - int(counts.max())
    few = f": few for {p} coefficient{'s' * (p > 1)}, so {_MANY}" if above < _FEWEST * p else ""
    return ([] if empty else [f"{counted}{few}."]), serious


def separated(x: Floats, splits: Sequence[NDArray[np.int64]]) -> bool:
    """Return whether some line separates outcomes, so that the likelihood has no maximum.

    Parameters
    ----------
    x : ndarray, shape (n, p)
        Terms.
    splits : sequence of ndarray of int, shape (n,)
        +1 and −1 for each way of cutting the outcomes in two; slopes are common to all.

    Notes
    -----
    A direction (a, b) with s (a + x b) ≥ 0 for all patients, and > 0 for one, raises the likelihood
    for ever. Found by linear programming (Konis, thesis, University of Oxford, 2007).
    """
    n, p = x.shape
    if not p or not splits:
        return False
    spread = x.std(axis=0)
    scaled = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    blocks = []
    for j, s in enumerate(splits):
        own = np.zeros((n, len(splits)))
        own[:, j] = 1.0
        blocks.append(s[:, None] * np.hstack([own, scaled]))
    a = np.vstack(blocks)
    result = linprog(-a.sum(axis=0), A_ub=-a, b_ub=np.zeros(len(a)), bounds=(-1, 1))
    return bool(result.status == 0 and -result.fun > 1e-7 * n)
