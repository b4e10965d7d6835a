"""The continual reassessment method, and its form with patients still inside the window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.special import expit, log_expit, logit

from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import one_of, positive_int, probability, real, reals
from cart_pkpd._dose import grid as quadrature
from cart_pkpd._dose.blrm import logistic_curve
from cart_pkpd._dose.curves import Curve, summary_of
from cart_pkpd._dose.design import Design
from cart_pkpd._dose.onset import Onset, check_onset, text_of
from cart_pkpd._dose.onset import weight as share_weight
from cart_pkpd._dose.patients import DoseData
from cart_pkpd._dose.priors import BivariateNormal, Prior
from cart_pkpd._dose.rules import Rule
from cart_pkpd._dose.state import Floats, Ints, Mask, State, Summary, state_of

MODELS = ("empiric", "logistic", "logistic2")
_WIDTH, _NODES = 9.0, 60  # of the grid: prior standard deviations, nodes per one of them


def skeleton(halfwidth: float, target: float, nu: int, n: int, *, model: str = "empiric",
             intercept: float = 3.0) -> tuple[float, ...]:  # fmt: skip
    """Return prior guesses of DLT probabilities with a given indifference interval [1]_.

    Parameters
    ----------
    halfwidth : float
        Half the width of the interval of DLT probabilities around the target within which the
        method ends.
    target : float
        Target DLT probability.
    nu : int
        Level, from 1, that is guessed to be the MTD.
    n : int
        Number of levels.
    model : {"empiric", "logistic"}
    intercept : float
        Of the logistic model.

    Returns
    -------
    tuple of float, n
        Rising guesses; that of level `nu` is the target.

    References
    ----------
    .. [1] Lee & Cheung (2009), Clin Trials 6:227.

    Examples
    --------
    >>> [round(p, 2) for p in skeleton(0.05, 0.25, 3, 5)]
    [0.08, 0.15, 0.25, 0.36, 0.46]
    """
    one_of(model, ("empiric", "logistic"), "model")
    if not 0 < real(halfwidth, "the half width") < min(target, 1 - target):
        raise ValueError(f"the half width {halfwidth:g} must keep the interval inside 0 to 1.")
    positive_int(n, "the number of levels")
    if not 1 <= positive_int(nu, "nu") <= n:
        raise ValueError(f"nu is a level from 1 to {n}, not {nu}.")
    if not np.isfinite(intercept):
        raise ValueError(f"the intercept must be a number, not {intercept!r}.")
    link = np.log if model == "empiric" else (lambda p: logit(p) - intercept)
    low, high = link(target - halfwidth), link(target + halfwidth)
    x = link(target) * (high / low) ** (np.arange(n) - (nu - 1))
    p = np.exp(x) if model == "empiric" else expit(x + intercept)
    return tuple(float(v) for v in p)


@dataclass(frozen=True)
class CRM(Design):
    """Continual reassessment method: the dose whose DLT probability is closest to the target [1]_.

    ========= ================================================================================
    empiric   π = s^exp(b), b ~ N(0, sd²), s the skeleton
    logistic  logit π = intercept + exp(b) x, x = logit s − intercept, b ~ N(0, sd²)
    logistic2 logit π = a + exp(b) x, x = (logit s − mean a) / exp(mean b), (a, b) ~ prior
    ========= ================================================================================

    Parameters
    ----------
    skeleton : tuple of float
        Prior guess of the DLT probability at each level, rising.
    target : float
        DLT probability to find.
    sd : float, optional
        Standard deviation of b, for the one-parameter models; the usual variance 1.34 is an sd of
        1.1576.
    model : {"empiric", "logistic", "logistic2"}
    prior : BivariateNormal, optional
        Of (a, b), for logistic2.
    intercept : float
        Of the logistic model.
    estimate : {"plug-in", "mean"}
        Which estimate decides: the curve at the posterior mean of its parameters, or the posterior
        mean of the DLT probability. Tables show both.
    rules : tuple of Rule
        Better joined with ``&``.

    References
    ----------
    .. [1] O'Quigley, Pepe & Fisher (1990), Biometrics 46:33; Cheung (2011), Dose Finding by the
       Continual Reassessment Method, Chapman & Hall.
    """

    skeleton: tuple[float, ...]
    target: float
    sd: float | None = None
    model: Literal["empiric", "logistic", "logistic2"] = "empiric"
    prior: BivariateNormal | None = None
    intercept: float = 3.0
    estimate: Literal["plug-in", "mean"] = "plug-in"
    rules: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        given = reals(self.skeleton, "a skeleton", such_as="(0.05, 0.15, 0.30)")
        object.__setattr__(self, "skeleton", given)
        probability(self.target, "the target")
        one_of(self.model, MODELS, "model")
        one_of(self.estimate, ("plug-in", "mean"), "estimate")
        s = np.array(self.skeleton)
        if not (s.size and np.all(np.diff(s) > 0) and s[0] > 0 and s[-1] < 1):
            raise ValueError(f"a skeleton rises between 0 and 1, unlike {self.skeleton}.")
        if self.model == "logistic2":
            if self.prior is None:
                raise ValueError("the logistic2 model needs prior=BivariateNormal(...) of (a, b).")
        elif self.sd is None or not 0 < real(self.sd, "sd") < np.inf:
            raise ValueError(f"the {self.model} model needs sd=, the standard deviation of b.")
        if not np.isfinite(real(self.intercept, "the intercept")):
            raise ValueError(f"the intercept must be a number, not {self.intercept!r}.")

    @property
    def name(self) -> str:
        return "CRM"

    @property
    def text(self) -> str:
        guess = ", ".join(f"{s:.3g}" for s in self.skeleton)
        prior = self.prior.text if self.prior else f"b ~ N(0, {self.sd:.4g}²)"
        fixed = f", intercept {self.intercept:g}" if self.model == "logistic" else ""
        return (
            f"{self.name}, target {self.target:g}, {self.model} model{fixed}, skeleton {guess}, "
            f"{prior}, decided by the {self.estimate} estimate"
        )

    def _check(self, data: DoseData) -> None:
        if len(data.levels) != len(self.skeleton):
            raise DataError(
                f"the skeleton has {len(self.skeleton)} levels, but the data have "
                f"{len(data.levels)}; give one guess per planned dose."
            )

    def weight(self, share: Floats) -> Floats:
        """Return the weight of pending patients at shares of the window."""
        return share

    def _summary(self, state: State, cutoffs: tuple[float, ...]) -> Summary:
        most = int((state.n + state.waiting).sum(axis=1).max(initial=0))
        curve = _curve(
            self.skeleton, self.model, self.sd, self.intercept, self.prior,
            quadrature.size_for(most),
        )  # fmt: skip
        return summary_of(curve, state, cutoffs, self.weight)

    def _estimate(self, found: Summary) -> Floats:
        return found.plug if self.estimate == "plug-in" else found.mean

    def _choose(self, state: State, found: Summary, eligible: Mask) -> Ints:
        distance = np.where(eligible, np.abs(self._estimate(found) - self.target), np.inf)
        return np.where(eligible.any(axis=1), distance.argmin(axis=1), -1)

    def _select(self, state: State, found: Summary, eligible: Mask) -> Ints:
        return self._choose(state, found, eligible)

    @property
    def _cutoffs(self) -> tuple[float, ...]:
        return (self.target,)

    def _columns(self, data: DoseData, state: State, found: Summary) -> Mapping[str, Any]:
        return {
            "skeleton": self.skeleton,
            "plug_in": found.plug[0],
            "mean": found.mean[0],
            "over": found.above[self.target][0],
        }

    def _why(self, data: DoseData, state: State, found: Summary, level: int) -> str:
        value = float(self._estimate(found)[0, level])
        return (
            f"{data.levels.text(level)} has the {self.estimate} DLT rate "
            f"{value:.3f}, closest to the target {self.target:g}"
        )

    def prior_table(self) -> pd.DataFrame:
        """Return what the prior says of each level before the first patient.

        Returns
        -------
        pandas.DataFrame
            One row per level: skeleton, plug-in and mean DLT probability, P(above the target).
        """
        k = len(self.skeleton)
        found = self._summary(state_of(np.zeros((1, k)), np.zeros((1, k)), -1), self.cutoffs())
        out = pd.DataFrame(
            {
                "skeleton": self.skeleton,
                "plug_in": found.plug[0],
                "mean": found.mean[0],
                "over": found.above[self.target][0],
            },
            index=pd.RangeIndex(1, k + 1, name="level"),
        )
        out.attrs["design"] = self.description
        return out


@dataclass(frozen=True)
class TITECRM(CRM):
    """CRM with patients still inside the window: 1 − w π for one without a DLT so far [1]_.

    Parameters
    ----------
    onset : Onset, optional
        Weight w of follow-up; proportional by default. ``Onset.adaptive`` takes observed days of
        DLTs.

    References
    ----------
    .. [1] Cheung & Chappell (2000), Biometrics 56:1177.
    """

    onset: Onset | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_onset(self.onset)

    @property
    def name(self) -> str:
        return "TITE-CRM"

    @property
    def text(self) -> str:
        late = text_of(self.onset)
        return f"{super().text}; {late}"

    @property
    def uses_follow_up(self) -> bool:
        return True

    def _check(self, data: DoseData) -> None:
        super()._check(data)
        if self.onset is not None:
            self.onset.check_window(data.window)

    def weight(self, share: Floats) -> Floats:
        return share_weight(self.onset, share)


@lru_cache(maxsize=32)
def _curve(
    guess: tuple[float, ...], model: str, sd: float | None, intercept: float, prior: Prior | None,
    patients: int,
) -> Curve:  # fmt: skip
    s = np.array(guess)
    if model == "logistic2":
        assert isinstance(prior, BivariateNormal)
        x = (logit(s) - prior.mean[0]) / np.exp(prior.mean[1])
        return logistic_curve(prior, tuple(x.tolist()), patients)
    assert sd is not None
    fine = max(1.0, np.sqrt(patients / 64))  # narrower posteriors need closer nodes
    b = np.linspace(-_WIDTH * sd, _WIDTH * sd, int(2 * _WIDTH * _NODES * max(sd, 1) * fine) + 1)
    step = float(b[1] - b[0])
    if model == "empiric":
        return _empiric(s, b, step, sd)
    return _logistic(s, b, step, sd, intercept)


def _empiric(s: Floats, b: Floats, step: float, sd: float) -> Curve:
    slope = np.log(s)[:, None]
    log_p = np.exp(b) * slope
    p = np.exp(log_p)

    def above(cutoff: float) -> Floats:
        at = np.log(np.log(cutoff) / slope)  # π ≥ cutoff where b is at most this
        return 1 - quadrature.step_weights(at, b, step)

    def probability(parameters: Floats) -> Floats:
        return np.exp(np.exp(parameters) * slope[:, 0])

    return Curve(
        -0.5 * (b / sd) ** 2, p, log_p, np.log(-np.expm1(log_p)), above, b[:, None], probability
    )


def _logistic(s: Floats, b: Floats, step: float, sd: float, intercept: float) -> Curve:
    x = (logit(s) - intercept)[:, None]
    eta = intercept + np.exp(b) * x

    def above(cutoff: float) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = (logit(cutoff) - intercept) / x
            at = np.log(np.where(ratio > 0, ratio, np.nan))
        right = quadrature.step_weights(np.nan_to_num(at), b, step)
        found = np.where(x < 0, 1 - right, right)
        always = np.where(x == 0, intercept >= logit(cutoff), x > 0)
        return np.where(np.isnan(at), always.astype(float), found)

    def probability(parameters: Floats) -> Floats:
        return expit(intercept + np.exp(parameters) * x[:, 0])

    return Curve(
        -0.5 * (b / sd) ** 2, expit(eta), log_expit(eta), log_expit(-eta), above, b[:, None],
        probability,
    )  # fmt: skip
