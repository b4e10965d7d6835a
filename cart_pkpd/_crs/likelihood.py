r"""Log-likelihoods of the three parts, per patient, with slopes.

Each part is a small frozen class of arrays with the same two methods: ``loglik`` for any number
of draws at once in NumPy, and ``with_slopes`` for one point by compiled code, as samplers and
optimisers need it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._crs.integral import cumulative
from cart_pkpd._crs.parts import Hazard, Logistic, ProportionalOdds, intercepts

Floats = NDArray[np.float64]
Values = Mapping[str, Floats]
_CHUNK = 4_000_000  # numbers worked on at once


def linear(
    part: Logistic | ProportionalOdds | Hazard, values: Values, x: Floats, axes: int
) -> Floats:
    """Return Σ b x without intercept.

    Parameters
    ----------
    part : Logistic, ProportionalOdds or Hazard
        Whose terms these are.
    values : mapping of str to ndarray, shape (s,) or ()
        Coefficients by name.
    x : ndarray, shape (n, p), (n, g, p), or with draws before
        Terms.
    axes : int
        Axes of the result beside that of the draws: 1 for patients, 2 with times.

    Returns
    -------
    ndarray, shape (s, n) or (s, n, g), without s where nothing has draws
    """
    total: Floats = np.zeros(x.shape[:-1])
    for j, term in enumerate(part.terms):
        total = total + _beside(values[f"{part.name}_{term.name}"], axes) * x[..., j]
    return total


def _beside(value: Floats, more: int) -> Floats:
    """Return draws, shape (s,) or (), with `more` axes of length 1 after them."""
    array = np.asarray(value, dtype=float)
    return array.reshape(array.shape + (1,) * more) if array.ndim else array


def softplus(x: Floats) -> Floats:
    """Return ln(1 + e^x)."""
    return np.asarray(np.logaddexp(0.0, x))


def log_odds(part: Logistic, values: Values, x: Floats) -> Floats:
    """Return the log odds of CRS, shape (s, n) or (n,)."""
    return _beside(values["occurrence_intercept"], 1) + linear(part, values, x, 1)


def ln_hazard(part: Hazard, values: Values, x: Floats) -> Floats:
    """Return ln h at every node, shape (s, n, g) or (n, g)."""
    return np.log(_beside(values["onset_h0"], 2)) + linear(part, values, x, 2)


@dataclass(frozen=True, eq=False)
class OccurrenceData:
    """Who had CRS.

    Attributes
    ----------
    part : Logistic
    rows : ndarray of int, shape (n,)
        Places of the patients among all.
    x : ndarray, shape (n, p)
    y : ndarray, shape (n,)
        1 with CRS.
    """

    part: Logistic
    rows: NDArray[np.int64]
    x: Floats
    y: Floats

    def loglik(self, values: Values) -> Floats:
        """Return the log-likelihood of every patient, shape (s, n) or (n,)."""
        eta = log_odds(self.part, values, self.x)
        return np.asarray(self.y * eta - softplus(eta))

    def with_slopes(self, theta: Floats, slopes: Floats) -> float:
        """Return the sum at one point, and write its slopes, natural scale."""
        from cart_pkpd._crs.kernels import occurrence

        return float(occurrence(theta, self.x, self.y, slopes))


@dataclass(frozen=True, eq=False)
class GradeData:
    """Which grade patients had.

    Attributes
    ----------
    part : ProportionalOdds
    rows : ndarray of int, shape (n,)
    x : ndarray, shape (n, p)
    category : ndarray of int, shape (n,)
        0 for the lowest level of the part.
    """

    part: ProportionalOdds
    rows: NDArray[np.int64]
    x: Floats
    category: NDArray[np.int64]

    def _logits(self, values: Values) -> tuple[Floats, Floats]:
        """Return logit P(at least the own level) and logit P(above it); ±∞ at the ends."""
        a = intercepts(self.part, dict(values))
        ends = (*a.shape[:-1], 1)
        padded = np.concatenate([np.full(ends, np.inf), a, np.full(ends, -np.inf)], axis=-1)
        eta = linear(self.part, values, self.x, 1)
        return padded[..., self.category] + eta, padded[..., self.category + 1] + eta

    def loglik(self, values: Values) -> Floats:
        """Return the log-likelihood of every patient, shape (s, n) or (n,).

        Notes
        -----
        σ(u) − σ(v) = σ(u) σ(−v) (1 − e^(v − u)), which keeps its digits in both tails.
        """
        u, v = self._logits(values)
        gap = np.where(np.isfinite(u) & np.isfinite(v), u - v, np.inf)
        with np.errstate(divide="ignore"):  # two equal thresholds: a level of probability 0
            return np.asarray(-softplus(-u) - softplus(v) + np.log(-np.expm1(-gap)))

    def with_slopes(self, theta: Floats, slopes: Floats) -> float:
        """Return the sum at one point, and write its slopes, natural scale."""
        from cart_pkpd._crs.kernels import grade

        return float(grade(theta, len(self.part.thresholds), self.x, self.category, slopes))


@dataclass(frozen=True, eq=False)
class OnsetData:
    r"""When CRS began.

    Attributes
    ----------
    part : Hazard
    rows : ndarray of int, shape (n,)
    time : ndarray, shape (n, g)
        Each patient's nodes, from entry to onset or the end of the follow-up. [day]
    x : ndarray, shape (n, g, p)
        Terms at the nodes.
    known : ndarray of bool, shape (n,)
        Onset on the last node.
    unknown : ndarray of bool, shape (n,)
        Onset some time up to the last node.
    window_time, window_x : ndarray
        Nodes to the end of the follow-up; used where the part speaks of patients with CRS only.

    Notes
    -----
    With H the integral of h from entry: ln h(t) − H(t) for an onset at t, −H for none,
    ln(1 − e^−H) for one on an unknown day. Given that the onset lies within the window,
    ln(1 − e^−H) of the whole window is subtracted.
    """

    part: Hazard
    rows: NDArray[np.int64]
    time: Floats
    x: Floats
    known: NDArray[np.bool_]
    unknown: NDArray[np.bool_]
    window_time: Floats
    window_x: Floats

    def loglik(self, values: Values) -> Floats:
        """Return the log-likelihood of every patient, shape (s, n) or (n,)."""
        draws = np.ndim(values["onset_h0"])
        if not draws:
            return self._loglik(values)
        size = max(1, _CHUNK // max(1, self.time.size))
        total = np.size(values["onset_h0"])
        pieces = [
            self._loglik({k: np.asarray(v)[i : i + size] for k, v in values.items()})
            for i in range(0, total, size)
        ]
        return np.concatenate(pieces) if pieces else np.zeros((0, self.rows.size))

    def _loglik(self, values: Values) -> Floats:
        eta = ln_hazard(self.part, values, self.x)
        whole = cumulative(eta, self.time)[..., -1]
        out = np.where(self.known, eta[..., -1], 0.0) - np.where(self.unknown, 0.0, whole)
        out = out + np.where(self.unknown, _log_some(whole), 0.0)
        if self.part.among == "crs":
            window = ln_hazard(self.part, values, self.window_x)
            out = out - _log_some(cumulative(window, self.window_time)[..., -1])
        return np.asarray(out)

    def with_slopes(self, theta: Floats, slopes: Floats) -> float:
        """Return the sum at one point, and write its slopes, natural scale."""
        from cart_pkpd._crs.kernels import onset

        return float(
            onset(
                theta, self.time, self.x, self.known, self.unknown, self.part.among == "crs",
                self.window_time, self.window_x, slopes,
            )
        )  # fmt: skip


def _log_some(hazard: Floats) -> Floats:
    """Return ln(1 − e^−H): of at least one event."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(-np.expm1(-hazard)))


PartData = OccurrenceData | GradeData | OnsetData
