"""Standard truths of simulated trials: where the target lies, and how steep the curve is there."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import expit, logit

from cart_pkpd._core.validate import one_of, positive_int, probability
from cart_pkpd._dose.trial_scenario import Scenario

STEP = 0.8  # log odds per level: the odds of a DLT rise 2.2-fold
STEEP, FLAT = 2 * STEP, STEP / 3

# Level at which the curve passes through the target (1 is the lowest), and its steepness.
_STANDARD: dict[str, tuple[Callable[[int], float], float]] = {
    "all safe": (lambda k: k + 1, STEP),
    "highest": (lambda k: k, STEP),
    "middle": (lambda k: (k + 1) // 2, STEP),
    "lowest": (lambda k: 1, STEP),
    "all toxic": (lambda k: 0, STEP),
    "steep": (lambda k: (k + 1) // 2, STEEP),
    "flat": (lambda k: (k + 1) // 2, FLAT),
}
NAMES = tuple(_STANDARD)


def standard_rates(name: str, levels: int, target: float) -> tuple[float, ...]:
    """Return the true DLT probabilities of a standard scenario.

    Parameters
    ----------
    name : str
        ``"lowest"``, ``"middle"`` or ``"highest"``: the level whose probability is the target
        (``"middle"`` the lower of two); ``"all safe"`` and ``"all toxic"``: the target would lie
        one level above the highest, or below the lowest; ``"steep"`` and ``"flat"``: as
        ``"middle"``, with twice or a third of the slope.
    levels : int
        Number of dose levels.
    target : float
        DLT probability that the trial seeks.

    Returns
    -------
    tuple of float
        One per level. Log odds rise by 0.8 per level (2.2-fold odds), or 1.6 and 0.27.

    Raises
    ------
    ValueError
        If the name is unknown, or a number is none.

    Examples
    --------
    >>> [round(p, 2) for p in standard_rates("middle", 5, 0.30)]
    [0.08, 0.16, 0.3, 0.49, 0.68]
    """
    one_of(name, NAMES, "standard scenario")
    positive_int(levels, "the number of levels")
    place, slope = _STANDARD[name]
    apart = np.arange(1, levels + 1) - place(levels)
    found = expit(logit(probability(target, "the target")) + slope * apart)
    return tuple(float(p) for p in found)


def standard_scenarios(run: dict[str, Any]) -> dict[str, Scenario]:
    """Return every standard scenario of a trial; see ``dose.standard_scenarios``."""
    levels, target = len(run["levels"]), run.get("target", math.nan)
    return {name: Scenario(p=standard_rates(name, levels, target), **run) for name in NAMES}
