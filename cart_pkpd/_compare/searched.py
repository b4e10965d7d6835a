"""The frozen result of a search: every step, in words, and as CSV, JSON and HTML."""

from __future__ import annotations

import html
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cart_pkpd._compare import files
from cart_pkpd._compare.fitting import Done
from cart_pkpd._compare.result import STYLE
from cart_pkpd._compare.rules import ELPD, Change, Rule, short
from cart_pkpd._core.words import MISSING, count, fixed, number

if TYPE_CHECKING:
    from cart_pkpd._compare.candidates import Candidate
    from cart_pkpd._stats.population import Population

START = "start"
_NOTHING = Change(np.nan, np.nan)
_LABELS = {
    "step": "Step", "candidate": "Candidate", "action": "Action", "ofv": "−2 ln L",
    "change": "Change", "p": "p", "criterion": "Criterion", "verdict": "Verdict",
    "chosen": "Chosen", "why": "Why", "seconds": "Run time (s)",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Step:
    """One candidate at one step."""

    number: int
    action: str
    candidate: Any
    name: str
    change: Change
    verdict: str
    n_estimated: float = np.nan
    converged: bool = False
    chosen: bool = False
    seconds: float = 0.0

    @property
    def passes(self) -> bool:
        """Whether the step may be taken."""
        return self.change.passes

    @classmethod
    def first(cls, value: float, done: Done) -> Step:
        """Return the row of the population that the search began with."""
        ofv = getattr(done.fit, "ofv", np.nan)
        change = Change(value, np.nan, ofv=ofv, why="the population given")
        verdict = "start" if done.fit.verdict.ok else "not converged"
        return cls(0, START, None, START, change, verdict, _size(done), bool(done.fit.verdict.ok),
                   chosen=True, seconds=done.seconds)  # fmt: skip

    @classmethod
    def hindered(cls, number: int, action: str, candidate: Candidate, why: str) -> Step:
        """Return the row of a candidate that cannot be tried at this step."""
        change = Change(np.nan, np.nan, why=why)
        return cls(number, action, candidate, candidate.name, change, "not possible")

    @classmethod
    def tried(cls, number: int, action: str, candidate: Candidate, done: Done, change: Change
              ) -> Step:  # fmt: skip
        """Return the row of a candidate that was fitted."""
        converged = done.fit is not None and bool(done.fit.verdict.ok)
        passed = "passes" if change.passes else "does not pass"
        verdict = "failed" if done.fit is None else passed if converged else "not converged"
        return cls(number, action, candidate, candidate.name, change, verdict, _size(done),
                   converged, seconds=done.seconds)  # fmt: skip

    def decided(self, *, chosen: bool) -> Step:
        """Return the same row, chosen or not."""
        return replace(self, chosen=chosen)

    def row(self) -> dict[str, Any]:
        """Return the row of the table."""
        test = self.change.test
        return {
            "step": self.number,
            "candidate": self.name,
            "kind": "" if self.candidate is None else self.candidate.kind,
            "action": self.action,
            "ofv": self.change.ofv,
            "d_ofv": self.change.d_ofv,
            "n_estimated": self.n_estimated,
            "df": np.nan if test is None else test.df,
            "p": self.change.p,
            "criterion": self.change.value,
            "change": self.change.change,
            "se": self.change.se,
            "converged": self.converged,
            "verdict": self.verdict,
            "chosen": self.chosen,
            "why": self.change.why,
            "seconds": self.seconds,
        }


def _size(done: Done) -> float:
    return np.nan if done.fit is None else float(len(done.fit.structure.quantities))


@dataclass(frozen=True, eq=False)
class Search:
    """What :func:`cart_pkpd.compare.search` found.

    Attributes
    ----------
    every : tuple of Step
        All candidates of all steps.
    best : Population
        The last population that was chosen.
    fit : LaplaceResult or FitResult
        Its fit.
    rule : Rule
        What decided.
    direction : str
        Forward, backward or both.
    """

    every: tuple[Step, ...]
    best: Population
    fit: Any
    rule: Rule
    direction: str

    @cached_property
    def steps(self) -> pd.DataFrame:
        """Every candidate of every step.

        Columns: step (0 is the population given), candidate, kind, action (start, add or remove),
        ofv, d_ofv (difference in -2 ln L from the step before), n_estimated, df and p of the
        likelihood-ratio test, criterion (its value), change (its difference from the step before),
        se (of the difference in elpd), converged, verdict (passes, does not pass, not converged,
        failed, not possible), chosen, why (in words), seconds (0 where it was fitted before).
        """
        table = pd.DataFrame([step.row() for step in self.every])
        table.attrs["criterion"] = self.rule.criterion
        return table

    @cached_property
    def path(self) -> pd.DataFrame:
        """The steps that were taken."""
        table = self.steps
        return table[table["chosen"]].reset_index(drop=True)

    @cached_property
    def sentence(self) -> str:
        """What was added and removed, and what it gained, in words."""
        path = self.path
        said = [self._done(path, "add", "added"), self._done(path, "remove", "removed")]
        name = short(self.rule.criterion)
        first, last = float(path["criterion"].iloc[0]), float(path["criterion"].iloc[-1])
        done = " and ".join(filter(None, said))
        gain = f"{name} from {fixed(first)} to {fixed(last)}"
        done = f"{done}; {gain}" if done else ""
        done = done or f"nothing is worth a step; {name} is {fixed(first)}"
        done = done[0].upper() + done[1:]
        tried = self.steps[self.steps["verdict"] != "not possible"]
        lost = int(tried["verdict"].isin(["failed", "not converged"]).sum())
        fits = count(int((tried["seconds"] > 0).sum()), "fit")
        more = f", {lost} of which failed or did not converge" if lost else ""
        end = "" if self.fit.verdict.ok else " The last fit itself did not converge."
        return f"{done} ({fits}{more}).{end}"

    @staticmethod
    def _done(path: pd.DataFrame, action: str, word: str) -> str:
        names = path.loc[path["action"] == action, "candidate"]
        return f"{word} {', '.join(names)}" if len(names) else ""

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain data; None for numbers that cannot be had."""
        rows = self.steps.to_dict(orient="records")
        return {
            "sentence": self.sentence,
            "criterion": self.rule.criterion,
            "direction": self.direction,
            "best": self.best.describe(),
            "steps": [{str(k): files.plain(v) for k, v in row.items()} for row in rows],
        }

    def csv(self, path: str | Path) -> Path:
        """Write all steps in full precision; empty cells for what cannot be had."""
        return files.csv(path, self.steps, index=False)

    def json(self, path: str | Path | None = None) -> str:
        """Return steps and result as JSON, and write it where a path is given."""
        return files.json_text(path, self.as_dict())

    def html(self, path: str | Path | None = None) -> str:
        """Return sentence and steps as a piece of HTML; a whole page where a path is given."""
        shown = self._shown()
        names = [str(c) for c in shown]
        head = "".join(f"<th{_left(c)}>{html.escape(_LABELS[c])}</th>" for c in names)
        rows = "".join(
            f"<tr{'' if chosen else _QUIET}>"
            + "".join(f"<td{_left(c)}>{html.escape(row[c])}</td>" for c in names)
            + "</tr>"
            for chosen, (_, row) in zip(self.steps["chosen"], shown.iterrows(), strict=True)
        )
        body = (
            f"{STYLE}<table class='cart-comparison'><caption>{html.escape(self.sentence)}"
            f"</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        )
        return files.page(path, "Search", body)

    def text(self) -> str:
        """Return the steps as text, for a terminal, and the sentence below."""
        return f"{self._shown().to_string(index=False)}\n\n{self.sentence}"

    def _shown(self) -> pd.DataFrame:
        """Return the columns for people, as text."""
        own = self.steps[[c for c in _LABELS if c != "p" or self.rule.criterion != ELPD]]
        return pd.DataFrame({str(c): [_cell(str(c), v) for v in own[c]] for c in own})

    def _repr_html_(self) -> str:
        return self.html()

    def __repr__(self) -> str:
        return self.text()


_QUIET = " class='unranked'"


def _left(column: str) -> str:
    return " class='words'" if column in ("candidate", "verdict", "why", "action") else ""


def _cell(column: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | np.bool_):
        return "yes" if value else ""
    if not np.isfinite(value):
        return MISSING
    if column == "step":
        return str(int(value))
    return fixed(value, 2) if column in ("ofv", "change", "criterion") else number(value, 2)
