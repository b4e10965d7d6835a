"""Whether a sampled fit converged: the numbers, and one sentence for people."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import arviz as az
import numpy as np
import xarray as xr

MAX_RHAT = 1.01
MIN_ESS = 400.0
MIN_EBFMI = 0.3
MAX_DEPTH_SHARE = 0.05


@dataclass(frozen=True)
class Verdict:
    """Convergence of one fit.

    Attributes
    ----------
    ok : bool
        All criteria are met.
    sentence : str
        For people: what holds or what failed.
    max_rhat : float
        Largest rank-normalised split R-hat over all sampled quantities (limit 1.01).
    worst : str
        The quantity with that R-hat.
    min_ess_bulk, min_ess_tail : float
        Smallest effective sample sizes (limit 400).
    divergences : int
        Divergent transitions after warm-up (limit 0).
    min_ebfmi : float
        Smallest energy Bayesian fraction of missing information of a chain (limit 0.3).
    max_depth_share : float
        Share of draws that reached the largest tree (limit 5 %).

    Notes
    -----
    Limits follow Vehtari et al. (2021), Bayesian Analysis 16:667.
    """

    ok: bool
    sentence: str
    max_rhat: float
    worst: str
    min_ess_bulk: float
    min_ess_tail: float
    divergences: int
    min_ebfmi: float
    max_depth_share: float

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for files."""
        return asdict(self)


def judge(posterior: xr.Dataset, stats: xr.Dataset) -> Verdict:
    """Return the verdict on sampled variables and sampler statistics.

    Parameters
    ----------
    posterior : xr.Dataset
        Every sampled quantity, dims chain, draw and any other.
    stats : xr.Dataset
        ``diverging``, ``energy`` and ``maxdepth_reached`` of each draw.
    """
    rhat = az.rhat(posterior)
    worst, max_rhat = _largest(rhat)
    numbers: dict[str, Any] = {
        "max_rhat": max_rhat,
        "worst": worst,
        "min_ess_bulk": _smallest(az.ess(posterior, method="bulk")),
        "min_ess_tail": _smallest(az.ess(posterior, method="tail")),
        "divergences": int(stats["diverging"].sum()),
        "min_ebfmi": _ebfmi(stats["energy"].to_numpy()),
        "max_depth_share": float(stats["maxdepth_reached"].mean()),
    }
    failed = _failures(numbers)
    return Verdict(ok=not failed, sentence=_sentence(numbers, failed), **numbers)


def _largest(values: xr.Dataset) -> tuple[str, float]:
    name, largest = "", -np.inf
    for variable, array in values.data_vars.items():
        value = float(array.max(skipna=False))
        if not np.isfinite(value):
            return str(variable), np.inf
        if value > largest:
            name, largest = str(variable), value
    return name, largest


def _smallest(values: xr.Dataset) -> float:
    low = [float(array.min(skipna=False)) for array in values.data_vars.values()]
    return float(min(v if np.isfinite(v) else 0.0 for v in low))


def _ebfmi(energy: np.ndarray) -> float:
    """Return the smallest E-BFMI of a chain (Betancourt 2016, arXiv:1604.00695)."""
    change = np.mean(np.diff(energy, axis=1) ** 2, axis=1)
    return float(np.min(change / np.var(energy, axis=1)))


def _failures(n: dict[str, Any]) -> list[str]:
    failed = []
    if not n["max_rhat"] < MAX_RHAT:
        failed.append(f"R-hat up to {n['max_rhat']:.3f} for {n['worst']} (limit {MAX_RHAT})")
    ess = min(n["min_ess_bulk"], n["min_ess_tail"])
    if not ess >= MIN_ESS:
        failed.append(f"effective sample size down to {ess:.0f} (limit {MIN_ESS:.0f})")
    if n["divergences"]:
        failed.append(f"{n['divergences']} divergent transitions")
    if not n["min_ebfmi"] >= MIN_EBFMI:
        failed.append(f"E-BFMI down to {n['min_ebfmi']:.2f} (limit {MIN_EBFMI})")
    if not n["max_depth_share"] <= MAX_DEPTH_SHARE:
        failed.append(f"{n['max_depth_share']:.0%} of draws at the largest tree depth")
    return failed


def _sentence(n: dict[str, Any], failed: list[str]) -> str:
    if failed:
        return "Not converged: " + "; ".join(failed) + "."
    return (
        f"Converged: R-hat at most {n['max_rhat']:.3f}, effective sample size at least "
        f"{min(n['min_ess_bulk'], n['min_ess_tail']):.0f}, no divergent transitions."
    )
