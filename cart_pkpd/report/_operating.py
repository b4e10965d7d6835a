"""The section on operating characteristics: what the designs do in simulated trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import xarray as xr

from cart_pkpd import dose, plots
from cart_pkpd._core import words
from cart_pkpd._dose.design import Design
from cart_pkpd._dose.operating import MEANING
from cart_pkpd._dose.trial_scenario import Scenario
from cart_pkpd.report._blocks import Attached, Block, Bullets, Details, Section, Text, picture
from cart_pkpd.report._tables import Kind, Table, from_frame, plain

# What is printed, with its heading; shares are printed in per cent.
_SHARES = {
    "correct": "Correct", "acceptable": "Acceptable", "overdose_selected": "Overdose selected",
    "none": "None selected", "stopped": "Stopped early", "overdosed_share": "Patients over-dosed",
}  # fmt: skip
_MEANS = {"size": "Patients", "total_dlts": "DLTs"}
_DAYS = {"length_median": "Length, median", "length_q90": "Length, 90 %"}


@dataclass(frozen=True, eq=False)
class OperatingFindings:
    """What the section on operating characteristics is written from.

    Attributes
    ----------
    result : xr.Dataset
        From ``dose.compare_designs``.
    designs : mapping of str to Design
    scenarios : mapping of str to Scenario
    """

    result: xr.Dataset
    designs: Mapping[str, Design]
    scenarios: Mapping[str, Scenario]

    @property
    def trials(self) -> int:
        """Simulated trials of each pair of design and scenario."""
        return int(self.result.attrs["trials"])

    def truths(self) -> pd.DataFrame:
        """Return the true DLT probabilities: one row per scenario and level."""
        parts = {name: s.table() for name, s in self.scenarios.items()}
        return pd.concat(parts, names=["scenario"]).reset_index()

    def frames(self) -> dict[str, pd.DataFrame]:
        """Return every table of numbers by name, with Monte-Carlo standard errors."""
        return {
            "overall": dose.operating_table(self.result, errors=True),
            "levels": dose.operating_table(self.result, "levels", errors=True),
            "scenarios": self.truths(),
        }

    def numbers(self) -> dict[str, Any]:
        """Return every number as plain data."""
        out: dict[str, Any] = {k: self.result.attrs[k] for k in ("trials", "seed", "pending")}
        out["designs"] = {name: d.description for name, d in self.designs.items()}
        for name, frame in self.frames().items():
            rows = frame.to_dict("records")
            out[name] = [{str(k): plain(v) for k, v in row.items()} for row in rows]
        out["meaning"] = MEANING
        return out

    def sentence(self) -> str:
        """Return the gist: how often each design is right, and how many it over-doses."""
        mean = self.result[["correct", "overdosed_share"]].mean("scenario")
        said = [
            f"{name} {_percent(mean['correct'].sel(design=name))} "
            f"({_percent(mean['overdosed_share'].sel(design=name))})"
            for name in self.designs
        ]
        many = words.count(len(self.scenarios), "scenario")
        return (
            f"{self.trials:,} simulated trials of each design in {many}; the correct level "
            f"selected, mean over scenarios (patients over-dosed): {', '.join(said)}."
        )

    def answers(self) -> list[tuple[str, str]]:
        """Return what the first page says."""
        return [("Simulated trials:", self.sentence())]


def _percent(share: Any) -> str:
    return words.percent(round(float(share), 2))


def section(found: OperatingFindings | None) -> Section | None:
    """Return the section, or None where no trials were simulated."""
    if found is None:
        return None
    target, margin = _target(found)
    blocks: list[Block] = [
        Text(found.sentence()),
        Text(
            f"Correct is the level closest to the target of {target:g}, or none where even the "
            f"lowest is an overdose; acceptable levels lie within {margin:g} of the target, "
            "overdoses above that."
        ),
        _overall(found),
        picture(
            "operating_selected", lambda: plots.operating_characteristics(found.result)[0],
            caption="Share of trials that select each level, with two Monte-Carlo standard errors; "
            "below each dose its true DLT probability; the correct choice is marked.",
            alt="Share of trials that select each level, by design and scenario",
        ),
        picture(
            "operating_patients",
            lambda: plots.operating_characteristics(found.result, measure="patient_share")[0],
            caption="Mean share of a trial's patients treated at each level.",
            alt="Share of patients at each level, by design and scenario",
        ),
        _truths(found),
        Attached(_table(dose.operating_table(found.result, "levels", errors=True), "levels",
                        "Operating characteristics by level")),
        Details("Designs and how the trials are run", (
            Bullets(tuple((f"{k}:", d.description) for k, d in found.designs.items())),
            Bullets(tuple((f"{k}:", _run(s)) for k, s in found.scenarios.items())))),
    ]  # fmt: skip
    return Section("operating", "Operating characteristics: simulated trials", tuple(blocks))


def _target(found: OperatingFindings) -> tuple[float, float]:
    first = next(iter(found.scenarios.values()))
    return first.target, first.margin


def _overall(found: OperatingFindings) -> Table:
    """Return a row per scenario and design; Monte-Carlo errors only in the files."""
    frame = dose.operating_table(found.result, errors=True)
    shares = [f"{k}{e}" for k in _SHARES for e in ("", "_se")]
    frame[shares] = 100 * frame[shares]
    worst = float(frame[[f"{k}_se" for k in _SHARES]].to_numpy().max())
    labels: dict[str, tuple[str, str, Kind]] = {k: (v, "%", "count") for k, v in _SHARES.items()}
    labels |= {k: (v, "", "number") for k, v in _MEANS.items()}
    labels |= {k: (v, "day", "count") for k, v in _DAYS.items()}
    note = (
        f"Monte-Carlo standard errors of the shares are at most {words.number(worst, 2)} per cent."
    )
    return _table(frame, "overall", "Operating characteristics", labels, (note,),
                  ("scenario", "design", *labels))  # fmt: skip


def _truths(found: OperatingFindings) -> Table:
    """Return the true DLT probabilities, a row per scenario and a column per dose."""
    truth = found.truths()
    unit = next(iter(found.scenarios.values())).planned.unit
    wide = truth.pivot_table(index="scenario", columns="dose", values="p", sort=False)
    wide.columns = pd.Index([words.dose(float(d), unit) for d in wide.columns])
    labels: dict[str, tuple[str, str, Kind]] = {c: (c, "", "fine") for c in wide.columns}
    return _table(wide, "truth", "True probability of a DLT", labels)


def _table(
    frame: pd.DataFrame,
    name: str,
    title: str,
    labels: Mapping[str, tuple[str, str, Kind]] | None = None,
    notes: tuple[str, ...] = (),
    shown: tuple[str, ...] = (),
) -> Table:
    return from_frame(frame, f"operating_{name}", title, labels=labels, notes=notes, shown=shown)


def _run(s: Scenario) -> str:
    """Return how the trials of a scenario are run, in words."""
    parts = [
        f"at most {words.count(s.max_patients, 'patient')}, {s.accrual:g} per month",
        f"cohorts of {s.cohort} where a design has none of its own",
        f"DLT window {s.window} days",
    ]
    more = {
        f"{s.stagger} days between infusions": s.stagger,
        f"{s.meeting} days to a decision": s.meeting,
        f"{words.percent(s.dropout)} leave before the end of the window": s.dropout,
        f"{words.percent(s.below)} have a product below range, {s.below_amount:g} of the dose":
            s.below,
        "patients not evaluable are not replaced": not s.replace,
        "patients wait for a place": s.waiting_list,
        "DLTs at a constant rate over the window": s.onset is None,
        "DLTs by an onset curve of their own": s.onset is not None,
    }  # fmt: skip
    return "; ".join([*parts, *(text for text, holds in more.items() if holds)]) + "."
