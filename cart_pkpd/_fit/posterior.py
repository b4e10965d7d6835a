"""The posterior of a structure as one function from a vector to its log density and gradient.

The hierarchical part and the model's kernel are compiled code that is kept on disk; a new
population, prior or data set needs no compilation, a new model only that of its equations.
:func:`cart_pkpd._fit.pymc_model.build` says the same as a PyMC model, with which this is
tested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd._engine import forms
from cart_pkpd._engine.compiling import loglik_of, threaded
from cart_pkpd._engine.compiling import posterior as compiled_posterior
from cart_pkpd._engine.grouping import Groups, grouped
from cart_pkpd._fit.start import Start, on_the_line
from cart_pkpd._fit.variables import DEVIATION, INDIVIDUAL, PARTIAL, TYPICAL
from cart_pkpd._stats.compiled import (
    kernel_data,
    kernel_of,
    on_scale,
    plan_of,
)
from cart_pkpd._stats.population import Structure
from cart_pkpd._stats.priors import density_of
from cart_pkpd._stats.quantities import Quantity

_SCALES = {"log": forms.LOG, "logit": forms.LOGIT, "identity": forms.IDENTITY}

type Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Extra:
    """What the patients' parameters say beside the records, such as times to an event.

    Attributes
    ----------
    quantities : tuple of Quantity
        Its own unknowns; they follow those of the structure in a point.
    address : int
        Of the compiled function that adds to the log-likelihood and its derivatives; see
        :mod:`cart_pkpd._engine.hazard`.
    table : ndarray of int
        Counts and addresses of its data.
    held : tuple
        Who owns these data.
    """

    quantities: tuple[Quantity, ...]
    address: int
    table: NDArray[np.int64]
    held: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Posterior:
    """Log density and gradient of one structure.

    Attributes
    ----------
    structure : Structure
        Model, population, data and priors.
    centred : tuple of str
        Varying parameters that are sampled themselves rather than as deviations.
    threads : int
        Patients worked on at the same time.
    extra : Extra, optional
        What else the patients' parameters say.
    """

    structure: Structure
    centred: tuple[str, ...]
    threads: int = 1
    extra: Extra | None = None

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """All unknowns of the population, in the order of a point."""
        return (*self.structure.quantities, *(self.extra.quantities if self.extra else ()))

    @property
    def size(self) -> int:
        """Length of a point: quantities, then k values per varying parameter."""
        structure = self.structure
        k = structure.design.n_patients
        return len(self.quantities) + k * structure.random.size

    def function(self) -> Evaluation:
        """Return the function; several threads may call it at the same time."""
        return Evaluation(self)

    def start(self, at: Start) -> Vector:
        """Return the point at the starting values."""
        structure = self.structure
        scalars = [self._scalar(q, at) for q in self.quantities]
        names = structure.random.names
        white = at.whitened(structure)
        own = [at.individual[n] if n in self.centred else white[i] for i, n in enumerate(names)]
        return np.concatenate([np.array(scalars, dtype=float), *own])

    def _scalar(self, q: Quantity, at: Start) -> float:
        match q.role:
            case "typical":
                parameter = self.structure.model.parameters[q.parameter]
                natural = float(parameter.to_natural(at.typical[q.parameter]))
            case "omega":
                natural = at.omega[q.parameter]
            case "iov":
                natural = at.omega[q.name]
            case "residual":
                natural = at.sigma[q.name]
            case _:
                natural = at.others.get(q.name, float(q.prior.quantile(0.5)))
        return on_the_line(q.prior, natural)

    def variables(self, points: NDArray[np.float64]) -> xr.Dataset:
        """Return named variables of sampled points.

        Parameters
        ----------
        points : ndarray, shape (chains, draws, d)
            The points.

        Returns
        -------
        xr.Dataset
            Population quantities on the natural scale, canonical partial correlations in place
            of correlations, and individual values as sampled.
        """
        structure = self.structure
        k, n_quantities = structure.design.n_patients, len(self.quantities)
        out: dict[str, Any] = {}
        for i, q in enumerate(self.quantities):
            prefix = {"typical": f"{TYPICAL}_", "correlation": f"{PARTIAL}_"}.get(q.role, "")
            name = f"{prefix}{q.name}"
            out[name] = (("chain", "draw"), natural_values(q.prior.bounds, points[..., i]))
        blocks = {
            name: points[..., n_quantities + r * k : n_quantities + (r + 1) * k]
            for r, name in enumerate(structure.random.names)
        }
        apart = [n for n in blocks if n not in self.centred]
        if apart:
            deviations = np.stack([blocks[n] for n in apart], axis=-2)
            out[DEVIATION] = (("chain", "draw", "deviating", "id"), deviations)
        for name in self.centred:
            out[f"{INDIVIDUAL}_{name}"] = (("chain", "draw", "id"), blocks[name])
        coords = {
            "chain": np.arange(points.shape[0]),
            "draw": np.arange(points.shape[1]),
            "id": structure.design.ids,
            **({"deviating": apart} if apart else {}),
        }
        return xr.Dataset(out, coords=coords)


class Evaluation:
    """The log density and gradient at a point, and what happened on the way.

    Attributes
    ----------
    size : int
        Length of a point.
    c_function : Any
        The compiled function; its ``address`` and :attr:`table` are all that a sampler needs.
    table : ndarray of int
        Counts and addresses of the data; see :func:`cart_pkpd._engine.density.posterior`.
    unsolved : ndarray of int, shape (k,)
        How often each patient's equations could not be solved so far.
    """

    def __init__(self, posterior: Posterior) -> None:
        structure = self._structure = posterior.structure
        layout, data = (
            _layout(structure, posterior.quantities, posterior.centred),
            kernel_data(structure, posterior.threads),
        )
        k = structure.design.n_patients
        self._order = plan_of(structure)[0].order
        self.size = posterior.size
        self._loglik = loglik_of(kernel_of(structure))
        self.c_function = compiled_posterior()
        self.unsolved = np.zeros(k, dtype=np.int64)
        arrays = [getattr(layout, f.name) for f in fields(layout)]
        arrays += [*data.values(), self.unsolved]
        # Held here, because the table has only their addresses.
        self._arrays = [np.ascontiguousarray(a) for a in arrays[:-1]] + arrays[-1:]
        self.table = np.zeros(42, dtype=np.int64)
        self.table[:5] = (
            k,
            len(posterior.quantities),
            structure.random.size,
            len(structure.effects),
            structure.design.n_obs,
        )
        self.table[6 : 6 + len(arrays)] = [a.ctypes.data for a in self._arrays]
        self.table[35:37] = len(structure.model.estimated), len(layout.residual)
        self.table[37] = self._loglik.address if posterior.threads == 1 else threaded().address
        self.table[40] = self._loglik.address
        self._groups = _groups(structure, data)
        if self._groups is not None:
            self.table[41] = self._groups[0].ctypes.data
        self._pairs = np.ascontiguousarray(_pairs(structure))
        self.table[38] = self._pairs.ctypes.data
        self._extra = posterior.extra
        if self._extra is not None:
            self.table[5], self.table[39] = self._extra.table.ctypes.data, self._extra.address

    def __call__(self, x: Vector) -> tuple[float, Vector]:
        """Return the log density and its gradient; NaN where an equation has no solution."""
        return self._evaluate(x, self.table)

    def _evaluate(self, x: Vector, table: NDArray[np.int64]) -> tuple[float, Vector]:
        point = np.ascontiguousarray(x, dtype=float)
        gradient, value = np.empty(self.size), np.empty(1)
        self.c_function.ctypes(
            self.size,
            point.ctypes.data,
            gradient.ctypes.data,
            value.ctypes.data,
            table.ctypes.data,
        )
        return float(value[0]), gradient

    def predictions(self, points: NDArray[np.float64], threads: int) -> NDArray[np.float64]:
        """Return what is predicted of every record at many points.

        Parameters
        ----------
        points : ndarray, shape (chains, draws, d)
            Points of the sampler.
        threads : int
            Chains worked on at the same time.

        Returns
        -------
        ndarray, shape (chains, draws, n)
            On the scale of each record's error; NaN where there is no solution.
        """
        out = np.empty((*points.shape[:2], self._structure.design.n_obs))

        def one_chain(chain: int) -> None:
            table = self.table.copy()
            for draw, x in enumerate(points[chain]):
                out[chain, draw] = self._observed(x, table)[0]

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(one_chain, range(points.shape[0])))
        return out

    def _observed(self, x: Vector, table: NDArray[np.int64]) -> tuple[Vector, Vector]:
        n, m = self._structure.design.n_obs, len(self._structure.model.estimated)
        level, slopes = np.empty(n), np.empty((n, m))
        table[33:35] = level.ctypes.data, slopes.ctypes.data
        self._evaluate(x, table)
        level[self._order], slopes[self._order] = level.copy(), slopes.copy()
        s = self._structure
        return on_scale(s.model.program, np.array(s.log)[s.design.measure], level, slopes)

    def linearised(self, x: Vector) -> tuple[Vector, Vector]:
        """Return what is predicted of every record, and how that depends on its patient.

        Returns
        -------
        prediction : ndarray, shape (n,)
            On the scale of each record's error.
        slopes : ndarray, shape (n, m)
            Derivative by the patient's parameters, natural scale.
        """
        return self._observed(x, self.table.copy())


def _groups(
    structure: Structure, data: Mapping[str, NDArray[Any]]
) -> tuple[NDArray[np.int64], Groups] | None:
    """Return records side by side after the addresses of their arrays, None if one by one."""
    if structure.model.program.states:
        return None
    names = ("ob_start", "ob_time", "ob_endpoint", "code", "dv", "low")
    groups = grouped(*(data[n] for n in names))
    arrays = (groups.start, groups.endpoint, groups.codes, groups.given, groups.row)
    return np.array([a.ctypes.data for a in arrays], dtype=np.int64), groups


@dataclass(frozen=True, eq=False)
class _Layout:
    """What a point means, as arrays; see :func:`cart_pkpd._engine.population.assemble`."""

    kinds: NDArray[np.int64]
    bounds: NDArray[np.float64]
    forms: NDArray[np.int64]
    numbers: NDArray[np.float64]
    typical: NDArray[np.int64]
    scales: NDArray[np.int64]
    varying: NDArray[np.int64]
    effects: NDArray[np.int64]
    columns: NDArray[np.float64]
    residual: NDArray[np.int64]
    mixture: NDArray[np.int64]


def _layout(
    structure: Structure, quantities: Sequence[Quantity], centred: Sequence[str]
) -> _Layout:
    model, population = structure.model, structure.population
    names = [q.name for q in quantities]
    estimated = list(model.estimated)
    densities = [density_of(q.prior) for q in quantities]
    k = structure.design.n_patients
    return _Layout(
        kinds=np.array([kind_of(q.prior.bounds) for q in quantities], dtype=np.int64),
        bounds=np.array([q.prior.bounds for q in quantities]).reshape(-1, 2),
        forms=np.array([d.form for d in densities], dtype=np.int64),
        numbers=np.array([[d.a, d.b, d.c, d.constant] for d in densities]).reshape(-1, 4),
        typical=np.array(
            [names.index(n) if n in structure.located else forms.NOWHERE for n in estimated],
            dtype=np.int64,
        ),
        scales=np.array([_SCALES[model.parameters[n].scale] for n in estimated], dtype=np.int64),
        varying=np.array(
            [
                (estimated.index(n), names.index(sd), _way(n, structure, centred))
                for n, sd in zip(structure.random.names, structure.random.sds, strict=True)
            ],
            dtype=np.int64,
        ).reshape(-1, 3),
        effects=np.array(
            [
                (estimated.index(e.parameter), names.index(f"beta_{e.name}"))
                for e in structure.effects
            ],
            dtype=np.int64,
        ).reshape(-1, 2),
        columns=np.array([e.column for e in structure.effects], dtype=float).reshape(-1, k),
        residual=np.array([names.index(q.name) for q in structure.of_role("residual")], dtype=int),
        mixture=np.array(
            [names.index(q) for q in ("p_non_expander", "non_expander_shift")]
            if population.non_expanders
            else [0, 0],
            dtype=np.int64,
        ),
    )


def _way(name: str, structure: Structure, centred: Sequence[str]) -> int:
    if name == structure.population.non_expanders:
        return forms.MIXTURE
    if any(structure.random.names.index(name) in b for b in structure.random.blocks):
        return forms.BLOCK_CENTRED if name in centred else forms.BLOCK_DEVIATION
    return forms.CENTRED if name in centred else forms.DEVIATION


def _pairs(structure: Structure) -> NDArray[np.int64]:
    """Return which quantity is the partial correlation of two effects, -1 for none, (r, r)."""
    names = [q.name for q in structure.quantities]
    places = structure.random.places
    at = np.array([names.index(n) for n in structure.random.correlations], dtype=np.int64)
    return np.where(places >= 0, at[places] if at.size else -1, -1)


def kind_of(bounds: tuple[float, float]) -> int:
    """Return how the sampler moves a quantity with these bounds."""
    low, high = np.isfinite(bounds)
    if low and high:
        return forms.BETWEEN
    if low:
        return forms.ABOVE
    return forms.BELOW if high else forms.UNBOUNDED


def natural_values(bounds: tuple[float, float], u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return natural values of a quantity with these bounds from where the sampler moves it."""
    low, high = bounds
    match kind_of((low, high)):
        case forms.BETWEEN:
            return low + (high - low) / (1.0 + np.exp(-u))
        case forms.ABOVE:
            return low + np.exp(u)
        case forms.BELOW:
            return high - np.exp(u)
    return u
