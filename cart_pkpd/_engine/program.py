"""A model's equations as expressions: what the code generator works from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from cart_pkpd._engine.expression import (
    Expression,
    derivative,
    directional,
    is_constant,
    substitute,
    symbol,
    symbols_of,
)

TIME = symbol("t")
PIECE = symbol("t_piece")
"""A time inside the current piece: conditions on time are constant between two switches."""


def state_symbol(name: str) -> Expression:
    """Return the symbol of a state."""
    return symbol(f"y_{name}")


def value_symbol(name: str) -> Expression:
    """Return the symbol of a parameter, covariate or input."""
    return symbol(f"p_{name}")


@dataclass(frozen=True, eq=False)
class Program:
    """Equations of one model.

    Attributes
    ----------
    name : str
        For messages and file names.
    states : tuple of str
        Names of the states; empty for a closed form.
    values : tuple of str
        Names of parameters, then covariates, then inputs.
    n_parameters, n_covariates : int
        How many of `values` are parameters and covariates; the rest are inputs.
    endpoints : tuple of str
        What is observed.
    initial, rhs, dose_factor : tuple of Expression
        One per state: value at the start, time derivative, share of an amount that arrives.
    observe : tuple of Expression
        One per endpoint: the level, or its natural log where `observe_log`.
    switches : tuple of Expression
        Times at which the equations jump.
    floors : tuple of float
        Per state: the size below which accuracy does not matter; 0 for none.
    start : float
        Time of the initial state. [day]
    observe_log : bool
        The observation is given as its natural log (closed forms).
    """

    name: str
    states: tuple[str, ...]
    values: tuple[str, ...]
    n_parameters: int
    n_covariates: int
    endpoints: tuple[str, ...]
    initial: tuple[Expression, ...] = ()
    rhs: tuple[Expression, ...] = ()
    dose_factor: tuple[Expression, ...] = ()
    observe: tuple[Expression, ...] = ()
    switches: tuple[Expression, ...] = ()
    floors: tuple[float, ...] = ()
    start: float = 0.0
    observe_log: bool = False
    scales: Mapping[str, tuple[str, float]] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return self.values[: self.n_parameters]

    @property
    def covariates(self) -> tuple[str, ...]:
        """Names of the patient-level constants."""
        return self.values[self.n_parameters : self.n_parameters + self.n_covariates]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the piecewise constant inputs."""
        return self.values[self.n_parameters + self.n_covariates :]

    def columns(self, names: Sequence[str]) -> tuple[int, ...]:
        """Return the positions of `names` among `values`."""
        return tuple(self.values.index(n) for n in names)


def by_piece(roots: Sequence[Expression]) -> list[Expression]:
    """Return the roots with conditions on time asked at a time inside the piece.

    A stage at the very end of a piece would otherwise already see the next one.
    """

    def replace(node: Expression, args: tuple[Expression, ...]) -> Expression | None:
        if node.op not in ("lt", "le") or not depends_on_time(node) or depends_on_state(node):
            return None
        return substitute([node], lambda n, a: PIECE if n is TIME else None)[0]

    return substitute(roots, replace)


def depends_on_time(root: Expression) -> bool:
    """Return True if the formula contains the time."""
    return str(TIME.value) in symbols_of([root])


def depends_on_state(root: Expression) -> bool:
    """Return True if the formula contains a state."""
    return any(s.startswith("y_") for s in symbols_of([root]))


def jacobian(
    roots: Sequence[Expression], by: Sequence[Expression]
) -> dict[tuple[int, int], Expression]:
    """Return the non-zero entries of d roots / d by."""
    entries = {}
    for i, root in enumerate(roots):
        present = symbols_of([root])
        for j, x in enumerate(by):
            if str(x.value) in present:
                entry = derivative(root, x)
                if not is_constant(entry, 0.0):
                    entries[i, j] = entry
    return entries


def along(
    entries: Mapping[tuple[int, int], Expression], direction: Mapping[str, Expression]
) -> dict[tuple[int, int], Expression]:
    """Return the non-zero directional derivatives of the entries."""
    keys = list(entries)
    moved = directional([entries[k] for k in keys], direction)
    return {k: e for k, e in zip(keys, moved, strict=True) if not is_constant(e, 0.0)}
