"""The section on dose: the answer first, then cohorts, designs, exposure, activity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cart_pkpd import plots
from cart_pkpd._core import words
from cart_pkpd._dose.blrm import BLRM
from cart_pkpd._dose.chained import CAUTION, ChainResult
from cart_pkpd._dose.decision import Decision
from cart_pkpd._dose.design import Design
from cart_pkpd._dose.exposure import DoseExposure
from cart_pkpd._dose.rules import EWOC
from cart_pkpd.plots import _text
from cart_pkpd.report._blocks import Attached, Block, Bullets, Details, Row, Section, Text, picture
from cart_pkpd.report._files import slug
from cart_pkpd.report._findings import DoseFindings, barred_by, benefit
from cart_pkpd.report._tables import Kind, Table, from_frame

_WORDS = {
    "n": "n", "dlts": "DLTs", "mtd": "MTD", "sd": "SD", "mcse": "MCSE", "rhat": "R-hat",
    "ess_bulk": "ESS", "under": "P(under)", "target": "P(target)", "over": "P(over)",
    "prior_over": "Prior P(over)", "over_mcse": "MCSE of P(over)", "p_enough": "P(enough)",
    "p_positive": "P(> 0)", "p_above_lower": "P(> next lower dose)", "n_below": "below a bound",
    "n_above": "above a bound", "dlt": "DLT", "crs2": "CRS ≥ 2", "crs3": "CRS ≥ 3",
    "icans1": "ICANS ≥ 1", "icans3": "ICANS ≥ 3", "q2.5": "2.5 %", "q25": "25 %", "q50": "50 %",
    "q75": "75 %", "q97.5": "97.5 %", "id": "Patient", "seen": "DLTs of evaluable",
    "pfs": "PFS, median", "interval": "95 % interval", "allowed": "Permitted",
    "geometric_mean": "Geometric mean", "blocked_by": "Not permitted by",
}  # fmt: skip
_EVERY_DOSE = (
    "dose", "seen", "isotonic", "skeleton", "plug_in", "mean", "interval", "under", "target",
    "over", "prior_over", "verdict", "allowed", "next", "mtd",
)  # fmt: skip
_FEWEST = 12  # patients up to which a decision table is drawn at least


def section(found: DoseFindings | None) -> Section | None:
    """Return the section on dose, or None where no dose was asked for."""
    if found is None:
        return None
    parts = [_cohorts(found)]
    parts += [_design(found, name) for name in found.designs]
    if found.below is not None:
        parts.append(_below(found.below))
    parts += [p for p in (_exposure(found), _toxicity(found), _activity(found)) if p is not None]
    return Section("dose", "Dose", tuple(_opening(found)), tuple(parts))


def _opening(found: DoseFindings) -> list[Block]:
    """Return what each design says; the answer and its flags stand on the first page."""
    said = [("", found.agreement())] if len(found.decisions) > 1 else []
    return [Bullets((*said, ("", found.evidence())))]


def _labels(frame: pd.DataFrame, unit: str) -> dict[str, tuple[str, str, Kind]]:
    """Return how columns of doses, counts and probabilities are printed."""
    known: dict[str, tuple[str, str, Kind]] = {}
    for name in [*map(str, frame.columns), *(str(n) for n in frame.index.names if n)]:
        text = _WORDS.get(name, _text.sentence(name))
        if name in ("dose", "next_dose", "amount", "planned"):
            known[name] = (text, unit, "dose")
        elif name in ("n", "dlts", "treated", "evaluable", "pending", "level", "observed",
                      "infused", "grade", "crs_grade") or name.startswith("n_"):  # fmt: skip
            known[name] = (text, "", "count")
        elif name in frame and pd.api.types.is_float_dtype(frame[name]):
            known[name] = (text, "", "fine" if frame[name].abs().max() <= 1 else "number")
        elif name in _WORDS:
            known[name] = (text, "", "text")
    return known


def _table(
    frame: pd.DataFrame,
    name: str,
    title: str,
    unit: str,
    notes: tuple[str, ...] = (),
    shown: Sequence[Any] = (),
    labels: Mapping[str, tuple[str, str, Kind]] | None = None,
) -> Table:
    """Return a table with its doses, counts and probabilities printed as such.

    `shown` are the columns that are printed, with the index; `labels` replaces some of the usual
    headings.
    """
    labels = _labels(frame, unit) | dict(labels or {})
    printed = [str(n) for n in frame.index.names if n] + [str(c) for c in shown] if shown else []
    return from_frame(frame, f"dose_{name}", title, labels=labels, notes=notes, shown=printed)


def _cohorts(found: DoseFindings) -> Section:
    d, unit = found.data, found.data.levels.unit
    blocks: list[Block] = [
        _table(d.table(), "cohorts", "Patients by dose level", unit, tuple(d.notes)),
    ]
    left = d.exclusions()
    if len(left):
        blocks.append(_table(left, "exclusions", "Patients of whom something does not count", unit))
    blocks.append(Attached(_table(d.frame(), "patients", "Patients as they count", unit)))
    return Section("dose-cohorts", "Cohorts", tuple(blocks))


def _design(found: DoseFindings, name: str) -> Section:
    """Return one design: what it said, its pictures, scenarios and prior."""
    design, decision = found.designs[name], found.decisions[name]
    unit, key = found.data.levels.unit, slug(name)
    blocks: list[Block] = [Text(decision.sentence), _every_dose(name, design, decision)]
    if isinstance(design, BLRM):
        blocks += _curve(found, name, design, decision)
    elif hasattr(design, "decision_table"):
        most = max(_FEWEST, int(found.data.n.max()))
        blocks.append(
            picture(
                f"dose_{key}_table",
                lambda: plots.boin_table(design.decision_table(most), seen=decision.table),
                caption=f"{name}: what follows from each number of DLTs; doses given are framed.",
                alt=f"Decision table of {name}: one column per number of patients, one row per "
                "number of DLTs.",
            )
        )
    if name in found.scenarios:
        blocks += _scenarios(name, found.scenarios[name], unit)
    elif name in found.without_scenarios:
        blocks.append(Text(found.without_scenarios[name]))
    prior = getattr(design, "prior_table", None)
    if prior is not None:
        blocks.append(
            Details(
                "Design, rules and prior before the first patient",
                (Text(design.description),
                 _table(prior(), f"{key}_prior", f"{name}: what the prior says", unit)),
            )
        )  # fmt: skip
    else:
        blocks.append(Details("Design and rules", (Text(design.description),)))
    return Section(f"dose-{key}", name, tuple(blocks))


def _every_dose(name: str, design: Design, decision: Decision) -> Table:
    """Return what a design says of every dose, in one piece; the files have every column."""
    table = decision.table
    frame = table.assign(
        seen=[
            f"{y} of {n}" + (f", {c} pending" if c else "")
            for y, n, c in zip(table["dlts"], table["evaluable"], table["pending"], strict=True)
        ],
        allowed=[_allowed(row) for _, row in table.iterrows()],
    )
    if {"q2.5", "q97.5"} <= set(table):
        ends = zip(table["q2.5"], table["q97.5"], strict=True)
        frame["interval"] = [f"{_text.chance(low)}–{_text.chance(high)}" for low, high in ends]
    prior = design.prior_table() if hasattr(design, "prior_table") else pd.DataFrame()
    notes = _meanings(design, table)
    if "over" in prior and "over" in table:
        # One row stands for every dose where the prior is the same at each.
        frame["prior_over"] = np.broadcast_to(prior["over"].to_numpy(dtype=float), len(table))
        notes.append("P(over) before the first patient is what the prior alone says.")
    order = [c for c in _EVERY_DOSE if c in frame]
    frame = frame[[*order, *(c for c in frame if c not in order)]]
    title = f"{name}: every dose"
    key = f"{slug(name)}_decision"
    return _table(frame, key, title, decision.unit, tuple(notes), shown=order, labels={
        "prior_over": ("P(over) before the first patient", "", "fine")})  # fmt: skip


def _meanings(design: Design, table: pd.DataFrame) -> list[str]:
    """Return what the columns of a design's table mean."""
    said = []
    if isinstance(design, BLRM):
        low, high = design.intervals
        said.append(
            f"P(under), P(target), P(over): probability that the DLT rate is below {low:g}, from "
            f"{low:g} to below {high:g}, {high:g} or more; mean: expected DLT rate."
        )
    elif "over" in table:
        target = float(getattr(design, "target", float("nan")))
        said.append(f"P(over): probability that the DLT rate is above the target {target:g}.")
    if "verdict" in table:
        said.append(
            "Isotonic: DLT rate that does not fall with dose. Verdict on the dose if it were the "
            "current one: E escalate, S stay, D de-escalate, U eliminate."
        )
    return said


def _allowed(row: pd.Series) -> str:
    """Return whether a dose is permitted, and by what it is not."""
    if row.get("eliminated", False):
        return "no: eliminated"
    blocked = str(row["blocked_by"])
    if row["eligible"]:
        return "yes"
    return f"no, by the rule {blocked}" if blocked.startswith("P(") else f"no: {blocked}"


def _scenarios(name: str, table: pd.DataFrame, unit: str) -> list[Block]:
    """Return what a further cohort would change: one sentence where nothing does."""
    given = words.dose(float(table["dose"].iloc[0]), unit)
    cohort, at_end = table.attrs["cohort"], table.attrs.get("ask") == "mtd"
    if at_end:
        title = f"{name}: the MTD after a further cohort of {cohort} at {given}"
        last: tuple[str, str, Kind] = ("MTD then", unit, "dose")
    else:
        title = f"{name}: the decision after the next cohort of {cohort} at {given}"
        last = ("Next dose", unit, "dose")
    source = str(table.attrs.get("source", ""))
    notes = (f"Size of the cohort: {source}.",) if source else ()
    key = f"{slug(name)}_scenarios"
    shown = _table(table, key, title, unit, notes, labels={"next_dose": last},
                   shown=[c for c in table if c != "dose"])  # fmt: skip
    if table["next_dose"].nunique(dropna=False) == 1 and table["action"].nunique() == 1:
        return [Text(_whatever(name, table, given, unit)), Attached(shown)]
    return [
        picture(
            f"dose_{key}", lambda: plots.dose_scenarios(table),
            caption=f"{title}, by its number of DLTs. Square: dose of the cohort; circle: stays; "
            "arrow: where it leads; cross: no dose.",
            alt=f"{title}, one row per number of DLTs.",
        ),
        Details(f"{title}: the rule for each number of DLTs", (shown,)),
    ]  # fmt: skip


def _whatever(name: str, table: pd.DataFrame, given: str, unit: str) -> str:
    """Return that every outcome of a further cohort leads to the same, in a sentence."""
    dose, most = table["next_dose"].iloc[0], int(table.index.max())
    then = "no dose" if pd.isna(dose) else words.dose(float(dose), unit)
    if table.attrs.get("ask") == "mtd":
        when, said = "a further", f"the MTD by {name} is {then}"
    else:
        when, said = "the next", f"{name} says {table['action'].iloc[0]}: {then}"
    return (
        f"After {when} cohort of {table.attrs['cohort']} at {given} {said}, whatever its number "
        f"of DLTs (0 to {most})."
    )


def _curve(found: DoseFindings, name: str, design: BLRM, decision: Decision) -> list[Block]:
    """Return the curve beside its prior, and the bars of the intervals with the EWOC bound."""
    from cart_pkpd import dose

    key, empty = slug(name), dose.counts({}, levels=found.data.levels, window=found.data.window)
    bound = next((r.bound for r in design.all_rules if isinstance(r, EWOC)), None)
    low, high = design.intervals
    return [Row((
        picture(
            f"dose_{key}_curve",
            lambda: plots.dose_toxicity(
                design.curve(found.data), decision.table, prior=design.curve(empty)
            ),
            caption=f"{name}: probability of a DLT by dose, with the prior behind.",
            alt="Curve of the probability of a DLT against dose with its interval, over that of "
            "the prior.",
        ),
        picture(
            f"dose_{key}_intervals",
            lambda: plots.dose_intervals(decision.table, bound=bound, prior=design.prior_table()),
            caption=f"{name}: probability that the DLT rate is below {low:g}, in the target "
            f"interval, and {high:g} or more; doses not eligible are pale.",
            alt="One column per dose: probabilities of too low, target and too high DLT rates.",
        ),
    ))]  # fmt: skip


def _below(decision: Decision) -> Section:
    blocks: list[Block] = [Text(decision.sentence)]
    measure = decision.table.attrs.get("units", {}).get("benefit", "")
    heading: tuple[str, str, Kind] = (_text.sentence(benefit(decision)), measure, "number")
    labels = {"benefit": heading}
    title = "Doses up to the MTD"
    said = [f"no: {why}" if why else "yes" for why in barred_by(decision)]
    frame = decision.table.assign(eligible=said)
    frame.attrs = decision.table.attrs
    blocks.append(_table(frame, "below_mtd", title, decision.unit, labels=labels))
    return Section("dose-below", "A dose below the MTD", tuple(blocks))


def _exposure(found: DoseFindings) -> Section | None:
    if not found.exposures:
        return None
    blocks: list[Block] = []
    for one in found.exposures.values():
        blocks.append(Text(one.sentence))
        blocks += [Text(note, "reason") for note in one.notes]
    blocks.append(Row(tuple(_power(one, metric) for metric, one in found.exposures.items())))
    for metric, one in found.exposures.items():
        name, unit = one.measured.label, one.measured.dose_unit
        blocks.append(
            Details(
                f"{name}: by dose, and parameters of the power model",
                (_exposures(one, metric),
                 _labelled(one.table(), f"power_{metric}", f"Power model of {name}", unit),
                 Attached(_table(one.measured.table(), f"exposures_{metric}",
                                 f"{name} of every patient", unit))),
            )
        )  # fmt: skip
    return Section("dose-exposure", "Exposure by dose: the power model", tuple(blocks))


def _power(one: DoseExposure, metric: str) -> Block:
    name = one.measured.label
    return picture(
        f"dose_exposure_{metric}", lambda: plots.exposure_power(one),
        caption=f"{name} of every patient by administered dose, with the power model.",
        alt=f"{name} against administered dose on log axes, one dot per patient, with the line of "
        "the power model.",
    )  # fmt: skip


def _exposures(one: DoseExposure, metric: str) -> Table:
    """Return exposure by dose: what was seen and what the model says."""
    frame, name, unit = one.per_dose(), one.measured.label, one.measured.unit
    share = words.percent(one.prob)
    heads = {
        "geometric_mean": "Geometric mean", "median": "Typical", "lower": "Typical, lower",
        "upper": "Typical, upper", "predicted_lower": "New patient, lower",
        "predicted_upper": "New patient, upper",
    }  # fmt: skip
    number: Kind = "number"
    note = (
        f"Geometric mean: of the patients measured. Typical: median patient by the power model, "
        f"with its {share} interval. New patient: {share} of further patients lie between."
    )
    return _table(
        frame, f"exposure_{metric}", _text.with_unit(f"{name} by dose", unit),
        one.measured.dose_unit, (note,), labels={k: (v, "", number) for k, v in heads.items()},
    )  # fmt: skip


def _labelled(
    frame: pd.DataFrame, name: str, title: str, unit: str, notes: tuple[str, ...] = ()
) -> Table:
    """Return a table of quantities under their labels, their names only in the files."""
    named = frame.reset_index()
    rest = [c for c in named if c not in ("quantity", "label")]
    shown = ["label", *rest]
    named = named[["label", "quantity", *rest]]
    title = f"{title}; {words.percent(frame.attrs['prob'])} intervals"
    kinds: dict[str, tuple[str, str, Kind]] = {"label": ("Quantity", "", "text")}
    return _table(named, name, title, unit, notes, shown=shown, labels=kinds)


def _toxicity(found: DoseFindings) -> Section | None:
    """Return DLTs by dose without a curve, and the chain."""
    blocks: list[Block] = []
    unit, chain = found.data.levels.unit, found.chain
    if found.free is not None:
        blocks.append(Text(found.free.sentence))
        share = words.percent(found.free.prob)
        title = f"DLT rate of each dose by itself, prior {found.free.prior}; {share} intervals"
        blocks.append(_table(found.free.table(), "order_free", title, unit))
    if chain is not None:
        blocks += _chain(found, chain)
    if not blocks:
        return None
    return Section("dose-toxicity", "From dose to DLT", tuple(blocks))


def _chain(found: DoseFindings, chain: ChainResult) -> list[Block]:
    unit, averaged = chain.unit, chain.per_dose(limits=found.limits)
    title = f"P(DLT) averaged over exposure; {words.percent(averaged.attrs['prob'])} intervals"
    blocks: list[Block] = [Text(chain.sentence)]
    if not chain.verdict.ok:
        blocks.append(Text(chain.verdict.sentence, "warn"))
    curve = next((d.curve(found.data) for d in found.designs.values() if isinstance(d, BLRM)), None)
    blocks += [
        Row((
            picture(
                "dose_dlt",
                lambda: plots.dlt_by_dose(chain, curve=curve, free=found.free, target=found.limits),
                caption="Probability of a DLT averaged over exposure, beside the curve of dose "
                "alone and the rates of each dose.",
                alt="Probability of a DLT against dose with intervals, by three ways of reckoning.",
            ),
            picture(
                "dose_toxicity_exposure", lambda: plots.toxicity_by_exposure(chain),
                caption="DLT and CRS grade of every patient over exposure.",
                alt="Two panels over exposure: DLT yes or no, and CRS grade, one dot per patient.",
            ),
        )),
        _table(averaged, "chain", title, unit),
        Text(chain.mediated_sentence),
        Details("How much of the risk goes through exposure", (
            picture(
                "dose_mediated", lambda: plots.mediated_share(chain.mediated()),
                caption="How the difference of P(DLT) between lowest and highest dose divides.",
                alt="Bars with intervals: the difference in all, through exposure, and besides it.",
            ),
            _labelled(chain.mediated(), "mediated", "What goes through exposure", unit, (
                "A change of log odds by 0.69 doubles the odds of a DLT; factor e of dose is 2.7 "
                "times the dose. P(> 0): probability that the number is above 0. "
                + CAUTION[-1],)),
        )),
    ]  # fmt: skip
    if chain.links.cytokines:
        blocks.append(
            picture(
                "dose_peaks", lambda: plots.peaks_by_dose(chain),
                caption="Peak of each cytokine in every patient by administered dose.",
                alt="One panel per cytokine: its peak against dose on log axes, one dot per "
                "patient.",
            )
        )  # fmt: skip
        blocks.append(Attached(_table(chain.peaks_per_dose(), "peaks", "Peaks by dose", unit)))
    if chain.links.grade is not None:
        title = "P(CRS grade ≥ k) by dose"
        crs = _table(chain.grades_per_dose(), "crs", title, unit)
        blocks.append(Details(f"{title} by the chain", (crs,)))
    details: list[Block] = [
        Text(chain.verdict.sentence), *(Text(note) for note in chain.notes),
        _labelled(chain.table(), "chain_numbers", "The chain: prior and posterior", unit, (
            f"d* is {words.dose(chain.links.reference, unit)}; E* the exposure that stands for it: "
            "that of a typical patient at d* unless stated.",)),
    ]  # fmt: skip
    blocks.append(Details("The chain: convergence, notes and every number", tuple(details)))
    return blocks


def _activity(found: DoseFindings) -> Section | None:
    if found.activity is None:
        return None
    a = found.activity
    blocks: list[Block] = [
        _table(
            a.counts(), "activity", f"Activity beside toxicity, {_text.percent(a.prob)} exact "
            "intervals", a.unit, tuple(n for n in a.notes if not _of_means(n)),
        ),
        Attached(_table(a.table(), "activity_numbers", "Activity in numbers", a.unit,
                        tuple(filter(_of_means, a.notes)))),
    ]  # fmt: skip
    return Section("dose-activity", "Activity beside toxicity", tuple(blocks))


def _of_means(note: str) -> bool:
    """Whether a note is about the geometric means, which stand in the file only."""
    return "geometric mean" in note
