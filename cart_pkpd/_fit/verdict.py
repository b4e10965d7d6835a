"""Whether a sampled fit converged: the numbers, and one sentence for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

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
        Largest rank-normalised split R-hat over all sampled quantities (limit 1.01) [1]_.
    worst : str
        The quantity with that R-hat.
    min_ess_bulk, min_ess_tail : float
        Smallest effective sample sizes (limit 400) [1]_.
    divergences : int
        Divergent transitions after warm-up (limit 0) [2]_.
    min_ebfmi : float
        Smallest energy Bayesian fraction of missing information of a chain (limit 0.3) [3]_.
    max_depth_share : float
        Share of draws that reached the largest tree (limit 5 %; a matter of efficiency, for which
        no limit is published).
    worst_bulk, worst_tail : str
        The quantities with those effective sample sizes.
    ebfmi : tuple of float
        Energy Bayesian fraction of missing information of each chain.
    max_depth : int
        Depth of the largest tree that was grown; 0 where the sampler did not say.
    unsolved : int
        Divergent transitions at which the density was not a number, as where equations have no
        solution; they are among `divergences`.
    unsolved_evaluations : int
        How often the equations of a patient had no solution, warm-up and rejected steps included.

    References
    ----------
    .. [1] Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), Bayesian Analysis 16:667.
    .. [2] Betancourt (2017), arXiv:1701.02434.
    .. [3] Betancourt (2016), arXiv:1604.00695; the limit is that of Stan's diagnostics.
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
    worst_bulk: str = ""
    worst_tail: str = ""
    ebfmi: tuple[float, ...] = ()
    max_depth: int = 0
    unsolved: int = 0
    unsolved_evaluations: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "ebfmi", tuple(self.ebfmi))  # files hold lists

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for files."""
        return asdict(self)

    def criteria(self) -> pd.DataFrame:
        """Return every criterion as a table.

        Returns
        -------
        pandas.DataFrame
            Indexed by criterion: label, value, limit (in words), met, where (the quantity or
            chain that decides) and source.
        """
        numbers = asdict(self)
        rows = {
            c.key: {
                "label": c.label,
                "value": numbers[c.key],
                "limit": c.limit,
                "met": c.met(numbers[c.key]),
                "where": c.where(numbers),
                "source": c.source,
            }
            for c in CRITERIA.values()
        }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("criterion")


def _nowhere(_: Mapping[str, Any]) -> str:
    return ""


def _chain(numbers: Mapping[str, Any]) -> str:
    return f"chain {int(np.argmin(numbers['ebfmi'])) + 1}" if numbers["ebfmi"] else ""


def _not_solved(numbers: Mapping[str, Any]) -> str:
    n = numbers["unsolved"]
    return f"{n} of them where the density was not a number" if n else ""


@dataclass(frozen=True)
class Criterion:
    """One number that must keep a limit: its key in `Verdict`, in words, and whose limit it is."""

    key: str
    label: str
    limit: str
    met: Callable[[float], bool]
    said: Callable[[Mapping[str, Any]], str]
    source: str
    where: Callable[[Mapping[str, Any]], str] = _nowhere


_VEHTARI = "Vehtari et al. (2021)"
CRITERIA: Mapping[str, Criterion] = MappingProxyType(
    {
        c.key: c
        for c in (
            Criterion(
                "max_rhat", "Largest R-hat", f"below {MAX_RHAT}", lambda v: v < MAX_RHAT,
                lambda n: f"R-hat up to {n['max_rhat']:.3f} for {n['worst']} (limit {MAX_RHAT})",
                _VEHTARI, lambda n: n["worst"],
            ),
            Criterion(
                "min_ess_bulk", "Smallest bulk ESS", f"{MIN_ESS:.0f} or more",
                lambda v: v >= MIN_ESS, lambda n: _ess(n, "bulk"), _VEHTARI,
                lambda n: n["worst_bulk"],
            ),
            Criterion(
                "min_ess_tail", "Smallest tail ESS", f"{MIN_ESS:.0f} or more",
                lambda v: v >= MIN_ESS, lambda n: _ess(n, "tail"), _VEHTARI,
                lambda n: n["worst_tail"],
            ),
            Criterion(
                "divergences", "Divergent transitions", "0", lambda v: v == 0,
                lambda n: _counted(n), "Betancourt (2017)", _not_solved,
            ),
            Criterion(
                "min_ebfmi", "Smallest E-BFMI of a chain", f"{MIN_EBFMI} or more",
                lambda v: v >= MIN_EBFMI,
                lambda n: f"E-BFMI down to {n['min_ebfmi']:.2f}{_in(_chain(n))} "
                f"(limit {MIN_EBFMI})",
                "Betancourt (2016), Stan", _chain,
            ),
            Criterion(
                "max_depth_share", "Share of draws at the largest tree depth",
                f"at most {MAX_DEPTH_SHARE:.0%}", lambda v: v <= MAX_DEPTH_SHARE,
                lambda n: f"{n['max_depth_share']:.0%} of draws at the largest tree depth "
                f"(limit {MAX_DEPTH_SHARE:.0%})",
                "chosen here: a matter of efficiency",
            ),
        )
    }
)  # fmt: skip
"""What a fit has to meet. Limits that are NaN are not met."""


def _ess(n: Mapping[str, Any], kind: str) -> str:
    where = n[f"worst_{kind}"]
    said = f"{kind} effective sample size down to {n[f'min_ess_{kind}']:.0f}"
    return f"{said}{f' for {where}' if where else ''} (limit {MIN_ESS:.0f})"


def _in(where: str) -> str:
    return f" in {where}" if where else ""


def _counted(n: Mapping[str, Any]) -> str:
    plural = "" if n["divergences"] == 1 else "s"
    why = _not_solved(n)
    return f"{n['divergences']} divergent transition{plural}{f' ({why})' if why else ''}"


def judge(posterior: xr.Dataset, stats: xr.Dataset, unsolved_evaluations: int = 0) -> Verdict:
    """Return the verdict on sampled variables and sampler statistics.

    Parameters
    ----------
    posterior : xr.Dataset
        Every sampled quantity, dims chain, draw and any other.
    stats : xr.Dataset
        ``diverging``, ``energy`` and ``maxdepth_reached`` of each draw; ``depth`` and
        ``divergence_energy_error`` where the sampler has them.
    unsolved_evaluations : int
        How often a patient's equations had no solution.
    """
    worst, max_rhat = _largest(az.rhat(posterior))
    bulk, min_bulk = _smallest(az.ess(posterior, method="bulk"))
    tail, min_tail = _smallest(az.ess(posterior, method="tail"))
    ebfmi = _ebfmi(stats["energy"].transpose("chain", "draw").to_numpy())
    numbers: dict[str, Any] = {
        "max_rhat": max_rhat,
        "worst": worst,
        "min_ess_bulk": min_bulk,
        "min_ess_tail": min_tail,
        "divergences": int(stats["diverging"].sum()),
        "min_ebfmi": float(np.min(ebfmi)),
        "max_depth_share": float(stats["maxdepth_reached"].mean()),
        "worst_bulk": bulk,
        "worst_tail": tail,
        "ebfmi": tuple(ebfmi.tolist()),
        "max_depth": int(stats["depth"].max()) if "depth" in stats else 0,
        "unsolved": _unsolved(stats),
        "unsolved_evaluations": unsolved_evaluations,
    }
    failed = [c.said(numbers) for c in CRITERIA.values() if not c.met(numbers[c.key])]
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


def _smallest(values: xr.Dataset) -> tuple[str, float]:
    low = {str(name): float(array.min(skipna=False)) for name, array in values.data_vars.items()}
    known = {name: v if np.isfinite(v) else 0.0 for name, v in low.items()}
    name = min(known, key=lambda n: known[n])
    return name, known[name]


def _ebfmi(energy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the E-BFMI of each chain (Betancourt 2016, arXiv:1604.00695), NaN if it never moved.

    The mean squared change from draw to draw over the variance; 2 for independent draws.
    """
    change = np.mean(np.diff(energy, axis=1) ** 2, axis=1)
    spread = np.var(energy, axis=1)
    return np.divide(change, spread, out=np.full(spread.shape, np.nan), where=spread > 0)


def _unsolved(stats: xr.Dataset) -> int:
    """Return how many divergent transitions have no error of the energy: no density there."""
    if "divergence_energy_error" not in stats:
        return 0
    return int((stats["diverging"] & ~np.isfinite(stats["divergence_energy_error"])).sum())


def _sentence(n: Mapping[str, Any], failed: list[str]) -> str:
    if failed:
        return "Not converged: " + "; ".join(failed) + "."
    return (
        f"Converged: R-hat at most {n['max_rhat']:.3f}, effective sample size at least "
        f"{min(n['min_ess_bulk'], n['min_ess_tail']):.0f}, no divergent transitions, E-BFMI at "
        f"least {n['min_ebfmi']:.2f}."
    )
