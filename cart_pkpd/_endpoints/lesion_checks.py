"""What lesion records must not be, each with its sentence."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from cart_pkpd._endpoints.fields import Found
from cart_pkpd._endpoints.records import Record, groups, scans
from cart_pkpd._endpoints.words import NEW, TARGET

_TOLERANCE = 1e-9
MOST_TARGETS, MOST_PER_ORGAN = 5, 2
PARTS_OF_A_VISIT = 14.0  # days within which two dates of one visit's name are one assessment


@dataclass(frozen=True)
class Limits:
    """Thresholds of the checks.

    Attributes
    ----------
    measurable : (float, float)
        Least longest diameter, and short axis of a node, of a target at baseline. [mm]
    baseline_window : float
        Longest time from baseline to infusion. [day]
    """

    measurable: tuple[float, float]
    baseline_window: float


def check(
    patients: Mapping[str, list[Record]],
    baselines: Mapping[str, float],
    limits: Limits,
    known: set[str] | None,
    deaths: Mapping[str, float],
    found: Found,
) -> None:
    """Note everything wrong with the records in `found`."""
    for who, own in patients.items():
        base = baselines[who]
        if known is not None and who not in known:
            row = min(r.row for r in own)
            found.error("unknown_patient", f"patient {who} (row {row}) is not among the patients "
                        "of the trial; correct the name, or add the patient.", patient=who,
                        row=row, column="id", value=who)  # fmt: skip
        _days(who, own, base, deaths.get(who, math.nan), found)
        _parts(who, own, found)
        _repeats(who, own, found)
        if math.isnan(base):
            found.warn("no_baseline", f"patient {who} has no assessment on or before the infusion "
                       "(day 0), so that no response can be given.", patient=who)  # fmt: skip
            continue
        _lesions(who, own, base, found)
        _baseline(who, [r for r in own if r.day == base], base, limits, found)


def _days(who: str, own: list[Record], base: float, death: float, found: Found) -> None:
    for day, rows in scans(own).items():
        row = min(r.row for r in rows)
        where: dict[str, Any] = {"patient": who, "row": row, "column": "day", "value": f"{day:g}"}
        if day < base:
            found.error("before_baseline", f"patient {who} has an assessment on day {day:g} (row "
                        f"{row}), before the baseline on day {base:g}; leave it out, or name it "
                        "the baseline.", **where)  # fmt: skip
        if day > death:
            found.error("after_death", f"patient {who} has an assessment on day {day:g} (row "
                        f"{row}), after the death on day {death:g}; correct one of both.",
                        **where)  # fmt: skip
        names = sorted({r.called for r in rows if r.called})
        if len(names) > 1:
            found.error("two_on_one_day", f"patient {who} has two assessments on day {day:g}: "
                        f"{' and '.join(names)}; correct the day of one, or give both one name.",
                        **where)  # fmt: skip


def _parts(who: str, own: list[Record], found: Found) -> None:
    """Refuse one visit's name on two near days with different lesions: half an assessment each."""
    for visit, rows in groups((r for r in own if r.called), "called").items():
        for (a, one), (b, other) in pairwise(scans(rows).items()):
            shared = {r.lesion for r in one} & {r.lesion for r in other}
            if b - a <= PARTS_OF_A_VISIT and not shared:
                found.error("visit_in_parts", f"the assessment {visit} of patient {who} is in two "
                            f"parts, on day {a:g} and day {b:g}; give all its lesions one day.",
                            patient=who, column="day", value=f"{b:g}")  # fmt: skip


def _repeats(who: str, own: list[Record], found: Found) -> None:
    seen: set[tuple[float, str]] = set()
    for r in own:
        if (r.day, r.lesion) in seen:
            found.error("lesion_twice", f"lesion {r.lesion} of patient {who} stands twice on day "
                        f"{r.day:g} (row {r.row}); keep one.", patient=who, row=r.row,
                        column="lesion", value=r.lesion)  # fmt: skip
        seen.add((r.day, r.lesion))


def _lesions(who: str, own: list[Record], base: float, found: Found) -> None:
    for lesion, rows in groups(own, "lesion").items():
        first = rows[0]
        where: dict[str, Any] = {"patient": who, "row": first.row, "column": "kind",
                                 "value": first.kind}  # fmt: skip
        called = f"lesion {lesion} of patient {who}"
        kinds = list(groups(rows, "kind"))
        if len(kinds) > 1:
            found.error("kind_changes", f"{called} is {' and '.join(str(k) for k in kinds)}; give "
                        "it one kind, or a name of its own.", **where)  # fmt: skip
        elif first.kind == NEW and first.day <= base:
            found.error("new_at_baseline", f"{called} is called new at the baseline (row "
                        f"{first.row}); call it target or non-target.", **where)  # fmt: skip
        elif first.kind != NEW and first.day > base:
            found.error("not_at_baseline", f"{called} is a {first.kind} lesion that first appears "
                        f"on day {first.day:g} (row {first.row}), not at the baseline; call it "
                        "new, or add its baseline record.", **where)  # fmt: skip


def _baseline(who: str, first: list[Record], day: float, limits: Limits, found: Found) -> None:
    if day < -limits.baseline_window:
        found.warn("early_baseline", f"the baseline of patient {who} is {-day:g} days before the "
                   f"infusion, more than {limits.baseline_window:g}.", patient=who, column="day",
                   value=f"{day:g}")  # fmt: skip
    targets = [r for r in first if r.kind == TARGET]
    for r in targets:
        _measurable(r, limits, found)
    if len(targets) > MOST_TARGETS:
        found.warn("many_targets", f"patient {who} has {len(targets)} target lesions, more than "
                   f"{MOST_TARGETS}; all are in the sum.", patient=who)  # fmt: skip
    organs = Counter("lymph nodes" if r.node else r.site.lower() for r in targets)
    for organ, n in organs.items():
        if n > MOST_PER_ORGAN and organ:
            found.warn("many_per_organ", f"patient {who} has {n} target lesions in one organ "
                       f"({organ}), more than {MOST_PER_ORGAN}; all are in the sum.",
                       patient=who, column="site", value=organ)  # fmt: skip


def _measurable(r: Record, limits: Limits, found: Found) -> None:
    least = limits.measurable[int(r.node)]
    if r.diameter >= least - _TOLERANCE:
        return
    size = "no diameter" if math.isnan(r.diameter) else f"{r.diameter:g} mm"
    hint = " (is it in cm?)" if 1 <= r.diameter < 10 and r.diameter % 1 else ""
    what = "short axis of a node" if r.node else "longest diameter"
    found.error("not_measurable", f"target {r.lesion} of patient {r.id} has {size}{hint} at the "
                f"baseline (row {r.row}); a target needs a {what} of at least {least:g} mm: call "
                "it non-target, or pass measurable=.", patient=r.id, row=r.row,
                column="diameter", value=size)  # fmt: skip
