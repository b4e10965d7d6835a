"""Response at every assessment by RECIST 1.1, from lesion records."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from cart_pkpd._core.validate import yes_or_no
from cart_pkpd._endpoints.fields import Source
from cart_pkpd._endpoints.lesions import read_lesions
from cart_pkpd._endpoints.tables import CR, NE, NON, PD, PR, SD, TIMEPOINTS, by_patient, shape
from cart_pkpd._endpoints.words import (
    ABSENT,
    EQUIVOCAL,
    NEW,
    NON_TARGET,
    NOT_EVALUATED,
    TARGET,
    UNEQUIVOCAL,
)

TOLERANCE = 1e-9
NORMAL_NODE = 10.0  # mm, short axis below which a node is normal
PARTIAL, PROGRESSION, LEAST_INCREASE = 0.7, 1.2, 5.0  # of baseline, of nadir, mm


@dataclass(frozen=True)
class Lesion:
    """One lesion at one assessment."""

    name: str
    node: bool
    diameter: float  # mm, NaN where not measured
    status: str


Scan = Mapping[str, Lesion]


@dataclass
class History:
    """What the assessments so far have shown of one patient."""

    targets: dict[str, bool]  # name → node
    others: dict[str, bool]
    baseline: float
    nadir: float
    nadir_day: float
    complete_response: bool = False
    nodes_return: bool = False
    doubts: dict[tuple[str, float], float] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """A response of one part of the disease, and why."""

    response: str
    reason: str = ""


def recist(lesions: Source, *, date_back: bool = True, nodes_return: bool = False) -> pd.DataFrame:
    """Return the response at every assessment by RECIST 1.1.

    Parameters
    ----------
    lesions : path or DataFrame
        Lesion records, as `read_lesions` takes or returns them; they are checked in any case.
    date_back : bool
        Whether an equivocal new lesion, or equivocal progression of a non-target lesion, that a
        later assessment confirms is progression on the day on which it was first seen.
    nodes_return : bool
        Whether a target node of 10 mm or more again after an overall CR is PD, as a clarification
        of the RECIST working group has it [2]_. By default the sum has to be 20 % and 5 mm above
        the nadir, as a node that varies between 9 and 11 mm may not be disease.

    Returns
    -------
    DataFrame
        As ``endpoints.columns("timepoints")`` says: one row per patient and assessment, the
        baseline among them.

    Raises
    ------
    DataError
        See `read_lesions`.

    Notes
    -----
    Sum: longest diameters of the targets, short axes of nodes; 5 mm for a target too small to
    measure, 0 for an absent one.

    - Target CR: every target absent, nodes below 10 mm. It goes before PD, so that a
      normal node that varies is no progression.
    - PD: the sum is at least 1.2 times the nadir and at least 5 mm above it. The nadir is the
      smallest sum of the earlier assessments with all targets, the baseline among them.
    - PR: the sum is at most 0.7 times that of the baseline.
    - A target that was not evaluated: NE, unless the others prove PD without it.
    - Non-targets: PD if one progressed unequivocally, NE unless all were evaluated, CR if all
      are gone, else NON-CR/NON-PD.
    - After an overall CR, a target or non-target that is seen again is PD at any size. For
      target nodes see `nodes_return`; a non-target node needs unequivocal progression [2]_.
    - PR is judged from the baseline at every assessment; a PR is not carried on to a later one
      that is above 0.7 times the baseline.
    - Overall: tables 1 and 2 of the paper [1]_.

    Thresholds include equality, with a tolerance of 1e-9. An equivocal new lesion is confirmed by
    an unequivocal record of it later, with no absence between; equivocal progression of a
    non-target lesion by unequivocal progression of it at the next assessment.

    References
    ----------
    .. [1] Eisenhauer et al. (2009), Eur J Cancer 45:228, :doi:`10.1016/j.ejca.2008.10.026`.
    .. [2] RECIST working group, questions and clarifications of RECIST 1.1: abnormal lymph node,
       https://recist.eortc.org.
    """
    yes_or_no(date_back, "date_back")
    yes_or_no(nodes_return, "nodes_return")
    own = by_patient(read_lesions(lesions))
    rows = [
        {"id": who, **row}
        for who, found in own.items()
        for row in _patient(found, date_back, nodes_return)
    ]
    return shape(rows, TIMEPOINTS)


def _patient(own: list[Any], date_back: bool, nodes_return: bool) -> list[dict[str, Any]]:
    """Return the responses of one patient, from the records in order of day."""
    scans = _scans(own)
    visits = {r.day: r.visit for r in own}
    base = next((day for day, visit in visits.items() if visit == "baseline"), math.nan)
    if math.isnan(base):
        why = "there is no baseline assessment"
        return [{"visit": visits[day], "day": day, "overall": NE, "reason": why} for day in visits]
    past = _begin(scans[base], base)
    past.doubts = _proven(scans) if date_back else {}
    past.nodes_return = nodes_return
    rows = []
    for day, by_kind in scans.items():
        row = _baseline_row(past) if day == base else _row(past, by_kind, day)
        rows.append({"visit": visits[day], "day": day, **row})
    return rows


def _scans(own: list[Any]) -> dict[float, dict[str, dict[str, Lesion]]]:
    """Return day → kind → lesion → its record, in order of day."""
    out: dict[float, dict[str, dict[str, Lesion]]] = {}
    for r in own:
        by_kind = out.setdefault(r.day, {TARGET: {}, NON_TARGET: {}, NEW: {}})
        by_kind[r.kind][r.lesion] = Lesion(r.lesion, bool(r.node), r.diameter, r.status)
    return out


def _begin(first: Mapping[str, Scan], day: float) -> History:
    targets = {name: x.node for name, x in first[TARGET].items()}
    others = {name: x.node for name, x in first[NON_TARGET].items()}
    total = sum(x.diameter for x in first[TARGET].values()) if targets else math.nan
    return History(targets, others, total, total, day)


def _proven(scans: Mapping[float, Mapping[str, Scan]]) -> dict[tuple[str, float], float]:
    """Return (lesion, day of doubt) → day on which the doubt was settled as progression."""
    days = list(scans)
    out: dict[tuple[str, float], float] = {}
    for i, day in enumerate(days):
        for kind, most in ((NON_TARGET, i + 2), (NEW, len(days))):
            later = days[i + 1 : most]
            for name, lesion in scans[day][kind].items():
                states = {d: scans[d][kind][name].status for d in later if name in scans[d][kind]}
                proof = _proof(states, later)
                if lesion.status == EQUIVOCAL and not math.isnan(proof):
                    out[(name, day)] = proof
    return out


def _proof(states: Mapping[float, str], later: list[float]) -> float:
    for day in later:
        if states.get(day) == UNEQUIVOCAL:
            return day
        if states.get(day) == ABSENT:
            break
    return math.nan


def _baseline_row(past: History) -> dict[str, Any]:
    size = f"sum of the targets {past.baseline:g} mm" if past.targets else "no target lesions"
    return {
        "baseline": True, "sum": past.baseline, "complete": True, "nadir": math.nan,
        "pct_baseline": 0.0 if past.targets else math.nan, "reason": f"baseline: {size}",
    }  # fmt: skip


def _row(past: History, scan: Mapping[str, Scan], day: float) -> dict[str, Any]:
    """Return the responses of one assessment, and take it into the history."""
    sizes = {name: _size(scan[TARGET].get(name)) for name in past.targets}
    seen = [size for size in sizes.values() if not math.isnan(size)]
    total = sum(seen) if seen else math.nan
    complete = len(seen) == len(sizes)
    target = _target(past, sizes, total, complete)
    other = _non_target(past, scan[NON_TARGET], day)
    new = _new(past, scan[NEW], day)
    overall = _overall(target, other, new, bool(past.targets or past.others))
    row = {
        "sum": total, "complete": complete, "nadir": past.nadir,
        "pct_baseline": _percent(total, past.baseline) if complete else math.nan,
        "pct_nadir": _percent(total, past.nadir) if complete else math.nan,
        "mm_nadir": total - past.nadir if complete else math.nan,
        "target": target.response, "non_target": other.response, "new": bool(new.response),
        "overall": overall.response, "reason": overall.reason,
    }  # fmt: skip
    past.complete_response |= overall.response == CR
    if complete and total < past.nadir:
        past.nadir, past.nadir_day = total, day
    return row


def _size(lesion: Lesion | None) -> float:
    return math.nan if lesion is None else lesion.diameter


def _percent(value: float, reference: float) -> float:
    """Return the change in per cent; NaN from zero, as nothing is a multiple of it."""
    return 100.0 * (value / reference - 1.0) if reference > 0 else math.nan


def grown(total: float, nadir: float) -> bool:
    """Return whether a sum is 20 % and 5 mm above the nadir, equality included."""
    return total >= PROGRESSION * nadir - TOLERANCE and total >= nadir + LEAST_INCREASE - TOLERANCE


def _target(past: History, sizes: Mapping[str, float], total: float, complete: bool) -> Finding:
    if not sizes:
        return Finding("")
    back = [n for n, size in sizes.items() if _returned(size, past.targets[n], past.nodes_return)]
    if past.complete_response and back:
        return Finding(PD, f"{_listed('target', back)} seen again after CR")
    gone = all(
        size < NORMAL_NODE - TOLERANCE if past.targets[name] else size == 0
        for name, size in sizes.items()
    )
    if complete and gone:
        return Finding(CR, "all targets are absent" + (", nodes below 10 mm" if total else ""))
    change = _change(past, total)
    if grown(total, past.nadir):
        without = "" if complete else " even without the targets not evaluated"
        return Finding(PD, f"{change}, at least 20 % and 5 mm{without}")
    if not complete:
        lacking = [name for name, size in sizes.items() if math.isnan(size)]
        return Finding(NE, f"{_listed('target', lacking)} not evaluated, and no PD without")
    fall = f"sum {total:g} mm is {_percent(total, past.baseline):+.1f} % from the baseline"
    if total <= PARTIAL * past.baseline + TOLERANCE:
        return Finding(PR, f"{fall}, a decrease of at least 30 %")
    since = _percent(total, past.nadir)
    near = "" if math.isnan(since) else f" and {since:+.1f} %"
    return Finding(
        SD, f"{fall}{near} ({total - past.nadir:+g} mm) from the nadir: neither PR nor PD"
    )


def _returned(size: float, node: bool, nodes_return: bool) -> bool:
    """Return whether a target that was gone counts as seen again."""
    if node:
        return nodes_return and size >= NORMAL_NODE - TOLERANCE
    return size > 0


def _change(past: History, total: float) -> str:
    share = _percent(total, past.nadir)
    by = "" if math.isnan(share) else f"{share:+.1f} % and "
    return (
        f"sum {total:g} mm is {by}{total - past.nadir:+g} mm from the nadir of "
        f"{past.nadir:g} mm on day {past.nadir_day:g}"
    )


def _listed(kind: str, names: list[str]) -> str:
    return f"{kind}{'' if len(names) == 1 else 's'} {', '.join(names)}"


def _gone(lesion: Lesion) -> bool:
    small = lesion.node and lesion.diameter < NORMAL_NODE - TOLERANCE
    return lesion.status == ABSENT or (small and lesion.status != NOT_EVALUATED)


def _non_target(past: History, scan: Scan, day: float) -> Finding:
    if not past.others:
        return Finding("")
    found = {name: scan[name] for name in past.others if name in scan}
    known = {n: x for n, x in found.items() if x.status != NOT_EVALUATED}
    worse = [n for n, x in known.items() if x.status == UNEQUIVOCAL]
    if worse:
        return Finding(PD, f"unequivocal progression of {_listed('non-target', worse)}")
    doubt = [n for n in known if (n, day) in past.doubts]
    if doubt:
        then = past.doubts[(doubt[0], day)]
        return Finding(PD, f"{_listed('non-target', doubt)} equivocal, confirmed on day {then:g}")
    left = [n for n, x in known.items() if not _gone(x)]
    back = [n for n in left if not past.others[n]]
    if past.complete_response and back:
        return Finding(PD, f"{_listed('non-target', back)} seen again after CR")
    lacking = [n for n in past.others if n not in known]
    if lacking:
        return Finding(NE, f"{_listed('non-target', lacking)} not evaluated")
    return Finding(CR, "all non-targets are gone") if not left else Finding(
        NON, f"{_listed('non-target', left)} still there")  # fmt: skip


def _new(past: History, scan: Scan, day: float) -> Finding:
    sure = [n for n, x in scan.items() if x.status == UNEQUIVOCAL]
    if sure:
        return Finding(PD, f"new lesion {', '.join(sure)}")
    doubt = [n for n in scan if (n, day) in past.doubts]
    if doubt:
        then = past.doubts[(doubt[0], day)]
        return Finding(PD, f"new lesion {', '.join(doubt)}, equivocal, confirmed on day {then:g}")
    return Finding("")


def _overall(target: Finding, other: Finding, new: Finding, disease: bool) -> Finding:
    """Return the overall response: tables 1 and 2 of Eisenhauer (2009)."""
    worse = [part.reason for part in (target, other, new) if part.response == PD]
    if worse:
        return Finding(PD, "; ".join(worse))
    if not disease:
        return Finding(NE, "the baseline has no lesion")
    both = "; ".join(part.reason for part in (target, other) if part.reason)
    if not target.response:
        return Finding(other.response, both)
    if target.response == CR and other.response in (NON, NE):
        return Finding(PR, f"{both}: targets CR, non-targets not")
    if target.response == CR:
        return Finding(CR, both)
    return target
