"""When a step of a search is taken: one rule per criterion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from cart_pkpd._compare.fitting import Done
from cart_pkpd._compare.likelihood import CRITERIA
from cart_pkpd._compare.ratio import Ratio, ratio
from cart_pkpd._compare.said import ERRORS, LEAST_ELPD
from cart_pkpd._core.words import fixed, number

ELPD = "elpd"
NAMES: Mapping[str, str] = {**CRITERIA, ELPD: "elpd (patients left out)"}
_SLACK = 0.1
_OTHER_OPTIMUM = "no global optimum: −2 ln L is above that of the smaller fit, which it contains,"


@dataclass(frozen=True)
class Change:
    """How a candidate's fit differs from the one before.

    Attributes
    ----------
    value : float
        Criterion of the candidate's fit.
    change : float
        Difference of the criterion from the fit before.
    ofv, d_ofv : float
        -2 ln L and its difference; NaN for Bayesian fits.
    se : float
        Standard error of the difference, of elpd only.
    test : Ratio or None
        Likelihood-ratio test.
    passes : bool
        The rule allows the step.
    why : str
        What the rule compared.
    order : float
        Lowest is best among those that pass.
    """

    value: float
    change: float
    ofv: float = np.nan
    d_ofv: float = np.nan
    se: float = np.nan
    test: Ratio | None = None
    passes: bool = False
    why: str = ""
    order: float = np.inf

    @property
    def p(self) -> float:
        """Tail area of the likelihood-ratio test, NaN if there is none."""
        return np.nan if self.test is None else self.test.p


@dataclass(frozen=True)
class Rule:
    """What decides.

    Attributes
    ----------
    criterion : str
        A key of `NAMES`.
    p_add, p_remove : float
        Limits of p values, of the criterion ``"ofv"``.
    least : float
        Least gain of other criteria.
    """

    criterion: str
    p_add: float = 0.05
    p_remove: float = 0.01
    least: float = 0.0

    def value(self, done: Done) -> float:
        """Return the criterion of a fit, NaN if there is none."""
        if self.criterion == ELPD:
            return np.nan if done.patients is None else float(done.patients["total_elpd"])
        return np.nan if done.fit is None else float(getattr(done.fit, self.criterion))

    def change(self, before: Done, after: Done, *, adds: bool) -> Change:
        """Return how two fits differ, and whether the step may be taken."""
        if self.criterion == ELPD:
            return self._of_elpd(before, after, adds=adds)
        d_ofv = float(after.fit.ofv - before.fit.ofv)
        smaller, larger = (before, after) if adds else (after, before)
        found = Change(
            self.value(after),
            self.value(after) - self.value(before),
            ofv=float(after.fit.ofv),
            d_ofv=d_ofv,
            test=ratio(smaller.fit.structure, larger.fit.structure, -d_ofv if adds else d_ofv),
        )
        if adds and d_ofv > _SLACK:
            return replace(found, why=f"{_OTHER_OPTIMUM} by {fixed(d_ofv)}")
        return self._by_test(found, adds=adds) if self.criterion == "ofv" else self._by_size(found)

    def _by_test(self, found: Change, *, adds: bool) -> Change:
        """Return the change, judged by its likelihood-ratio test."""
        p, test, limit = found.p, found.test, self.p_add if adds else self.p_remove
        passes = p < limit if adds else p > limit
        words = "" if test is None else f" ({test.words})"
        why = f"p {number(p)} {'below' if p < limit else 'above'} {limit:g}{words}"
        # p values may be 0 to all digits, and then the larger gain comes first.
        order = (np.log(p) if p > 0 else -1e3 + found.d_ofv) if adds else found.d_ofv
        return replace(found, passes=bool(passes), why=why, order=float(order))

    def _by_size(self, found: Change) -> Change:
        """Return the change, judged by how much lower the criterion is."""
        change, least = found.change, self.least
        why = f"{short(self.criterion)} {_changed(change)}"
        why += f" ({least:g} is asked for)" if -least < change < 0 else ""
        return replace(found, passes=change < -least, why=why, order=change)

    def _of_elpd(self, before: Done, after: Done, *, adds: bool) -> Change:
        """Return whether elpd gains enough by more, or loses too little by less."""
        if before.patients is None or after.patients is None:
            return Change(self.value(after), np.nan, why="no elpd to compare")
        each = (after.patients["elpd"] - before.patients["elpd"]).to_numpy()
        change, se = float(each.sum()), float(np.sqrt(each.size) * each.std())
        least = max(self.least or LEAST_ELPD, ERRORS * se)
        passes = change > least if adds else change > -least
        why = f"elpd {_changed(change)} (standard error {fixed(se)}; {fixed(least)} matters)"
        return Change(self.value(after), change, se=se, passes=passes, why=why, order=-change)


def _changed(change: float) -> str:
    if change == 0:
        return "unchanged"
    return f"{fixed(abs(change))} {'lower' if change < 0 else 'higher'}"


def short(criterion: str) -> str:
    """Return the name of a criterion without what it counts."""
    return NAMES[criterion].split(" (")[0]
