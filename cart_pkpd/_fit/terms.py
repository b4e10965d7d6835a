"""The log-likelihood of records, with its derivatives by prediction and residual parameters.

Derivatives come from the formulas of the residual errors, so that censored records and errors
that grow with the level need no care here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._engine.expression import (
    Expression,
    as_expression,
    derivative,
    evaluate,
    symbol,
)
from cart_pkpd._stats.design import QUANTIFIED
from cart_pkpd._stats.error import STUDENT_T4, ErrorModel
from cart_pkpd._stats.likelihood import record_loglik
from cart_pkpd._stats.population import Structure
from cart_pkpd.models.math import maximum

type Array = NDArray[np.float64]

_DV, _LOW, _F = symbol("dv"), symbol("low"), symbol("f")
_OF_NORMAL = (1.0, 2.0)
# Fisher information of location and of ln scale, per 1/s², of Student's t with 4 degrees of
# freedom: (ν + 1) / (ν + 3) and 2 ν / (ν + 3) (Lange, Little & Taylor 1989, JASA 84:881).
_OF_T4 = (5.0 / 7.0, 8.0 / 7.0)


@dataclass(frozen=True, eq=False)
class Slopes:
    """Log-likelihood l of n records and its derivatives by the prediction f and ln sigma.

    Attributes
    ----------
    l, f, ff, fff : ndarray, shape (n,)
        l and its first three derivatives by f.
    w, w_f : ndarray, shape (n,)
        Information about f, expected for quantified records and observed for censored ones
        (0 where that is negative), and its derivative by f.
    s, fs, ffs, ws : ndarray, shape (n, r)
        Derivatives of l, of its first two derivatives by f, and of w, by the logarithm of each
        residual parameter.
    """

    l: Array  # noqa: E741 - the usual letter
    f: Array
    ff: Array
    fff: Array
    w: Array
    w_f: Array
    s: Array
    fs: Array
    ffs: Array
    ws: Array


@dataclass(frozen=True, eq=False)
class RecordTerms:
    """Formulas of a structure's records.

    Attributes
    ----------
    structure : Structure
        Residual errors and data.
    """

    structure: Structure

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The r residual parameters."""
        return tuple(q.name for q in self.structure.of_role("residual"))

    @cached_property
    def _groups(self) -> list[tuple[NDArray[np.int64], tuple[str, ...], list[Expression]]]:
        """Positions, residual parameters and formulas of the records that share them."""
        design, out = self.structure.design, []
        own = self.structure.sigmas({n: n for n in self.names})
        for m, error in enumerate(self.structure.errors):
            for code in np.unique(design.code[design.measure == m]):
                rows = np.flatnonzero((design.measure == m) & (design.code == code))
                names = tuple(own[m].values())
                out.append((rows, names, _formulas(error, int(code), own[m])))
        return out

    def first(self, prediction: Array, sigma: dict[str, float]) -> tuple[Array, Array]:
        """Return l and its derivative by the prediction, shapes (n,); as for calling."""
        out = np.zeros((2, prediction.size))
        for rows, formulas, values in self._parts(prediction, sigma):
            out[0, rows], out[1, rows] = evaluate(formulas[:2], values)
        return out[0], out[1]

    def _parts(
        self, prediction: Array, sigma: dict[str, float]
    ) -> Iterator[tuple[NDArray[np.int64], list[Expression], dict[str, Any]]]:
        design = self.structure.design
        for rows, _, formulas in self._groups:
            values = {"dv": design.dv[rows], "low": design.low[rows], "f": prediction[rows]}
            yield rows, formulas, {**values, **sigma}

    def __call__(self, prediction: Array, sigma: dict[str, float]) -> Slopes:
        """Return the terms of every record.

        Parameters
        ----------
        prediction : ndarray, shape (n,)
            On the scale of each record's error.
        sigma : dict of str to float
            Residual parameters by name.
        """
        n, r = prediction.size, len(self.names)
        plain = np.zeros((6, n))
        by_sigma = np.zeros((4, n, r))
        parts = self._parts(prediction, sigma)
        for (rows, formulas, values), (_, names, _) in zip(parts, self._groups, strict=True):
            found = evaluate(formulas, values)
            for i in range(6):
                plain[i, rows] = found[i]
            for j, name in enumerate(names):
                column = self.names.index(name)
                for i in range(4):
                    by_sigma[i, rows, column] = found[6 + 4 * j + i] * sigma[name]
        return Slopes(*plain, *by_sigma)


def _formulas(error: ErrorModel, code: int, own: dict[str, str]) -> list[Expression]:
    sigmas = {k: symbol(v) for k, v in own.items()}
    value = as_expression(record_loglik(error, code, _DV, _LOW, _F, sigmas))
    first = derivative(value, _F)
    second = derivative(first, _F)
    information = _expected(error, sigmas) if code == QUANTIFIED else maximum(-second, 0.0)
    out = [value, first, second, derivative(second, _F), information, derivative(information, _F)]
    for s in sigmas.values():
        out += [derivative(e, s) for e in (value, first, second, information)]
    return out


def _expected(error: ErrorModel, sigmas: dict[str, Expression]) -> Expression:
    """Return the Fisher information of a quantified record about its prediction."""
    location, scale = _OF_T4 if error.base is STUDENT_T4 else _OF_NORMAL
    s = as_expression(error.scale(_F, sigmas))
    return as_expression((location + scale * derivative(s, _F) ** 2) / s**2)
