"""The section on dose: the answer first, then cohorts, designs, exposure, activity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from cart_pkpd import plots
from cart_pkpd._dose.activity import Activity
from cart_pkpd._dose.blrm import BLRM
from cart_pkpd._dose.chained import ChainResult
from cart_pkpd._dose.decision import Decision
from cart_pkpd._dose.design import Design
from cart_pkpd._dose.exposure import DoseExposure
from cart_pkpd._dose.free import OrderFree
from cart_pkpd._dose.patients import DoseData
from cart_pkpd._dose.rules import EWOC
from cart_pkpd.plots import _text
from cart_pkpd.report._blocks import Attached, Block, Bullets, Details, Section, Text, picture
from cart_pkpd.report._files import slug
from cart_pkpd.report._tables import Kind, Table, from_frame

_WORDS = {
    "n": "n", "dlts": "DLTs", "mtd": "MTD", "sd": "SD", "mcse": "MCSE", "rhat": "R-hat",
    "ess_bulk": "ESS", "under": "P(under)", "target": "P(target)", "over": "P(over)",
    "prior_over": "prior P(over)", "over_mcse": "MCSE of P(over)", "p_enough": "P(enough)",
    "p_positive": "P(> 0)", "p_above_lower": "P(> next lower dose)", "n_below": "below a bound",
    "n_above": "above a bound", "dlt": "DLT", "crs2": "CRS ≥ 2", "crs3": "CRS ≥ 3",
    "icans1": "ICANS ≥ 1", "icans3": "ICANS ≥ 3", "q2.5": "2.5 %", "q25": "25 %", "q50": "50 %",
    "q75": "75 %", "q97.5": "97.5 %", "id": "Patient",
}  # fmt: skip
_FEWEST = 12  # patients up to which a decision table is drawn at least


@dataclass(frozen=True, eq=False)
class DoseFindings:
    """What the section on dose is written from.

    Attributes
    ----------
    data : DoseData
    designs, decisions : mapping
        By name: a design of ``dose`` and what it decided; the first comes first on the page.
    scenarios : mapping of str to DataFrame
        From ``dose.scenarios``.
    exposures : mapping of str to DoseExposure
        By metric.
    metric : str
        The one that decisions look at.
    free : OrderFree or None
    activity : Activity or None
    chain : ChainResult or None
    limits : (float, float) or None
        Target interval of P(DLT) of the chain.
    below : Decision or None
        From ``dose.recommend_below_mtd``.
    """

    data: DoseData
    designs: Mapping[str, Design]
    decisions: Mapping[str, Decision]
    scenarios: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    exposures: Mapping[str, DoseExposure] = field(default_factory=dict)
    metric: str = "cmax"
    free: OrderFree | None = None
    activity: Activity | None = None
    chain: ChainResult | None = None
    limits: tuple[float, float] | None = None
    below: Decision | None = None

    def numbers(self) -> dict[str, Any]:
        """Return the decisions as plain data."""
        found = dict(self.decisions)
        if self.below is not None:
            found["below the MTD"] = self.below
        return {name: {"sentence": d.sentence, **d.to_dict()} for name, d in found.items()}

    def frames(self) -> dict[str, pd.DataFrame]:
        """Return every table of numbers by name."""
        out = {"cohorts": self.data.table(), "patients": self.data.frame()}
        out |= {f"decision_{slug(n)}": d.table for n, d in self.decisions.items()}
        out |= {f"scenarios_{slug(n)}": t for n, t in self.scenarios.items()}
        for metric, one in self.exposures.items():
            out |= {
                f"{metric}_power": one.table(), f"{metric}_by_dose": one.per_dose(),
                f"{metric}_patients": one.measured.table(),
            }  # fmt: skip
        if self.free is not None:
            out["order_free"] = self.free.table()
        if self.activity is not None:
            out["activity"] = self.activity.table()
        if self.chain is not None:
            out |= {
                "chain": self.chain.table(), "chain_dlt": self.chain.per_dose(limits=self.limits),
                "chain_mediated": self.chain.mediated(), "chain_peaks": self.chain.peaks_per_dose(),
                "chain_crs": self.chain.grades_per_dose(),
            }  # fmt: skip
        if self.below is not None:
            out["below_mtd"] = self.below.table
        return {k: v for k, v in out.items() if len(v.columns)}

    def answers(self) -> list[tuple[str, str]]:
        """Return each recommendation in a sentence, under its name."""
        said = [(f"{name}:", d.sentence) for name, d in self.decisions.items()]
        if self.below is not None:
            said.append(("Below the MTD:", self.below.sentence))
        return said


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
    """Return the answer: recommended dose, rule, flags."""
    blocks: list[Block] = [Bullets(tuple(found.answers()))]
    decisions = [*found.decisions.items()]
    if found.below is not None:
        decisions.append(("below the MTD", found.below))
    blocks += [Text(f"{name}: {flag}", "warn") for name, d in decisions for flag in d.flags]
    return blocks


def _labels(frame: pd.DataFrame, unit: str) -> dict[str, tuple[str, str, Kind]]:
    """Return how columns of doses, counts and probabilities are printed."""
    known: dict[str, tuple[str, str, Kind]] = {}
    for name in [*map(str, frame.columns), *(str(n) for n in frame.index.names if n)]:
        text = _WORDS.get(name, _text.sentence(name))
        if name in ("dose", "next_dose"):
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
) -> Table:
    labels = _labels(frame, unit)
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
    blocks: list[Block] = [Text(decision.sentence)]
    shown = [c for c in decision.table if not str(c).startswith("q") and c != "sd"]
    title = f"{name}: every dose"
    blocks.append(_table(decision.table, f"{key}_decision", title, unit, shown=shown))
    if isinstance(design, BLRM):
        blocks += _curve(found, name, design, decision)
    elif hasattr(design, "decision_table"):
        most = max(_FEWEST, int(found.data.n.max()))
        blocks.append(
            picture(
                f"dose_{key}_table",
                lambda: plots.boin_table(design.decision_table(most), seen=decision.table),
                caption=f"{name}: what follows from each number of DLTs; doses given are framed.",
                alt=f"Decision table of {name}",
            )
        )
    if name in found.scenarios:
        table = found.scenarios[name]
        blocks.append(
            picture(
                f"dose_{key}_scenarios", lambda: plots.dose_scenarios(table),
                caption=f"{name}: what would follow 0, 1, … DLTs in the next cohort.",
                alt=f"Decisions of {name} after the next cohort",
            )
        )  # fmt: skip
        blocks.append(_table(table, f"{key}_scenarios", f"{name}: the next cohort", unit))
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


def _curve(found: DoseFindings, name: str, design: BLRM, decision: Decision) -> list[Block]:
    """Return the curve beside its prior, and the bars of the intervals with the EWOC bound."""
    from cart_pkpd import dose

    key, empty = slug(name), dose.counts({}, levels=found.data.levels, window=found.data.window)
    bound = next((r.bound for r in design.all_rules if isinstance(r, EWOC)), None)
    low, high = design.intervals
    return [
        picture(
            f"dose_{key}_curve",
            lambda: plots.dose_toxicity(
                design.curve(found.data), decision.table, prior=design.curve(empty)
            ),
            caption=f"{name}: probability of a DLT by dose, with the prior behind.",
            alt="Dose–toxicity curve with intervals",
        ),
        picture(
            f"dose_{key}_intervals",
            lambda: plots.dose_intervals(decision.table, bound=bound, prior=design.prior_table()),
            caption=f"{name}: probability that the DLT rate is below {low:g}, in the target "
            f"interval, and {high:g} or more; doses not eligible are pale.",
            alt="Interval probabilities by dose",
        ),
    ]


def _below(decision: Decision) -> Section:
    blocks: list[Block] = [Text(decision.sentence)]
    blocks.append(_table(decision.table, "below_mtd", "Doses up to the MTD", decision.unit))
    return Section("dose-below", "A dose below the MTD", tuple(blocks))


def _exposure(found: DoseFindings) -> Section | None:
    if not found.exposures:
        return None
    blocks: list[Block] = []
    for metric, one in found.exposures.items():
        name, unit = one.measured.label, one.measured.dose_unit
        blocks.append(Text(one.sentence))
        blocks += [Text(note, "reason") for note in one.notes]
        blocks.append(
            picture(
                f"dose_exposure_{metric}", lambda one=one: plots.exposure_power(one),  # type: ignore[misc]
                caption=f"{name} of every patient by administered dose, with the power model.",
                alt=f"{name} by dose",
            )
        )  # fmt: skip
        blocks.append(_table(one.per_dose(), f"exposure_{metric}", f"{name} by dose", unit))
        blocks.append(
            Details(
                f"{name}: parameters and patients",
                (_table(one.table(), f"power_{metric}", f"Power model of {name}", unit),
                 Attached(_table(one.measured.table(), f"exposures_{metric}",
                                 f"{name} of every patient", unit))),
            )
        )  # fmt: skip
    return Section("dose-exposure", "Exposure by dose: the power model", tuple(blocks))


def _toxicity(found: DoseFindings) -> Section | None:
    """Return DLTs by dose without a curve, and the chain."""
    blocks: list[Block] = []
    unit, chain = found.data.levels.unit, found.chain
    if found.free is not None:
        blocks.append(Text(found.free.sentence))
        title = f"DLT rate of each dose by itself, {found.free.prior}"
        blocks.append(_table(found.free.table(), "order_free", title, unit))
    if chain is not None:
        blocks += _chain(found, chain)
    if not blocks:
        return None
    return Section("dose-toxicity", "From dose to DLT", tuple(blocks))


def _chain(found: DoseFindings, chain: ChainResult) -> list[Block]:
    unit = chain.unit
    blocks: list[Block] = [Text(chain.sentence)]
    if not chain.verdict.ok:
        blocks.append(Text(chain.verdict.sentence, "warn"))
    curve = next((d.curve(found.data) for d in found.designs.values() if isinstance(d, BLRM)), None)
    blocks += [
        picture(
            "dose_dlt",
            lambda: plots.dlt_by_dose(chain, curve=curve, free=found.free, target=found.limits),
            caption="Probability of a DLT averaged over exposure, beside the curve of dose alone "
            "and the rates of each dose.",
            alt="Probability of a DLT by dose",
        ),
        _table(chain.per_dose(limits=found.limits), "chain", "P(DLT) averaged over exposure", unit),
        picture(
            "dose_toxicity_exposure", lambda: plots.toxicity_by_exposure(chain),
            caption="DLT and CRS grade of every patient over exposure.", alt="DLT over exposure",
        ),
        picture(
            "dose_mediated", lambda: plots.mediated_share(chain.mediated()),
            caption="How the difference of P(DLT) between lowest and highest dose divides.",
            alt="Part of the risk through exposure",
        ),
        _table(chain.mediated(), "mediated", "What goes through exposure", unit),
    ]  # fmt: skip
    if chain.links.cytokines:
        blocks.append(
            picture(
                "dose_peaks", lambda: plots.peaks_by_dose(chain),
                caption="Peak of each cytokine in every patient by administered dose.",
                alt="Cytokine peaks by dose",
            )
        )  # fmt: skip
        blocks.append(Attached(_table(chain.peaks_per_dose(), "peaks", "Peaks by dose", unit)))
    if chain.links.grade is not None:
        title = "P(CRS grade ≥ k) by dose"
        blocks.append(_table(chain.grades_per_dose(), "crs", title, unit))
    details: list[Block] = [
        Text(chain.verdict.sentence), *(Text(note) for note in chain.notes),
        _table(chain.table(), "chain_numbers", "The chain: prior and posterior", unit),
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
            "intervals", a.unit, a.notes,
        ),
        Attached(_table(a.table(), "activity_numbers", "Activity in numbers", a.unit)),
    ]  # fmt: skip
    return Section("dose-activity", "Activity beside toxicity", tuple(blocks))
