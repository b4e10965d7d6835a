"""What a model predicts of every record when each patient has values of their own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._engine.expression import as_expression, symbols_of
from cart_pkpd._engine.program import value_symbol
from cart_pkpd._engine.schedule import Schedule
from cart_pkpd._engine.solve import LOWEST, sensitivities
from cart_pkpd._fit.slopes import RTOL
from cart_pkpd._stats.compiled import on_scale, plan_of
from cart_pkpd._stats.population import Structure

type Array = NDArray[np.float64]


@dataclass(eq=False)
class Individuals:
    """Predictions of k patients' records and their derivatives, all in one compiled call.

    Attributes
    ----------
    structure : Structure
        Model and data.
    """

    structure: Structure

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The m parameters that are not fixed."""
        return self.structure.model.estimated

    @cached_property
    def kinked(self) -> tuple[str, ...]:
        """The parameters that move a switch: by them predictions have kinks."""
        model = self.structure.model
        symbols = model.values(**{n: value_symbol(n) for n in model.parameters})
        times = model.switches(symbols)  # type: ignore[attr-defined] # every kind of model has it
        moving = symbols_of(as_expression(t) for t in times)
        return tuple(n for n in self.names if str(value_symbol(n).value) in moving)

    @cached_property
    def _plan(self) -> tuple[Schedule, Array, NDArray[np.bool_]]:
        plan, base = plan_of(self.structure)
        wants_log = np.array(self.structure.log)[self.structure.design.measure]
        return plan, base, wants_log[plan.order]

    def natural(self, free: Array) -> Array:
        """Return parameters on the natural scale, shape (..., m)."""
        parameters = self.structure.model.parameters
        with np.errstate(over="ignore"):  # a search may try anything; such levels are refused
            columns = [parameters[n].to_natural(free[..., i]) for i, n in enumerate(self.names)]
        return np.stack(columns, axis=-1) if columns else np.empty_like(free)

    def slopes(self, natural: Array) -> Array:
        """Return d natural / d free, shape (..., m)."""
        parameters, out = self.structure.model.parameters, np.ones_like(natural)
        for i, name in enumerate(self.names):
            x, scale = natural[..., i], parameters[name].scale
            if scale != "identity":
                out[..., i] = x * (1.0 - x) if scale == "logit" else x
        return out

    def __call__(self, free: Array, only: NDArray[np.bool_] | None = None) -> tuple[Array, Array]:
        """Return predictions (n,) on their errors' scales and derivatives (n, m), free scale.

        Parameters
        ----------
        free : ndarray, shape (k, m)
            Every patient's parameters, free scale.
        only : ndarray of bool, shape (k,), optional
            Patients of interest; the others' records are NaN.
        """
        plan, base, wants_log = self._plan
        program = self.structure.model.program
        natural = self.natural(free)
        base[:, program.columns(self.names)] = natural
        # By every parameter, so that holding another one needs no compilation.
        level, by_all, _ = sensitivities(
            program, program.parameters, base, plan, rtol=RTOL, only=only
        )
        f, by = on_scale(program, wants_log, level, by_all[:, program.columns(self.names)])
        if not program.observe_log:  # a level of 0 counts as the lowest there is, and stays so
            by[wants_log & (level <= LOWEST)] = 0.0
        out, slopes = np.empty_like(f), np.empty_like(by)
        out[plan.order], slopes[plan.order] = f, by
        return out, slopes * self.slopes(natural)[self.structure.design.patient]
