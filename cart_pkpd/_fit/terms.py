"""The log-likelihood of records, with its derivatives by prediction and residual parameters.

Derivatives come from the formulas of the residual errors, so that censored records and errors
that grow with the level need no care here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._engine.expression import (
    FUNCTIONS,
    Expression,
    as_expression,
    derivative,
    symbol,
    topological,
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
class _Group:
    """Records that share an endpoint and a kind of censoring, and their formulas."""

    rows: NDArray[np.int64]
    sigmas: tuple[str, ...]
    known: dict[str, Array]
    first: _Formulas
    formulas: _Formulas


class _Formulas:
    """Formulas with their order of evaluation, which is found once."""

    def __init__(self, roots: Sequence[Expression]) -> None:
        nodes = topological(roots)
        place = {id(n): i for i, n in enumerate(nodes)}
        self._steps = [
            (n.op, n.value, tuple(place[id(a)] for a in n.args), FUNCTIONS.get(n.op)) for n in nodes
        ]
        self._roots = [place[id(r)] for r in roots]

    def __call__(self, values: Mapping[str, Any]) -> list[Any]:
        """Return the formulas' values for those of their symbols."""
        found: list[Any] = []
        with np.errstate(all="ignore"):
            for op, value, places, function in self._steps:
                if function is None:
                    found.append(values[str(value)] if op == "symbol" else value)
                else:
                    found.append(function.evaluate(*[found[i] for i in places]))
        return [found[i] for i in self._roots]


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
    def _groups(self) -> list[_Group]:
        design, out = self.structure.design, []
        own = self.structure.sigmas({n: n for n in self.names})
        for m, error in enumerate(self.structure.errors):
            for code in np.unique(design.code[design.measure == m]):
                rows = np.flatnonzero((design.measure == m) & (design.code == code))
                names = tuple(own[m].values())
                formulas = _formulas(error, int(code), own[m])
                first, all_of_them = _Formulas(formulas[:2]), _Formulas(formulas)
                known = {"dv": design.dv[rows], "low": design.low[rows]}
                out.append(_Group(rows, names, known, first, all_of_them))
        return out

    def first(self, prediction: Array, sigma: dict[str, float]) -> tuple[Array, Array]:
        """Return l and its derivative by the prediction, shapes (n,); as for calling."""
        out = np.zeros((2, prediction.size))
        for g in self._groups:
            out[:, g.rows] = g.first({**g.known, "f": prediction[g.rows], **sigma})
        return out[0], out[1]

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
        for g in self._groups:
            found = g.formulas({**g.known, "f": prediction[g.rows], **sigma})
            for i in range(6):
                plain[i, g.rows] = found[i]
            for j, name in enumerate(g.sigmas):
                column = self.names.index(name)
                for i in range(4):
                    by_sigma[i, g.rows, column] = found[6 + 4 * j + i] * sigma[name]
        return Slopes(*plain, *by_sigma)


def _formulas(error: ErrorModel, code: int, own: dict[str, str]) -> list[Expression]:
    sigmas = {k: symbol(v) for k, v in own.items()}
    value = as_expression(record_loglik(error, code, _DV, _LOW, _F, sigmas))
    first = derivative(value, _F)
    second = derivative(first, _F)
    usual = code == QUANTIFIED and not error.positive
    information = _expected(error, sigmas) if usual else maximum(-second, 0.0)
    out = [value, first, second, derivative(second, _F), information, derivative(information, _F)]
    for s in sigmas.values():
        out += [derivative(e, s) for e in (value, first, second, information)]
    return out


def _expected(error: ErrorModel, sigmas: dict[str, Expression]) -> Expression:
    """Return the Fisher information of a quantified record about its prediction."""
    location, scale = _OF_T4 if error.base is STUDENT_T4 else _OF_NORMAL
    s = as_expression(error.scale(_F, sigmas))
    return as_expression((location + scale * derivative(s, _F) ** 2) / s**2)
