"""What the section on dose is written from, and its answers in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from cart_pkpd._core import words
from cart_pkpd._dose.activity import Activity
from cart_pkpd._dose.blrm import BLRM
from cart_pkpd._dose.chained import ChainResult
from cart_pkpd._dose.decision import Decision
from cart_pkpd._dose.design import Design
from cart_pkpd._dose.exposure import DoseExposure
from cart_pkpd._dose.free import OrderFree
from cart_pkpd._dose.patients import DoseData
from cart_pkpd.plots import _text
from cart_pkpd.report._files import slug

NEXT, RECOMMENDED = "Next", "Recommended dose"
_ROUNDING = 1e-12  # of P(over), as in the rule


@dataclass(frozen=True, eq=False)
class DoseFindings:
    """What the section on dose is written from.

    Attributes
    ----------
    data : DoseData
    designs, decisions : mapping
        By name: a design of ``dose`` and what it decided; the first comes first on the page.
    scenarios : mapping of str to DataFrame
        From ``dose.scenarios``; ``attrs["source"]`` says where the size of the cohort comes from.
    without_scenarios : mapping of str to str
        Why a design has none, in a sentence.
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
    without_scenarios: Mapping[str, str] = field(default_factory=dict)
    exposures: Mapping[str, DoseExposure] = field(default_factory=dict)
    metric: str = "cmax"
    free: OrderFree | None = None
    activity: Activity | None = None
    chain: ChainResult | None = None
    limits: tuple[float, float] | None = None
    below: Decision | None = None

    def numbers(self) -> dict[str, Any]:
        """Return the decisions as plain data."""
        found = self._all()
        return {name: {"sentence": d.sentence, **d.to_dict()} for name, d in found.items()}

    def _all(self) -> dict[str, Decision]:
        below = {} if self.below is None else {"below the MTD": self.below}
        return {**self.decisions, **below}

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
        """Return the recommended dose with its rule, whether the designs agree, and on what."""
        lead, dose, why = self.answer()
        said = [(f"{lead}:", f"{dose} {why}" if lead == NEXT else f"{dose}, {why}")]
        if len(self.decisions) > 1:
            said.append(("Designs:", self.agreement()))
        return [*said, ("Evidence:", self.evidence())]

    def answer(self) -> tuple[str, str, str]:
        """Return what is answered, the dose or what to do, and why."""
        name, first = next(iter(self.decisions.items()))
        if first.action != "select":
            return NEXT, first.headline, f"By {name}: {first.reason}"
        if self.below is not None:
            return RECOMMENDED, *self._lower(self.below)
        why = f"the MTD by {name}. {self._seen_at(first.dose)}{first.reason}"
        return RECOMMENDED, _dose_of(first), why

    @property
    def dose(self) -> float | None:
        """The dose that is recommended, or the next one; None if there is none."""
        first = next(iter(self.decisions.values()))
        return self.below.dose if first.action == "select" and self.below else first.dose

    @property
    def word(self) -> str:
        """What `dose` is, in a word."""
        first = next(iter(self.decisions.values()))
        return "recommended" if first.action == "select" else "next"

    @property
    def judge(self) -> str | None:
        """The design whose P(over) is shown: the first with a model of all doses, else any."""
        able = [n for n, d in self.decisions.items() if "over" in d.table]
        modelled = [n for n in able if isinstance(self.designs[n], BLRM)]
        return next(iter([*modelled, *able]), None)

    def barred(self) -> set[float]:
        """Return the doses that the first design does not permit."""
        table = next(iter(self.decisions.values())).table
        out = ~table["eligible"].astype(bool)
        if "eliminated" in table:
            out |= table["eliminated"].astype(bool)
        return {float(d) for d in table["dose"][out]}

    def over_words(self, name: str) -> str:
        """Return what P(over) is the probability of, by one design."""
        design = self.designs[name]
        if isinstance(design, BLRM):
            return f"probability of a DLT rate of {design.intervals[1]:g} or more"
        return f"probability of a DLT rate above {float(getattr(design, 'target', 'nan')):g}"

    def _lower(self, below: Decision) -> tuple[str, str]:
        given, mtd = below.extra, words.dose(below.extra["mtd"], below.unit)
        seen = self._seen_at(below.dose)
        if below.dose == given["mtd"]:
            seen = seen.replace("Seen there", "Seen at the MTD")
            return mtd, f"the MTD: {_why_not_lower(below)}. {seen}".rstrip()
        why = (
            f"the lowest dose whose {benefit(below)} is at least {words.percent(given['share'])} "
            f"of that at the MTD of {mtd} with a probability of {given['certainty']:g} or more, "
            f"without more over-dosing. {seen}"
        )
        return _dose_of(below), why.rstrip()

    def _seen_at(self, dose: float | None) -> str:
        if dose is None:
            return ""
        k = self.data.levels.index(dose)
        dlts = words.count(int(self.data.dlts[k]), "DLT")
        return f"Seen there: {dlts} in {self.data.n[k]} evaluable patients. "

    @property
    def agree(self) -> bool:
        """Whether there are several designs and all say the same."""
        return len(self.decisions) > 1 and len({d.headline for d in self.decisions.values()}) == 1

    def agreement(self) -> str:
        """Return whether the designs say the same, in one sentence."""
        by: dict[str, list[str]] = {}
        for name, d in self.decisions.items():
            by.setdefault(d.headline.rstrip("."), []).append(name)
        if len(by) == 1:
            *names, last = self.decisions
            return f"{', '.join(names)} and {last} agree: {next(iter(by))}."
        each = "; ".join(f"{', '.join(names)} – {what}" for what, names in by.items())
        return (
            f"They disagree: {each}. The design of the protocol decides; its targets and rules are "
            "under each design."
        )

    def evidence(self) -> str:
        """Return how many patients the decision rests on, and when it was made."""
        d = self.data
        n, y, c = int(d.n.sum()), int(d.dlts.sum()), int(d.pending.sum())
        when = (
            "at the end of follow-up" if d.as_of is None else f"as of day {d.as_of:g} of the trial"
        )
        return (
            f"{words.count(len(d.patients), 'patient')} treated, {n} evaluable with "
            f"{words.count(y, 'DLT')}, {c} pending; DLT window {d.window:g} days; {when}."
        )

    def reasons(self) -> list[tuple[str, str]]:
        """Return each decision in a sentence, under its name."""
        return [(f"{_text.sentence(name)}:", d.sentence) for name, d in self._all().items()]

    def flags(self) -> list[str]:
        """Return what to look at before following the decisions, each said once."""
        by: dict[str, list[str]] = {}
        for name, d in self._all().items():
            for flag in d.flags:
                by.setdefault(flag, []).append(name)
        return [f"{_text.sentence(', '.join(names))}: {flag}" for flag, names in by.items()]


def _dose_of(decision: Decision) -> str:
    return "none" if decision.dose is None else words.dose(decision.dose, decision.unit)


def barred_by(below: Decision) -> list[str]:
    """Return what speaks against each dose up to the MTD, first what it gives; "" for none."""
    given, table = below.extra, below.table
    over, enough = table["over"].to_numpy(float), table["p_enough"].to_numpy(float)
    said = []
    for k, eligible in enumerate(table["eligible"].astype(bool)):
        if eligible:
            said.append("")
        elif enough[k] < given["certainty"]:
            said.append(f"P(enough) below {given['certainty']:g}")
        elif over[k] > over[-1] + _ROUNDING:
            said.append("more over-dosing than at the MTD")
        else:
            said.append(f"fewer than {given['fewest']} evaluable patients")
    return said


def _why_not_lower(below: Decision) -> str:
    """Return why no dose below the MTD is recommended: what it gives, or what is known of it."""
    enough, few = benefit(below), f"fewer than {below.extra['fewest']} evaluable patients"
    doses = below.table["dose"].astype(float)
    named = [d for d, why in zip(doses, barred_by(below), strict=True) if why == few]
    if not named:
        return f"no lower dose is sure to give enough {enough}"
    each = " each" if len(named) > 1 else ""
    lower = " and ".join(words.doses(named, below.unit).rsplit(", ", 1))
    return f"{lower} would probably give enough {enough}, but {few} were treated there{each}"


def benefit(below: Decision) -> str:
    return str(below.table.attrs.get("benefit", "benefit"))
