"""The posterior of a layer as one function of a vector: value and gradient.

The likelihoods are compiled once for all layers, so that no new layer waits for a compiler.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._crs.likelihood import PartData
from cart_pkpd._crs.parts import Part, Quantity
from cart_pkpd._stats.priors import density_of

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LayerDensity:
    """Log density of quantities on their free scale (ln of those that are positive).

    Attributes
    ----------
    quantities : tuple of Quantity
        In the order of the vector.
    data : tuple of PartData
        Arrays of the parts.
    with_priors : bool
        Posterior, or likelihood alone.
    """

    quantities: tuple[Quantity, ...]
    data: tuple[PartData, ...]
    with_priors: bool = True
    _kinds: NDArray[np.int64] = field(init=False, repr=False)
    _numbers: Floats = field(init=False, repr=False)
    _positive: NDArray[np.bool_] = field(init=False, repr=False)
    _places: tuple[slice, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        priors = [density_of(q.prior) for q in self.quantities]
        held = {
            "_kinds": np.array([d.form for d in priors]),
            "_numbers": np.array([[d.a, d.b, d.c, d.constant] for d in priors]),
            "_positive": np.array([q.positive for q in self.quantities]),
            "_places": tuple(self._place(d) for d in self.data),
        }
        for name, value in held.items():
            object.__setattr__(self, name, value)

    def _place(self, data: PartData) -> slice:
        """Return where the quantities of a part stand in the vector."""
        first = self.quantities.index(data.part.quantities[0])
        return slice(first, first + len(data.part.quantities))

    def natural(self, points: Floats) -> dict[str, Floats]:
        """Return values by name of points, shape (..., d)."""
        return {
            q.name: np.exp(points[..., i]) if q.positive else points[..., i]
            for i, q in enumerate(self.quantities)
        }

    def free(self, values: Mapping[str, float]) -> Floats:
        """Return the point at natural values."""
        return np.array(
            [math.log(values[q.name]) if q.positive else values[q.name] for q in self.quantities]
        )

    def medians(self) -> Floats:
        """Return the point at the priors' medians."""
        return self.free({q.name: float(q.prior.quantile(0.5)) for q in self.quantities})

    def __call__(self, point: Floats) -> tuple[float, Floats]:
        """Return log density and gradient at a point, shape (d,)."""
        from cart_pkpd._crs.kernels import add_priors

        values = np.where(self._positive, np.exp(np.where(self._positive, point, 0.0)), point)
        gradient, total = np.zeros(point.size), 0.0
        for data, place in zip(self.data, self._places, strict=True):
            total += data.with_slopes(values[place], gradient[place])
        if self.with_priors:
            total += add_priors(self._kinds, self._numbers, self._positive, point, gradient)
        else:
            gradient = np.where(self._positive, gradient * values, gradient)
        return total, gradient


def quantities_of(parts: Sequence[Part]) -> tuple[Quantity, ...]:
    """Return all quantities of the parts, in order."""
    return tuple(q for p in parts for q in p.quantities)
