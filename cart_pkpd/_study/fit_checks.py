"""What a study's report shows beside each fit: every check, or why there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cart_pkpd._core.errors import CartError
from cart_pkpd._study.runfile import Checks

_FEWEST, _MOST = 4, 6
_TAKEN = {
    "predictions": ("prob", "n_draws"),
    "vpc": ("prob", "n_sims", "by"),
    "corrected": ("prob", "n_sims", "n_draws", "by"),
    "residuals": ("n_draws", "n_sims"),
    "etas": ("prob",),
    "sensitivity": ("threshold",),
    "exposure": ("prob", "n_draws"),
}
"""Which keys of [checks] each check takes."""


@dataclass
class Made:
    """Checks by the name of their field in ``report.Fit``, and why others are not there."""

    found: dict[str, Any] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


def options(spec: Checks, check: str) -> dict[str, Any]:
    """Return what the run file says to one check."""
    given = spec.given()
    return {key: given[key] for key in _TAKEN[check] if key in given}


def of(result: Any, spec: Checks, seed: int) -> Made:
    """Return the checks of one fit; a check that refuses leaves a sentence."""
    from cart_pkpd import checks

    made = Made()
    each: dict[str, Callable[..., Any]] = {
        "predictions": checks.predictions,
        "vpc": checks.vpc,
        "corrected": _corrected,
        "residuals": checks.residuals,
    }
    for name, check in each.items():
        _try(made, spec, name, lambda check=check, **given: tuple(
            check(result, endpoint=e, seed=seed, **given) for e in result.endpoints
        ))  # fmt: skip
    _try(made, spec, "etas", lambda **given: checks.etas(result, **given))
    _try(made, spec, "sensitivity", lambda **given: checks.prior_sensitivity(result, **given))
    return made


def _try(made: Made, spec: Checks, name: str, check: Callable[..., Any]) -> None:
    if name in spec.skip:
        return
    try:
        made.found[name] = check(**options(spec, name))
    except CartError as error:
        made.missing.append(f"{name[:1].upper()}{name[1:]} left out: {error}")


def _corrected(result: Any, **given: Any) -> Any:
    from cart_pkpd import checks

    if "by" not in given and (by := strata(result)):
        given["by"] = by
    return checks.vpc(result, prediction_corrected=True, **given)


def strata(result: Any) -> str | None:
    """Return "dose_level" where there are several and each has enough patients to say something."""
    import numpy as np

    design = getattr(getattr(result, "structure", None), "design", None)
    if design is None or "dose_level" not in design.subjects:
        return None
    _, n = np.unique(design.subjects["dose_level"].to_numpy(), return_counts=True)
    return "dose_level" if 2 <= n.size <= _MOST and n.min() >= _FEWEST else None
