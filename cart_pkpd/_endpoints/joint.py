r"""Tumour size and survival in one posterior: the hazard follows the tumour model of the patient.

.. math:: h_i(s) = h_0(s) \exp\Big(\sum_j \beta_j x_{ij} + \sum_l \alpha_l L_{il}(s)\Big),\quad
   \int_0^s h_0 = \ln 2 \, (s/m)^{1/\sigma}

where :math:`L` is the ln of the size that the tumour model predicts at that time, of its change
from the infusion, or of a parameter of the model. The integral is taken by Gauss–Legendre
quadrature in :math:`(s/T)^{1/3}`, in which the Weibull hazard is smooth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd import fit
from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import as_seed, one_of, positive_int, probability, shown
from cart_pkpd._crs.parts import Quantity
from cart_pkpd._crs.terms import Term
from cart_pkpd._endpoints.groups import Patients
from cart_pkpd._endpoints.parametric import Survival
from cart_pkpd._endpoints.predictors import Given, beside, columns_of, listed_of, terms_of
from cart_pkpd._endpoints.survival import usable
from cart_pkpd._stats.population import Structure
from cart_pkpd._stats.priors import Normal, Prior

Floats = NDArray[np.float64]
SIZE, CHANGE = "size", "change"
LINK_PRIOR = Normal(0.0, 1.0)  # per factor e: a hazard ratio of 0.3 to 3.2 per doubling in 90 %
_POWER, _NODES = 3, 20

_x, _w = np.polynomial.legendre.leggauss(_NODES)
PLACES = ((_x + 1) / 2) ** _POWER
"""Nodes of the integral over 0 to 1, rising."""
WEIGHTS = _w / 2 * _POWER * ((_x + 1) / 2) ** (_POWER - 1)


@dataclass(frozen=True)
class Link:
    """What of a tumour the hazard follows.

    Attributes
    ----------
    name : str
        ``"size"``, ``"change"`` or a parameter of the model.
    label : str
    reference : float
        Where the ln is 0.
    prior : Prior
        Of the change of the ln hazard per factor e.
    """

    name: str
    label: str
    reference: float
    prior: Prior = LINK_PRIOR

    @property
    def quantity(self) -> Quantity:
        """The coefficient that is estimated."""
        return Quantity(f"link_{self.name}", f"change of ln hazard per factor e of {self.label}",
                        "1", self.prior, "survival")  # fmt: skip


@dataclass(frozen=True, eq=False)
class Joint:
    """A joint model with its data.

    Attributes
    ----------
    structure : Structure
        Tumour model, population and records of k patients.
    links : tuple of Link
    terms : tuple of Term
        Predictors that do not change in time.
    median, scale : Prior
        Of the median time [day] and of σ where all links and predictors are 0.
    rows : ndarray of int, shape (n,)
        Places among the k of those with a time.
    x : ndarray, shape (n, p)
    time : ndarray, shape (n,)
        Of event or censoring, from time zero. [day]
    zero : ndarray, shape (n,)
        Time zero in days since the infusion. [day]
    event : ndarray of bool, shape (n,)
    """

    structure: Structure
    links: tuple[Link, ...]
    terms: tuple[Term, ...]
    median: Prior
    scale: Prior
    rows: NDArray[np.int64]
    x: Floats
    time: Floats
    zero: Floats
    event: NDArray[np.bool_]

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """What is estimated of survival."""
        own = Survival((), "weibull", self.median, self.scale).quantities
        slopes = (
            Quantity(f"survival_{t.name}", f"change of ln hazard per 1 of {t.label}", "1", t.prior,
                     "survival", t)
            for t in self.terms
        )  # fmt: skip
        return (*own, *(link.quantity for link in self.links), *slopes)

    def days(self, until: Floats) -> Floats:
        """Return when the tumour is looked at, shape (n, nodes + 1): nodes, then the end.

        The infusion is the earliest, as a tumour model tells nothing of the time before. [day]
        """
        s = np.column_stack([until[:, None] * PLACES, until])
        return np.maximum(self.zero[:, None] + s, 0.0)


def joint_of(
    structure: Structure,
    tte: pd.DataFrame,
    link: str | Sequence[str],
    predictors: Sequence[Given] | Given,
    patients: Patients | None,
    median: Prior,
    scale: Prior,
) -> tuple[Joint, tuple[str, ...]]:
    """Return the model with its data, and notes on who was not used.

    Raises
    ------
    DataError
        If nobody has both tumour records and a time, or nobody of these an event.
    """
    Survival((), "weibull", median, scale)  # refuses priors that cannot be
    rows, notes = usable(tte)
    ids = structure.design.ids.astype(str).tolist()
    own = rows["id"].astype(str)
    terms: tuple[Term, ...] = ()
    x = np.zeros((len(rows), 0))
    if listed_of(predictors):
        found = beside(own.tolist(), patients, tte)
        terms = terms_of(predictors, found)
        x = columns_of(terms, found)
    there = own.isin(ids).to_numpy() & np.isfinite(x).all(axis=1)
    kept = rows[there].reset_index(drop=True)
    event = kept["event"].to_numpy(bool)
    if not event.any():
        raise DataError("nobody with tumour records and every predictor has an event, so nothing "
                        "links tumours and survival.")  # fmt: skip
    out = own[~there].tolist()
    if out:
        notes = (*notes, f"{len(out)} without tumour records or a predictor left out of survival "
                         f"({', '.join(out)}).")  # fmt: skip
    alone = [i for i in ids if i not in set(kept["id"].astype(str))]
    if alone:
        notes = (*notes, f"{len(alone)} without a time inform the tumour model only "
                         f"({', '.join(alone)}).")  # fmt: skip
    made = Joint(
        structure, _links(structure, link), terms, median, scale,
        np.array([ids.index(str(i)) for i in kept["id"]], dtype=np.int64), x[there],
        kept["time"].to_numpy(float), _zero(kept), event,
    )  # fmt: skip
    n = len(made.links) + len(terms)
    if event.sum() < 5 * n:
        notes = (*notes, f"{int(event.sum())} events for {n} coefficients: priors weigh heavily.")
    return made, notes


def _zero(rows: pd.DataFrame) -> Floats:
    """Return time zero of every row: the landmark, or the day before the start, which is day 1."""
    if "landmark" in rows:
        return rows["landmark"].to_numpy(float)
    if "start_day" in rows:
        return np.asarray(rows["start_day"].astype(float).fillna(0.0) - 1.0)
    return np.full(len(rows), -1.0)


def _links(structure: Structure, given: str | Sequence[str]) -> tuple[Link, ...]:
    listed = (given,) if isinstance(given, str) else given
    if not isinstance(listed, list | tuple) or not listed:
        raise DataError(
            f"link= must be 'size', 'change' or a parameter of the tumour model, not "
            f"{shown(given)}."
        )
    varying = list(structure.population.iiv)
    names = [one_of(n, (SIZE, CHANGE, *varying), "link", error=DataError) for n in listed]
    if len(set(names)) < len(names):
        raise DataError(f"link= names {names[0]!r} twice.")
    return tuple(_link(structure, n) for n in names)


def _link(structure: Structure, name: str) -> Link:
    unit = structure.design.unit
    if name == CHANGE:
        return Link(name, "size relative to that at the infusion", 1.0)
    if name == SIZE:
        seen = structure.design.dv[structure.design.dv > 0]
        middle = float(f"{np.exp(np.log(seen).mean()):.2g}") if seen.size else 1.0
        return Link(name, f"current size over {middle:g} {unit}", middle)
    p = structure.model.parameters[name]
    if p.scale == "identity":
        raise DataError(f"link={name!r} has no logarithm: {name} may be negative. Link 'size', "
                        "'change' or a positive parameter.")  # fmt: skip
    return Link(name, f"{name} over {float(p.typical):g} {p.unit}", float(p.typical))


@dataclass(frozen=True, eq=False)
class Settings:
    """How it is sampled."""

    draws: int
    tune: int
    chains: int
    cores: int | None
    seed: int
    target_accept: float

    def __post_init__(self) -> None:
        for name in ("draws", "tune", "chains"):
            positive_int(getattr(self, name), name)
        if self.cores is not None:
            positive_int(self.cores, "cores")
        as_seed(self.seed)
        probability(self.target_accept, "target_accept")
        if self.chains < 2:
            raise DataError("chains= must be at least 2: convergence is judged between chains.")


def structure_of(model: Any, trial: xr.Dataset, population: Any, endpoint: str) -> Structure:
    """Return the tumour model, population and records joined.

    Raises
    ------
    FitError
        If they do not fit together.
    DataError
        If the trial has no such endpoint, or several are asked for.
    """
    if not isinstance(endpoint, str):
        raise DataError(
            f"endpoint= is the one of tumour size, such as 'sld', not {shown(endpoint)}."
        )
    return fit.structure(model, trial, population, endpoint=endpoint)
