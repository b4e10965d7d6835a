"""What lesion records must not be, each with its sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from cart_pkpd._endpoints.fields import Found
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
    made: pd.DataFrame,
    limits: Limits,
    patients: set[str] | None,
    deaths: Mapping[str, float],
    found: Found,
) -> None:
    """Note everything wrong with the records in `found`."""
    for who, own in made.groupby("id", sort=False):
        name = str(who)
        if patients is not None and name not in patients:
            row = int(own["row"].min())
            found.error("unknown_patient", f"patient {name} (row {row}) is not among the patients "
                        "of the trial; correct the name, or add the patient.", patient=name,
                        row=row, column="id", value=name)  # fmt: skip
        _days(name, own, deaths.get(name, np.nan), found)
        _repeats(name, own, found)
        if np.isnan(own["baseline_day"].iloc[0]):
            found.warn("no_baseline", f"patient {name} has no assessment on or before the infusion "
                       "(day 0), so that no response can be given.", patient=name)  # fmt: skip
            continue
        _lesions(name, own, found)
        _baseline(name, own, limits, found)


def _days(who: str, own: pd.DataFrame, death: float, found: Found) -> None:
    base = own["baseline_day"].iloc[0]
    for day, rows in own.groupby("day"):
        first = int(rows["row"].min())
        where: dict[str, Any] = {"patient": who, "row": first, "column": "day", "value": f"{day:g}"}
        if day < base:
            found.error("before_baseline", f"patient {who} has an assessment on day {day:g} (row "
                        f"{first}), before the baseline on day {base:g}; leave it out, or name it "
                        "the baseline.", **where)  # fmt: skip
        if day > death:
            found.error("after_death", f"patient {who} has an assessment on day {day:g} (row "
                        f"{first}), after the death on day {death:g}; correct one of both.",
                        **where)  # fmt: skip
        names = sorted({str(v) for v in rows["called"] if v})
        if len(names) > 1:
            found.error("two_on_one_day", f"patient {who} has two assessments on day {day:g}: "
                        f"{' and '.join(names)}; correct the day of one, or give both one name.",
                        **where)  # fmt: skip
    _parts(who, own, found)


def _parts(who: str, own: pd.DataFrame, found: Found) -> None:
    """Refuse one visit's name on two near days with different lesions: half an assessment each."""
    for visit, rows in own.groupby("called", sort=False):
        days = sorted(rows["day"].unique())
        for a, b in pairwise(days):
            seen = [set(rows.loc[rows["day"] == d, "lesion"]) for d in (a, b)]
            if b - a <= PARTS_OF_A_VISIT and not seen[0] & seen[1] and visit:
                found.error("visit_in_parts", f"the assessment {visit} of patient {who} is in two "
                            f"parts, on day {a:g} and day {b:g}; give all its lesions one day.",
                            patient=who, column="day", value=f"{b:g}")  # fmt: skip


def _repeats(who: str, own: pd.DataFrame, found: Found) -> None:
    again = own[own.duplicated(["day", "lesion"])]
    for r in again.itertuples():
        found.error("lesion_twice", f"lesion {r.lesion} of patient {who} stands twice on day "
                    f"{r.day:g} (row {r.row}); keep one.", patient=who, row=int(r.row),
                    column="lesion", value=str(r.lesion))  # fmt: skip


def _lesions(who: str, own: pd.DataFrame, found: Found) -> None:
    base = own["baseline_day"].iloc[0]
    for lesion, rows in own.groupby("lesion", sort=False):
        first = rows.iloc[0]
        where: dict[str, Any] = {"patient": who, "row": int(first["row"]), "column": "kind",
                                 "value": str(first["kind"])}  # fmt: skip
        called = f"lesion {lesion} of patient {who}"
        if rows["kind"].nunique() > 1:
            found.error("kind_changes", f"{called} is {' and '.join(rows['kind'].unique())}; give "
                        "it one kind, or a name of its own.", **where)  # fmt: skip
        elif first["kind"] == NEW and first["day"] <= base:
            found.error("new_at_baseline", f"{called} is called new at the baseline (row "
                        f"{first['row']}); call it target or non-target.", **where)  # fmt: skip
        elif first["kind"] != NEW and first["day"] > base:
            found.error("not_at_baseline", f"{called} is a {first['kind']} lesion that first "
                        f"appears on day {first['day']:g} (row {first['row']}), not at the "
                        "baseline; call it new, or add its baseline record.", **where)  # fmt: skip


def _baseline(who: str, own: pd.DataFrame, limits: Limits, found: Found) -> None:
    day = float(own["baseline_day"].iloc[0])
    if day < -limits.baseline_window:
        found.warn("early_baseline", f"the baseline of patient {who} is {-day:g} days before the "
                   f"infusion, more than {limits.baseline_window:g}.", patient=who, column="day",
                   value=f"{day:g}")  # fmt: skip
    targets = own[(own["day"] == day) & (own["kind"] == TARGET)]
    for r in targets.itertuples():
        _measurable(who, r, limits, found)
    if len(targets) > MOST_TARGETS:
        found.warn("many_targets", f"patient {who} has {len(targets)} target lesions, more than "
                   f"{MOST_TARGETS}; all are in the sum.", patient=who)  # fmt: skip
    organ = np.where(targets["node"], "lymph nodes", targets["site"].str.lower())
    for name, n in pd.Series(organ).value_counts().items():
        if n > MOST_PER_ORGAN and name:
            found.warn("many_per_organ", f"patient {who} has {n} target lesions in one organ "
                       f"({name}), more than {MOST_PER_ORGAN}; all are in the sum.",
                       patient=who, column="site", value=str(name))  # fmt: skip


def _measurable(who: str, r: Any, limits: Limits, found: Found) -> None:
    least = limits.measurable[int(r.node)]
    if r.diameter >= least - _TOLERANCE:
        return
    size = "no diameter" if np.isnan(r.diameter) else f"{r.diameter:g} mm"
    hint = " (is it in cm?)" if 1 <= r.diameter < 10 and r.diameter % 1 else ""
    what = "short axis of a node" if r.node else "longest diameter"
    found.error("not_measurable", f"target {r.lesion} of patient {who} has {size}{hint} at the "
                f"baseline (row {r.row}); a target needs a {what} of at least {least:g} mm: call "
                "it non-target, or pass measurable=.", patient=who, row=int(r.row),
                column="diameter", value=size)  # fmt: skip
