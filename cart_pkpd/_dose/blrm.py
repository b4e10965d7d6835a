"""The Bayesian logistic regression model, decided by quadrature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from scipy.special import comb, expit, log_expit

from cart_pkpd._core import words
from cart_pkpd._core.validate import instance, one_of, real, reals
from cart_pkpd._dose import grid as quadrature
from cart_pkpd._dose.curves import Curve, summary_of
from cart_pkpd._dose.design import Design, same_levels
from cart_pkpd._dose.levels import Levels, as_levels
from cart_pkpd._dose.onset import Onset, check_onset, text_of
from cart_pkpd._dose.onset import weight as share_weight
from cart_pkpd._dose.patients import DoseData, counts
from cart_pkpd._dose.priors import Prior
from cart_pkpd._dose.rules import EWOC, Rule
from cart_pkpd._dose.state import Floats, Ints, Mask, State, Summary, state_of_data

if TYPE_CHECKING:
    from cart_pkpd._dose.blrm_sample import BlrmSample

QUANTILES = (0.025, 0.25, 0.5, 0.75, 0.975)
_ERROR = 1e-5  # at which the grid is fine enough
_REFINE = 5


@dataclass(frozen=True)
class BLRM(Design):
    """Bayesian logistic regression: logit π(d) = log α + β log(d / reference), β > 0 [1]_.

    Parameters
    ----------
    levels : Levels or sequence of float
        Planned doses.
    reference : float
        Dose whose log odds of a DLT are log α. [unit of the levels]
    prior : BivariateNormal or Mixture
        Of (log α, log β).
    intervals : (float, float)
        Ends of the target interval: below is under-dosing, from the upper end on over-dosing.
    choice : {"target", "largest"}
        Among eligible doses that with the largest probability of the target interval, or the
        largest dose.
    onset : Onset, optional
        Weight of patients still inside the window; proportional to follow-up by default.
    rules : tuple of Rule
        Better joined with ``&``.

    Notes
    -----
    Decisions are made by quadrature (see ``_dose/grid.py``). Every patient counts at the dose
    administered. A patient at day t without a DLT contributes 1 − π F(t) [2]_.

    References
    ----------
    .. [1] Neuenschwander, Branson & Gsponer (2008), Stat Med 27:2420.
    .. [2] Cheung & Chappell (2000), Biometrics 56:1177.

    Examples
    --------
    >>> design = BLRM(
    ...     (1e6, 3e6, 1e7), reference=1e7, prior=BivariateNormal((-0.7, 0.0), (2.0, 1.0), 0.0),
    ...     intervals=(0.16, 0.33),
    ... ) & EWOC(0.33, 0.25)
    """

    levels: Levels | Sequence[float]
    reference: float
    prior: Prior
    intervals: tuple[float, float]
    choice: Literal["target", "largest"] = "target"
    onset: Onset | None = None
    rules: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", as_levels(self.levels))
        if not 0 < real(self.reference, "the reference dose") < np.inf:
            raise ValueError(f"the reference dose must be above 0, not {self.reference!r}.")
        low, high = reals(self.intervals, "intervals", such_as="(0.16, 0.33)", count=2)
        object.__setattr__(self, "intervals", (low, high))
        if not 0 < low < high < 1:
            raise ValueError(f"intervals must be two rising probabilities, not {self.intervals}.")
        if not isinstance(self.prior, Prior):
            raise ValueError(
                "prior must be a dose.BivariateNormal or a dose.Mixture of them, not a "
                f"{type(self.prior).__name__}."
            )
        one_of(self.choice, ("target", "largest"), "choice")
        check_onset(self.onset)

    @property
    def name(self) -> str:
        return "BLRM"

    @property
    def planned(self) -> Levels:
        """The planned doses."""
        return as_levels(self.levels)

    @property
    def text(self) -> str:
        low, high = self.intervals
        best = (
            "largest probability of the target interval" if self.choice == "target"
            else "largest eligible dose"
        )  # fmt: skip
        late = text_of(self.onset)
        return (
            f"BLRM, reference {words.dose(self.reference, self.planned.unit)}, {self.prior.text}; "
            f"target interval {low:g}–{high:g}; choice: {best}; {late}"
        )

    @property
    def uses_follow_up(self) -> bool:
        return True

    @property
    def _cutoffs(self) -> tuple[float, ...]:
        return self.intervals

    @property
    def x(self) -> Floats:
        """log(dose / reference), shape (K,)."""
        return np.log(self.planned.array / self.reference)

    @property
    def _doses(self) -> Floats:
        return self.planned.array

    def _check(self, data: DoseData) -> None:
        same_levels("the BLRM", self.planned, data)
        if self.onset is not None:
            self.onset.check_window(data.window)

    def weight(self, share: Floats) -> Floats:
        """Return F at shares of the window."""
        return share_weight(self.onset, share)

    def _summary(self, state: State, cutoffs: tuple[float, ...]) -> Summary:
        most = int((state.n + state.waiting).sum(axis=1).max(initial=0))
        curve = logistic_curve(self.prior, tuple(self.x.tolist()), quadrature.size_for(most))
        return summary_of(curve, state, cutoffs, self.weight)

    def posterior(self, data: DoseData, refine: int = 0) -> Posterior:
        """Return the posterior on a grid; `refine` makes the grid finer."""
        dose, dlt, day = data.observations()
        g = quadrature.grid(self.prior, quadrature.size_for(dose.size), refine)
        logs = g.log_prior.copy()
        keys = np.stack([dose, dlt, np.where(dlt, 1.0, day / data.window)])
        cells, count = np.unique(keys, axis=1, return_counts=True)
        for (d, had, share), n in zip(cells.T, count, strict=True):
            eta = g.log_odds(np.log([d / self.reference]))[0]
            weight = 1.0 if share >= 1 else float(self.weight(np.array(share)))
            if had:
                logs += n * log_expit(eta)
            else:
                logs += n * (log_expit(-eta) if weight == 1 else np.log1p(-weight * expit(eta)))
        density = np.exp(logs - logs.max())
        return Posterior(g, density / density.sum(), self.reference)

    def _data_summary(self, data: DoseData, state: State, cutoffs: tuple[float, ...]) -> Summary:
        return self.fine(data).summary(self.planned.array, cutoffs)

    def fine(self, data: DoseData) -> Posterior:
        """Return the posterior on a grid so fine that a finer one changes nothing shown."""
        return _fine(self, data)

    def _choose(self, state: State, found: Summary, eligible: Mask) -> Ints:
        if self.choice == "largest":
            return np.where(eligible, np.arange(state.levels), -1).max(axis=1)
        score = np.where(eligible, found.between(*self.intervals), -1.0)
        return np.where(eligible.any(axis=1), score.argmax(axis=1), -1)

    def _select(self, state: State, found: Summary, eligible: Mask) -> Ints:
        return self._choose(state, found, eligible)

    def _columns(self, data: DoseData, state: State, found: Summary) -> Mapping[str, Any]:
        return self._numbers(self.fine(data))

    def _attrs(self) -> Mapping[str, Any]:
        return {"intervals": self.intervals}

    def _numbers(self, posterior: Posterior) -> dict[str, Floats]:
        doses = self.planned.array
        found = posterior.summary(doses, self.cutoffs())
        low, high = self.intervals
        quantiles = posterior.quantiles(doses, QUANTILES)
        out = {"mean": found.mean[0], "sd": posterior.sd(doses)}
        out |= {f"q{100 * q:g}": v for q, v in zip(QUANTILES, quantiles, strict=True)}
        out["under"] = 1 - found.above[low][0]
        out["target"] = found.between(low, high)[0]
        out["over"] = found.above[high][0]
        for c in self.cutoffs():
            if c not in self.intervals:
                out[f"above_{c:g}"] = found.above[c][0]
        return out

    def prior_table(self) -> pd.DataFrame:
        """Return what the prior says of each dose before the first patient.

        Returns
        -------
        pandas.DataFrame
            One row per level: dose, mean, sd, quantiles, probabilities of the three intervals, and
            whether the rules that also hold at the end (EWOC) would permit the dose.
        """
        empty = counts({}, levels=self.planned, window=1.0)
        posterior = self.fine(empty)
        found = posterior.summary(self.planned.array, self.cutoffs())
        table = pd.DataFrame({"dose": self.planned.array, **self._numbers(posterior)})
        state, doses = state_of_data(empty), self.planned.array
        masks = [r.eligible(state, found) for r in self.rules if r.final]
        permitted = np.ones(len(doses), dtype=bool)
        for mask in masks:
            if mask is not None:
                permitted &= mask[0]
        table["permitted"] = permitted
        table.index = pd.RangeIndex(1, len(doses) + 1, name="level")
        table.attrs |= {
            "units": {"dose": self.planned.unit}, "design": self.description,
            "intervals": self.intervals,
        }  # fmt: skip
        return table

    def curve(
        self,
        data: DoseData,
        doses: Floats | None = None,
        *,
        prob: tuple[float, float] = (0.5, 0.95),
    ) -> pd.DataFrame:
        """Return the dose–toxicity curve: mean, median and two intervals along the dose.

        Parameters
        ----------
        data : DoseData
        doses : array_like, optional
            Doses of the curve; 60 from half the lowest to 1.5 times the highest by default.
        prob : (float, float)
            Probabilities of the two equal-tailed intervals, rising.
        """
        instance(data, DoseData, "what is known", "dose.counts(...)")
        planned = self.planned.array
        at = np.geomspace(planned[0] / 2, planned[-1] * 1.5, 60) if doses is None else doses
        at = np.asarray(at, dtype=float)
        posterior = self.posterior(data)
        ends = [(1 - p) / 2 for p in prob]
        qs = (ends[1], ends[0], 0.5, 1 - ends[0], 1 - ends[1])
        values = posterior.quantiles(at, qs)
        names = ("lower_outer", "lower_inner", "median", "upper_inner", "upper_outer")
        mean = posterior.summary(at, ()).mean[0]
        out = pd.DataFrame({"dose": at, "mean": mean, **dict(zip(names, values, strict=True))})
        out.attrs |= {
            "units": {"dose": self.planned.unit},
            "prob": prob,
            "intervals": self.intervals,
        }
        return out

    def critical_dose(self, data: DoseData, threshold: float, bound: float) -> float:
        """Return the dose at which P(DLT rate ≥ threshold) equals `bound`, by bisection.

        NaN with no such dose between 1e-3 times the lowest and 1e3 times the highest level.
        """
        posterior = self.fine(data)
        low, high = np.log(self.planned.array[[0, -1]]) + np.log([1e-3, 1e3])

        def over(log_dose: float) -> float:
            found = posterior.summary(np.exp([log_dose]), (threshold,))
            return float(found.above[threshold][0, 0]) - bound

        if over(low) > 0 or over(high) < 0:
            return float("nan")
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if over(middle) < 0 else (low, middle)
        return float(np.exp((low + high) / 2))

    def predictive(self, data: DoseData, cohort: int) -> pd.DataFrame:
        """Return P(0, 1, … DLTs in the next cohort) for each dose: one column per number."""
        posterior = self.fine(data)
        eta = posterior.grid.log_odds(self.x)
        p, q = expit(eta), expit(-eta)
        out = pd.DataFrame({"dose": self.planned.array})
        for j in range(cohort + 1):
            out[j] = comb(cohort, j) * (p**j * q ** (cohort - j)) @ posterior.density
        out.index = pd.RangeIndex(1, len(out) + 1, name="level")
        return out

    def pymc(
        self, data: DoseData, *, draws: int = 2000, tune: int = 1000, chains: int = 4, seed: int,
        progress: bool = False,
    ) -> BlrmSample:  # fmt: skip
        """Sample the full model by NUTS (PyMC, nutpie), with Monte-Carlo errors.

        Parameters
        ----------
        data : DoseData
        draws, tune, chains : int
            Per chain.
        seed : int
        progress : bool

        Returns
        -------
        BlrmSample
            Draws, and ``table()`` with MCSE and the z of every EWOC decision.
        """
        from cart_pkpd._dose.blrm_sample import sample

        return sample(
            self, data, draws=draws, tune=tune, chains=chains, seed=seed, progress=progress
        )

    def _why(self, data: DoseData, state: State, found: Summary, level: int) -> str:
        low, high = self.intervals
        dose = words.dose(self.planned.doses[level], self.planned.unit)
        target = float(found.between(low, high)[0, level])
        over = float(found.above[high][0, level])
        if self.choice == "largest":
            return f"{dose} is the largest dose (P(DLT rate ≥ {high:g}) = {words.chance(over)})"
        return (
            f"{dose} has the largest P(DLT rate in {low:g}–{high:g}), {words.chance(target)} "
            f"(P(≥ {high:g}) = {words.chance(over)}),"
        )

    def _flags(self, data: DoseData, found: Summary) -> list[str]:
        flags = []
        error = max(self.fine(data).error, _ERROR)
        for rule in self.rules:
            if isinstance(rule, EWOC):
                near = np.abs(found.above[rule.threshold][0] - rule.bound) < 2 * error
                flags += [
                    f"P(DLT rate ≥ {rule.threshold:g}) at {self.planned.text(int(k))} differs from "
                    f"the EWOC bound {rule.bound:g} by less than its numerical error: treat the "
                    "dose as not eligible."
                    for k in np.flatnonzero(near)
                ]
        return flags


@lru_cache(maxsize=8)
def logistic_curve(prior: Prior, x: tuple[float, ...], patients: int) -> Curve:
    """Return the two-parameter logistic curve at x = log(dose / reference) on its grid."""
    g, at = quadrature.grid(prior, patients), np.array(x)
    eta = g.log_odds(at)

    def probability(parameters: Floats) -> Floats:
        return expit(parameters[:, :1] + np.exp(parameters[:, 1:]) * at)

    return Curve(
        g.log_prior, expit(eta), log_expit(eta), log_expit(-eta),
        lru_cache(maxsize=8)(lambda c: g.above(at, c)), np.stack([g.a, g.b], axis=1), probability,
    )  # fmt: skip


@lru_cache(maxsize=16)
def _fine(design: BLRM, data: DoseData) -> Posterior:
    found = design.posterior(data)
    doses, cutoffs = design.planned.array, design.cutoffs()
    for refine in range(1, _REFINE + 1):
        finer = design.posterior(data, refine)
        pair = [p.summary(doses, cutoffs) for p in (found, finer)]
        error = max(
            float(np.abs(pair[0].mean - pair[1].mean).max()),
            *(float(np.abs(pair[0].above[c] - pair[1].above[c]).max()) for c in cutoffs),
        )
        found = replace(found if error < _ERROR else finer, error=error)
        if error < _ERROR:
            break
    return found


@dataclass(frozen=True, eq=False)
class Posterior:
    """Posterior of one trial on a grid.

    Attributes
    ----------
    grid : Grid
    density : ndarray, shape (G,)
        Sums to 1.
    reference : float
        Dose at which x is 0.
    error : float
        Change of the probabilities at the last refinement; NaN if not tried.
    """

    grid: quadrature.Grid
    density: Floats
    reference: float
    error: float = float("nan")

    def _x(self, doses: Floats) -> Floats:
        return np.log(np.asarray(doses, dtype=float) / self.reference)

    def summary(self, doses: Floats, cutoffs: tuple[float, ...]) -> Summary:
        """Return means and exceedances at doses, shapes (1, len(doses))."""
        x = self._x(doses)
        columns = quadrature.functionals(self.grid, x, cutoffs)
        out = (self.density @ columns).reshape(1 + len(cutoffs), 1, x.size)
        a, b = self.density @ self.grid.a, self.density @ self.grid.b
        above = {c: np.clip(out[i + 1], 0, 1) for i, c in enumerate(cutoffs)}
        return Summary(out[0], expit(a + np.exp(b) * x)[None], above)

    def sd(self, doses: Floats) -> Floats:
        """Return the posterior standard deviation of the DLT probability at doses."""
        p = expit(self.grid.log_odds(self._x(doses)))
        mean = p @ self.density
        return np.sqrt((p - mean[:, None]) ** 2 @ self.density)

    def quantiles(self, doses: Floats, probs: Sequence[float]) -> Floats:
        """Return quantiles of the DLT probability, shape (len(probs), len(doses)).

        The weighted sample of nodes gives a start; the exact distribution function is then
        inverted by secants.
        """
        kept = self.density > 1e-12 * self.density.max()
        g, w = self.grid, self.density[kept]
        part = quadrature.Grid(g.a[kept], g.b[kept], g.log_prior[kept], g.step)
        x = self._x(doses)
        eta = part.log_odds(x)
        order = np.argsort(eta, axis=1)
        ranked = np.take_along_axis(eta, order, axis=1)
        mass = np.cumsum(w[order], axis=1) - w[order] / 2

        def below(at: Floats) -> Floats:
            nodes = at[:, None] - part.beta * x[:, None]
            return 1 - quadrature.step_weights(nodes, part.a, part.step) @ w

        out = []
        for prob in probs:
            at = np.array([np.interp(prob, m, r) for m, r in zip(mass, ranked, strict=True)])
            last, f_last = at + 0.02, below(at + 0.02) - prob
            for _ in range(6):
                f = below(at) - prob
                slope = (f_last - f) / np.where(last == at, 1.0, last - at)
                step = np.where(np.abs(slope) > 1e-9, f / np.where(slope == 0, 1.0, slope), 0.0)
                last, f_last, at = at, f, at - np.clip(step, -0.5, 0.5)
                if np.abs(f).max() < 1e-9:
                    break
            out.append(expit(at))
        return np.array(out)
