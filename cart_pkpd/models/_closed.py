"""Models whose level is known in closed form."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from cart_pkpd._core.errors import ModelError
from cart_pkpd._core.units import exponents
from cart_pkpd._engine.program import Program
from cart_pkpd._engine.schedule import Schedule, base_values, schedule
from cart_pkpd.models._courses import design_known
from cart_pkpd.models._declare import Model
from cart_pkpd.models._parameters import Parameter
from cart_pkpd.models._simulated import patients_of, simulated, times_of
from cart_pkpd.models._trace import trace_closed
from cart_pkpd.models.math import Value


class ClosedFormModel(Model):
    """A model whose level is known in closed form: declare parameters and ``log_level``."""

    @abc.abstractmethod
    def log_level(self, t: Value, p: Any) -> Value:
        """Return the natural log of the observed level at times `t` [day since infusion]."""

    def switches(self, p: Any) -> Sequence[Value]:
        """Return every time at which the level has a kink; none by default.

        Parts that are driven by the level are integrated piece by piece between them.
        """
        return ()

    def log_predict(self, time: Value, values: Mapping[str, Value]) -> Value:
        """Return the natural log of the level for parameter values given by name.

        Parameters
        ----------
        time : array_like
            Days since the infusion, at or after 0.
        values : mapping of str to array_like
            Every parameter that is not fixed, natural scale; broadcast against `time`.

        Returns
        -------
        array_like
            Natural log of the level, in the unit of the model's endpoint.
        """
        given = {**self.fixed, **values}
        self.check_names(given, "log_predict")
        missing = [k for k in self.parameters if k not in given]
        if missing:
            raise ModelError(f"{type(self).__name__} needs values for {', '.join(missing)}.")
        return self.log_level(time, self.values(**{k: given[k] for k in self.parameters}))

    @property
    def program(self) -> Program:
        """The equation as a formula, from which code is generated."""
        return _closed_program(self)

    @property
    def endpoints(self) -> Mapping[str, str]:
        """The one endpoint, in the unit of the parameter that is a level."""
        return {self.endpoint: level_unit(self.parameters)}

    def simulate(
        self,
        times: ArrayLike,
        params: Mapping[str, ArrayLike] | pd.DataFrame | xr.Dataset | None = None,
        doses: Any = None,
        **values: ArrayLike,
    ) -> xr.Dataset:
        """Return the noise-free level of one or many patients.

        Parameters
        ----------
        times : array_like, shape (n,)
            Days since the infusion. [day]
        params : mapping, DataFrame or Dataset, optional
            Parameter values by name, natural scale: one, or one per patient; those not given
            are typical.
        doses : None
            Doses do not act on a closed form.
        **values : float or array_like
            Parameter values as keywords.

        Returns
        -------
        xr.Dataset
            The endpoint, dims (id, time), or (time) if every parameter has one value; 0 before
            the infusion. [unit of the endpoint]

        Raises
        ------
        ModelError
            For an unknown name, a value outside its support, or lengths that differ.
        """
        if doses is not None:
            raise ModelError(
                f"{type(self).__name__} describes one infusion whose dose does not enter; leave "
                "doses= out, or use a model given by differential equations."
            )
        t = times_of(times)
        patients = patients_of(self, params, values)
        given = {k: v[:, None] for k, v in patients.values.items()}
        level = np.exp(np.asarray(self.log_level(np.maximum(t, 0.0), self.values(**given))))
        level = np.where(t < 0, 0.0, np.broadcast_to(level, (patients.count, t.size)))
        ((endpoint, unit),) = self.endpoints.items()
        return simulated({endpoint: (level, unit)}, t, patients, model=self.name)

    def predict(
        self,
        values: Mapping[str, NDArray[np.float64]],
        *,
        time: NDArray[np.float64],
        patient: NDArray[np.int64],
        measure: NDArray[np.int64],
        endpoint: tuple[str, ...],
        log: tuple[bool, ...],
        design: Any,
    ) -> NDArray[np.float64]:
        """Return the level, or its ln, of each record of the one endpoint there is."""
        if len(endpoint) > 1:
            raise ModelError(
                f"{type(self).__name__} describes one level, not {', '.join(endpoint)} together."
            )
        given = {k: v[..., patient] for k, v in values.items()}
        ln_level = np.asarray(self.log_predict(time, given), dtype=float)
        return ln_level if log[0] else np.exp(ln_level)

    def plan(
        self,
        design: Any,
        *,
        time: NDArray[np.float64],
        patient: NDArray[np.int64],
        measure: NDArray[np.int64],
        endpoint: tuple[str, ...],
    ) -> tuple[Schedule, NDArray[np.float64]]:
        """Return the schedule, and every known value, of a design's patients."""
        plan = schedule(design.n_patients, patient=patient, time=time, endpoint=measure)
        held: dict[str, Any] = {**self.fixed, **design_known(self.program, design)}
        return plan, base_values(self.program, design.n_patients, held)


@lru_cache(maxsize=256)
def _closed_program(model: ClosedFormModel) -> Program:
    return trace_closed(model)


def level_unit(parameters: Mapping[str, Parameter]) -> str:
    """Return the unit of the first parameter that is a level of cells or copies."""
    for p in parameters.values():
        kinds = exponents(p.unit)
        if "day" not in kinds and {"copy", "cell"} & set(kinds):
            return p.unit
    return next((p.unit for p in parameters.values()), "1")
