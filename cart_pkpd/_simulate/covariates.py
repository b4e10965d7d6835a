"""Covariates of virtual patients: rows of a table, or distributions with correlations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import did_you_mean, shown
from cart_pkpd._simulate.streams import Floats, Streams, share_below
from cart_pkpd._stats.priors import Prior

_SUM = 1e-9


@dataclass(frozen=True)
class Categorical:
    """Categories with their probabilities.

    Parameters
    ----------
    shares : mapping of str or float to float
        Probability of each; they sum to 1.

    Examples
    --------
    >>> Categorical({"pancreatic": 0.5, "ovarian": 0.3, "mesothelioma": 0.2}).names[0]
    'pancreatic'
    """

    shares: Mapping[Any, float]

    def __post_init__(self) -> None:
        if not isinstance(self.shares, Mapping):
            raise DataError(
                "categories: give the probability of each, such as {'f': 0.6, 'm': 0.4}, not "
                f"{shown(self.shares)}."
            )
        given = np.array([*self.shares.values()], dtype=float)
        if not given.size or not (given >= 0).all() or abs(given.sum() - 1) > _SUM:
            raise DataError(
                f"categories need probabilities that sum to 1, not {shown(dict(self.shares))}."
            )

    @property
    def names(self) -> tuple[Any, ...]:
        """The categories."""
        return tuple(self.shares)

    def quantile(self, p: Any) -> NDArray[Any]:
        """Return the category at each share `p`, in the order given."""
        edges = np.cumsum([*self.shares.values()])[:-1]
        return np.array(self.names)[np.searchsorted(edges, p, side="right")]


@dataclass(frozen=True, eq=False)
class Covariates:
    """Where covariates come from.

    Attributes
    ----------
    table : pandas.DataFrame or None
        Patients whose rows are drawn whole, with replacement.
    marginals : mapping of str to Prior or Categorical
        Distribution of each covariate.
    factor : ndarray, shape (c, c)
        Cholesky factor of the correlations of the marginals' normal scores.
    """

    table: pd.DataFrame | None
    marginals: Mapping[str, Any]
    factor: Floats

    @property
    def names(self) -> tuple[str, ...]:
        """What is drawn."""
        return tuple(self.marginals) if self.table is None else tuple(map(str, self.table))

    def sample(self, streams: Streams, purpose: str = "covariates") -> dict[str, NDArray[Any]]:
        """Return covariates by name, each shape (BLOCK,)."""
        if self.table is not None:
            u = streams.uniform(purpose)
            rows = np.minimum((u * len(self.table)).astype(np.int64), len(self.table) - 1)
            return {str(name): _plain(self.table[name])[rows] for name in self.table}
        if not self.marginals:
            return {}
        z = streams.normal(purpose, len(self.marginals)) @ self.factor.T
        u = share_below(z)
        return {
            name: np.asarray(d.quantile(u[:, i]))
            for i, (name, d) in enumerate(self.marginals.items())
        }


def covariates_of(
    given: Any, correlation: Mapping[tuple[str, str], float] | None = None
) -> Covariates:
    """Return covariates from what a user gives.

    Parameters
    ----------
    given : DataFrame, Dataset, mapping or None
        Patients to draw from (of a Dataset, the variables on dim ``id``); or by name a
        distribution, a `Categorical`, or one number for all.
    correlation : mapping of (str, str) to float, optional
        Of the normal scores of two covariates.

    Raises
    ------
    DataError
        If they cannot be read, or the correlations make no matrix.
    """
    if isinstance(given, xr.Dataset):
        given = _subjects(given)
    if isinstance(given, pd.DataFrame):
        if correlation:
            raise DataError("correlation= is for distributions; rows of a table keep their own.")
        return Covariates(_checked(given), {}, np.zeros((0, 0)))
    if given is not None and not isinstance(given, Mapping):
        raise DataError(
            "covariates: give a table with one row per patient, or distributions by name such as "
            f"{{'weight': simulate.LogNormal(70, 0.2)}}, not {shown(given)}."
        )
    marginals = {str(k): _marginal(str(k), v) for k, v in (given or {}).items()}
    return Covariates(None, marginals, _factor(tuple(marginals), correlation or {}))


def _subjects(trial: xr.Dataset) -> pd.DataFrame:
    own = {str(k): v.to_numpy() for k, v in trial.data_vars.items() if v.dims == ("id",)}
    return pd.DataFrame(own)


def _checked(table: pd.DataFrame) -> pd.DataFrame:
    kept = table.drop(columns=[c for c in ("ID", "id", "dose_level") if c in table])
    if not len(kept):
        raise DataError("covariates: the table has no row to draw from.")
    for name in kept:
        missing = int(kept[name].isna().sum())
        if missing:
            raise DataError(
                f"covariates: {name!r} is missing in {missing} of {len(kept)} rows; fill it in, or "
                "leave the column or the rows out."
            )
    return kept.reset_index(drop=True)


def _plain(column: pd.Series) -> NDArray[Any]:
    if column.dtype.kind in "fiub":
        return column.to_numpy(dtype=float)
    return column.to_numpy().astype(str)


def _marginal(name: str, given: Any) -> Any:
    if isinstance(given, Prior | Categorical):
        return given
    if isinstance(given, int | float | np.number) and np.isfinite(given):
        return Categorical({float(given): 1.0})
    raise DataError(
        f"covariates: {name} needs a distribution such as simulate.LogNormal(70, 0.2), a "
        f"simulate.Categorical or a number, not {shown(given)}."
    )


def _factor(names: tuple[str, ...], correlation: Mapping[tuple[str, str], float]) -> Floats:
    matrix = np.eye(len(names))
    for pair, value in correlation.items():
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise DataError(
                f"correlation: give pairs of names, such as {{('weight', 'age'): 0.3}}, not "
                f"{shown(pair)}."
            )
        for name in pair:
            if name not in names:
                raise DataError(
                    f"correlation: {name!r} is not among the covariates.{did_you_mean(name, names)}"
                    f" There are: {', '.join(names) or 'none'}."
                )
        i, j = (names.index(n) for n in pair)
        if i == j or not -1 < value < 1:
            raise DataError(
                f"correlation of {pair[0]} and {pair[1]} must be of two covariates and lie between "
                f"-1 and 1, not {shown(value)}."
            )
        matrix[i, j] = matrix[j, i] = value
    try:
        return np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        raise DataError(
            "correlation: no patients can have these correlations together (the matrix is not "
            "positive definite); make them smaller."
        ) from None
