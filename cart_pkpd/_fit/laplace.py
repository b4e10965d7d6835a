"""One marginal likelihood fit from declaration and data to result."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd import __version__
from cart_pkpd._core.errors import FitError
from cart_pkpd._fit.climb import Optimum, climb, told
from cart_pkpd._fit.draws import record_coords
from cart_pkpd._fit.laplace_result import LaplaceResult
from cart_pkpd._fit.laplace_verdict import TOO_WIDE, LaplaceVerdict, judged, said_of
from cart_pkpd._fit.marginal import LAPLACE, Marginal
from cart_pkpd._fit.start import starting_values
from cart_pkpd._stats.design import QUANTIFIED
from cart_pkpd._stats.error import NORMAL
from cart_pkpd._stats.population import Structure
from cart_pkpd._stats.predict import predict

_VERSIONED = ("numpy", "scipy", "xarray", "numba")

type Array = NDArray[np.float64]


def fit_structure(
    structure: Structure,
    *,
    label: str,
    source: dict[str, Any],
    method: str,
    starts: int,
    seed: int,
    iterations: int,
    initial: Mapping[str, float] | None = None,
) -> LaplaceResult:
    """Maximise the marginal likelihood of `structure` and return the finished result.

    `initial` has coordinates by name where one more search begins, before the others.

    Raises
    ------
    FitError
        For a mixture of non-expanders, second derivatives that do not exist, or data without
        a likelihood at the start.
    """
    _check(structure)
    begun = time.perf_counter()
    marginal = Marginal(structure, method, starting_values(structure))
    _check_kinks(marginal)
    first = None if initial is None else _begun_at(marginal, initial)
    optimum = climb(marginal, starts=starts, seed=seed, iterations=iterations, first=first)
    spread = _spread(marginal, optimum)
    return LaplaceResult(
        label=label,
        structure=structure,
        tree=_tree(marginal, optimum, spread),
        verdict=_verdict(marginal, optimum, spread, iterations),
        provenance={
            **source,
            "method": method,
            "starts": starts,
            "seed": seed,
            "iterations": optimum.iterations,
            "ofv_of_starts": [v if np.isfinite(v) else None for v in optimum.starts],
            "seconds": round(time.perf_counter() - begun, 3),
            "python": platform.python_version(),
            "versions": {"cart_pkpd": __version__, **{p: version(p) for p in _VERSIONED}},
        },
    )


def _begun_at(marginal: Marginal, initial: Mapping[str, float]) -> Array:
    """Return the coordinates of an earlier fit; where it has none, those of the start."""
    x = marginal.at_start()
    for i, name in enumerate(marginal.coordinates):
        x[i] = initial.get(name, x[i])
    return x


def _check(structure: Structure) -> None:
    if structure.population.non_expanders:
        raise FitError(
            "a mixture with non-expanders has no single mode per patient, which this fit is "
            "built on; leave non_expanders out, or use fit.bayes."
        )


def _check_kinks(marginal: Marginal) -> None:
    moved = [n for n in marginal.individuals.kinked if n in marginal.structure.random.names]
    if marginal.method == LAPLACE and moved:
        model = marginal.structure.model
        raise FitError(
            f"{moved[0]} moves a switch of {type(model).__name__} and varies between patients: "
            "predictions have kinks there and no second derivatives; use method='foce'."
        )


@dataclass(frozen=True, eq=False)
class _Spread:
    """Covariances of the coordinates, NaN by those held or of which the curvature says nothing.

    `apart` names what cannot be told apart, and `wide` what has no useful error.
    """

    hessian: Array
    sandwich: Array
    left: float
    condition: float
    apart: tuple[tuple[str, ...], ...]
    wide: tuple[str, ...]

    def reason(self, name: str) -> str:
        """Return why a quantity has no error."""
        if name in self.wide:
            return TOO_WIDE
        return next((said_of(group) for group in self.apart if name in group), "")


def _spread(marginal: Marginal, optimum: Optimum) -> _Spread:
    """Return covariances from the curvature, and from curvature and patients' scores.

    With R half the second derivatives of -2 ln L and S the sum of outer products of the
    patients' scores: R⁻¹, and R⁻¹ S R⁻¹ (Huber 1967; NONMEM's default). One patient's score
    is 0 at the optimum and tells nothing of its scatter.
    """
    found, names = told(marginal, optimum), marginal.coordinates
    known = np.flatnonzero(np.isfinite(np.diag(found.covariance)))
    inverse = found.covariance[np.ix_(known, known)]
    scores = optimum.at.gradient[:, known] / 2.0
    gradient = scores.sum(axis=0)
    sizes = np.sqrt(np.diag(inverse))
    eigenvalues = np.linalg.eigvalsh(inverse / np.outer(sizes, sizes))
    robust = inverse @ scores.T @ scores @ inverse if len(scores) > 1 else inverse * np.nan
    whole = known.size > 0 and not found.flat
    return _Spread(
        hessian=found.covariance,
        sandwich=_placed(robust, known, optimum.x.size),
        left=float(gradient @ inverse @ gradient) if whole else np.nan,
        condition=float(eigenvalues[-1] / eigenvalues[0]) if whole else np.nan,
        apart=tuple(tuple(names[i] for i in group) for group in found.flat),
        wide=tuple(names[i] for i in found.wide),
    )


def _placed(block: Array, rows: NDArray[np.int64], d: int) -> Array:
    out = np.full((d, d), np.nan)
    out[np.ix_(rows, rows)] = block
    return out


def _verdict(
    marginal: Marginal, optimum: Optimum, spread: _Spread, iterations: int
) -> LaplaceVerdict:
    ids, at = marginal.structure.design.ids, optimum.at
    return judged(
        left=spread.left,
        positive_definite=bool(np.isfinite(spread.left)),
        condition_number=spread.condition,
        at_zero=_held(marginal, optimum, correlations=False),
        at_limit=_held(marginal, optimum, correlations=True),
        unresolved=tuple(map(str, ids[at.unresolved])),
        replaced=tuple(map(str, ids[at.replaced])),
        ran_out=optimum.iterations >= iterations,
        apart=spread.apart,
        wide=spread.wide,
    )


def _held(marginal: Marginal, optimum: Optimum, *, correlations: bool) -> tuple[str, ...]:
    """Return what is held: at 0, or correlations at their limit."""
    own, limit = marginal.random.correlations, marginal.at_bound(optimum.x)
    return tuple(
        name
        for name, held, at in zip(marginal.coordinates, optimum.held, limit, strict=True)
        if held and (at if name in own else True) and (name in own) == correlations
    )


def _tree(marginal: Marginal, optimum: Optimum, spread: _Spread) -> xr.DataTree:
    names = list(marginal.coordinates)
    twice = ("quantity", "quantity_")
    estimates = xr.Dataset(
        {
            "coordinate": ("quantity", _shown(marginal, optimum)),
            "gradient": ("quantity", optimum.gradient),
            "held": ("quantity", optimum.held),
            "reason": ("quantity", np.array([spread.reason(n) for n in names], dtype=str)),
            "covariance": (twice, spread.hessian),
            "sandwich": (twice, spread.sandwich),
        },
        coords={"quantity": names, "quantity_": names},
        attrs={
            "ofv": float(optimum.at.value.sum()),
            "ofv_constant": _constant(marginal.structure),
        },
    )
    return xr.DataTree.from_dict(
        {
            "estimates": estimates,
            "individual": _individual(marginal, optimum),
            "records": _records(marginal, optimum),
        }
    )


def _shown(marginal: Marginal, optimum: Optimum) -> Array:
    """Return the coordinates; those held at 0 as the logarithm of 0."""
    return marginal.at_held(optimum.x, optimum.held)


def _constant(structure: Structure) -> float:
    """Return what of -2 ln L is the same for all parameter values.

    n ln 2π of quantified records with a normal error, and for errors on the log scale the
    2 sum ln dv by which a density of the level differs from one of its logarithm.
    """
    design = structure.design
    quantified = design.code == QUANTIFIED
    normal = np.array([e.base is NORMAL for e in structure.errors])[design.measure]
    on_log = np.array(structure.log)[design.measure]
    jacobian = 2.0 * np.log(design.dv[quantified & on_log]).sum()
    return float((quantified & normal).sum() * np.log(2.0 * np.pi) + jacobian)


def _individual(marginal: Marginal, optimum: Optimum) -> xr.Dataset:
    structure, p, at = marginal.structure, marginal.point(optimum.x), optimum.at
    free = marginal.free(p, at.z)
    natural = marginal.individuals.natural(free)
    parameters, varying = structure.model.parameters, list(structure.random.names)
    out: dict[str, Any] = {
        n: ("id", natural[:, i], {"units": parameters[n].unit, "long_name": parameters[n].about})
        for i, n in enumerate(marginal.names)
    }
    out["eta"] = (("id", "varying"), at.z @ p.root.T, {"long_name": "deviation, free scale"})
    out["eta_covariance"] = (("id", "varying", "varying_"), at.covariance)
    out["ofv"] = ("id", at.value, {"long_name": "share of -2 ln L"})
    ids = structure.design.ids
    return xr.Dataset(out, coords={"id": ids, "varying": varying, "varying_": varying})


def _records(marginal: Marginal, optimum: Optimum) -> xr.Dataset:
    """Return every record with what is predicted of it, for the patient and the population."""
    structure, p, design = marginal.structure, marginal.point(optimum.x), marginal.structure.design
    no_log = (False,) * len(design.measures)

    def level(z: Array) -> Array:
        natural = marginal.individuals.natural(marginal.free(p, z))
        values = {n: natural[:, i] for i, n in enumerate(marginal.names)}
        return predict(structure.model, design, values, log=no_log)

    out = {
        "dv": design.dv,
        "pred": level(np.zeros_like(optimum.at.z)),
        "ipred": level(optimum.at.z),
    }
    out["iwres"] = _iwres(marginal, optimum)
    words = {"pred": "population prediction", "ipred": "individual prediction"}
    words |= {"dv": "measurement", "iwres": "individual weighted residual"}
    data = {k: ("obs", v, {"long_name": words[k]}) for k, v in out.items()}
    return xr.Dataset(data).assign_coords(record_coords(design))


def _iwres(marginal: Marginal, optimum: Optimum) -> Array:
    """Return (measured - predicted) / SD on the error's scale; NaN for censored records."""
    structure, p, design = marginal.structure, marginal.point(optimum.x), marginal.structure.design
    f = marginal.state(p, optimum.at.z).f
    own = structure.sigmas(dict(zip(marginal.terms.names, p.sigma, strict=True)))
    out = np.full(design.n_obs, np.nan)
    for m, (error, sigmas) in enumerate(zip(structure.errors, own, strict=True)):
        rows = (design.measure == m) & (design.code == QUANTIFIED)
        out[rows] = error.z(design.dv[rows], f[rows], sigmas)
    return out
