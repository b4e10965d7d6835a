"""Probabilities by dose from the chain, averaged over exposure at that dose."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import special

from cart_pkpd._dose.links import Links

type Floats = NDArray[np.float64]
type Draws = Mapping[str, Floats]

_NODES = 41


def _rule() -> tuple[Floats, Floats]:
    """Return nodes and weights of the standard normal (Gauss–Hermite)."""
    nodes, weights = special.roots_hermitenorm(_NODES)
    return nodes, weights / weights.sum()


def expit_mean(mean: Floats, sd: Floats) -> Floats:
    """Return E expit(N(mean, sd)); the arguments broadcast."""
    nodes, weights = _rule()
    mean, sd = np.broadcast_arrays(mean, sd)
    return special.expit(mean[..., None] + sd[..., None] * nodes) @ weights


def relative_exposure(links: Links, draws: Draws, x: Floats) -> Floats:
    """Return ln(typical exposure / E*) at ln(dose / d*) = x, shape (draws, doses)."""
    at = draws["slope"][:, None] * x
    if links.exposure_reference is None:
        return at
    return at + (draws["intercept"] - np.log(links.exposure_reference))[:, None]


def dlt_probability(
    links: Links, draws: Draws, x: Floats, exposure_x: Floats | None = None
) -> Floats:
    """Return P(DLT) averaged over exposure, shape (draws, doses).

    `exposure_x` is the dose that sets the exposure, where it is not that of the direct effect.
    """
    through = relative_exposure(links, draws, x if exposure_x is None else exposure_x)
    mean = (
        draws["dlt_intercept"][:, None]
        + draws["dlt_exposure"][:, None] * through
        + draws["dlt_dose"][:, None] * x
    )
    return expit_mean(mean, (draws["dlt_exposure"] * draws["sigma"])[:, None])


def dlt_at_exposure(links: Links, draws: Draws, x: float, relative: Floats) -> Floats:
    """Return P(DLT) at known ln(E / E*) and one dose, shape (draws, points)."""
    mean = draws["dlt_intercept"] + draws["dlt_dose"] * x
    return special.expit(mean[:, None] + draws["dlt_exposure"][:, None] * relative)


def peak_of(links: Links, draws: Draws, cytokine: str, x: Floats) -> tuple[Floats, Floats]:
    """Return mean (draws, doses) and SD (draws,) of a new patient's ln peak."""
    slope = draws[f"{cytokine}_slope"]
    mean = draws[f"{cytokine}_intercept"][:, None] + slope[:, None] * relative_exposure(
        links, draws, x
    )
    return mean, np.hypot(draws[f"{cytokine}_sigma"], slope * draws["sigma"])


def grade_probability(links: Links, draws: Draws, x: Floats) -> Floats:
    """Return P(CRS grade ≥ k) over exposure and peaks, shape (draws, doses, thresholds)."""
    assert links.grade is not None
    through = draws["grade_exposure"]
    constant, variance = np.zeros_like(through), np.zeros_like(through)
    for term in links.grade.terms:
        c, q = term.variable, draws[links.term_name(term.variable)]
        through = through + q * draws[f"{c}_slope"]
        constant = constant + q * (draws[f"{c}_intercept"] - np.log(float(term.reference)))
        variance = variance + (q * draws[f"{c}_sigma"]) ** 2
    sd = np.sqrt(variance + (through * draws["sigma"]) ** 2)
    mean = constant[:, None] + through[:, None] * relative_exposure(links, draws, x)
    cuts = [draws["grade_intercept"]]
    for k in links.grade.thresholds[1:]:
        cuts.append(cuts[-1] - draws[f"grade_step_{k}"])
    return np.stack([expit_mean(mean + c[:, None], sd[:, None]) for c in cuts], axis=-1)


def prior_draws(links: Links, n: int, seed: int) -> dict[str, Floats]:
    """Return independent draws of every number from its prior; held numbers as they are."""
    from cart_pkpd._stats.priors import Prior

    rng = np.random.default_rng(seed)
    return {
        v.name: v.prior.sample(rng, n) if isinstance(v.prior, Prior) else np.full(n, float(v.prior))
        for v in links.numbers()
    }
