"""Models given by differential equations."""

from __future__ import annotations

import abc
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from cart_pkpd._core.errors import CartWarning, ModelError
from cart_pkpd._core.units import canonical
from cart_pkpd._core.validate import did_you_mean
from cart_pkpd._engine import solve
from cart_pkpd._engine.program import Program
from cart_pkpd._engine.schedule import Schedule, base_values, schedule
from cart_pkpd.models._courses import (
    changes_of,
    design_changes,
    design_covariates,
    design_doses,
    design_known,
    doses_of,
    event_doses_of,
    known_values,
    patients_with,
)
from cart_pkpd.models._declare import Model
from cart_pkpd.models._dimensions import endpoint_units
from cart_pkpd.models._parameters import Parameter
from cart_pkpd.models._rounding import fallen, looks, sizes_at_floors, without_rounding
from cart_pkpd.models._simulated import Patients, simulated, times_of
from cart_pkpd.models._trace import trace_ode, with_drivers
from cart_pkpd.models.math import Value


@dataclass(frozen=True)
class State:
    """A quantity that changes by a differential equation.

    Attributes
    ----------
    unit : str
        Unit, ``"1"`` for a pure number.
    about : str
        Meaning in a few words.
    floor : float
        Size below which accuracy does not matter, in `unit`; by default a billionth of the
        largest value reached.
    """

    unit: str = "1"
    about: str = ""
    floor: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "unit", canonical(self.unit))
        if not 0 <= self.floor < np.inf:
            raise ModelError(f"floor of state {self.about!r} must be 0 or more.")


@dataclass(frozen=True)
class Covariate:
    """A number known for each patient that the equations use, such as tumour burden.

    Attributes
    ----------
    typical : float
        Value where none is given.
    unit, about : str
        Unit, and meaning in a few words.
    lower, upper : float
        Least and largest value that is possible.
    """

    typical: float
    unit: str = "1"
    about: str = ""
    lower: float = -np.inf
    upper: float = np.inf

    def __post_init__(self) -> None:
        object.__setattr__(self, "unit", canonical(self.unit))
        object.__setattr__(self, "typical", float(self.typical))
        if not np.isfinite(self.typical) or not self.lower <= self.typical <= self.upper:
            raise ModelError(
                f"typical value of {self.about!r} must be a finite number between its limits."
            )

    def check(self, name: str, values: NDArray[np.float64]) -> None:
        """Raise ModelError for a value that is not possible."""
        wrong = np.flatnonzero(~((values >= self.lower) & (values <= self.upper)))
        if wrong.size:
            raise ModelError(
                f"{name} = {float(values[wrong[0]]):g} is not possible: {self.about} lies "
                f"{_between(self.lower, self.upper)}."
            )


@dataclass(frozen=True)
class Input(Covariate):
    """A known number that changes at known times, such as tocilizumab on or off.

    It keeps its `typical` value until the first change.
    """


def _between(lower: float, upper: float) -> str:
    if np.isinf(upper):
        return f"at {lower:g} or above"
    return f"between {lower:g} and {upper:g}" if np.isfinite(lower) else f"at {upper:g} or below"


class OdeModel(Model):
    r"""A model given by differential equations.

    A subclass declares states, parameters, covariates and inputs as attributes and writes the
    equations as methods, with functions of ``models.math`` or NumPy. Names are read from ``y``
    (states) and ``p`` (parameters, covariates, inputs). The equations are read once, as
    formulas: they must not branch with ``if`` on ``t``, ``y`` or ``p``.

    Attributes
    ----------
    dosed : str or None
        State that receives doses; None if doses do not act.
    dose_unit : str
        Unit of the amounts.
    event_doses : mapping of str to str
        Events whose value is an amount for a state, such as ``{"tocilizumab": "drug"}``;
        ``dose_factor`` says what a value of 1 adds.
    start : float
        Time of the initial state; samples before it see the initial state. [day]

    Examples
    --------
    >>> class Turnover(models.OdeModel):
    ...     cells = models.State("copies/µg", "CAR-T cells")
    ...     start_level = models.Positive(100, "copies/µg", "cells at the infusion")
    ...     k = models.Positive(0.1, "1/day", "decline rate")
    ...     def initial(self, p):
    ...         return {"cells": p.start_level}
    ...     def rhs(self, t, y, p):
    ...         return {"cells": -p.k * y.cells}
    ...     def observe(self, t, y, p):
    ...         return {"transgene": y.cells}
    >>> Turnover().simulate([0, 7, 28])
    """

    states: ClassVar[Mapping[str, State]] = MappingProxyType({})
    covariates: ClassVar[Mapping[str, Covariate]] = MappingProxyType({})
    inputs: ClassVar[Mapping[str, Input]] = MappingProxyType({})
    dosed: ClassVar[str | None] = None
    dose_unit: ClassVar[str] = "cells"
    event_doses: ClassVar[Mapping[str, str]] = MappingProxyType({})
    start: ClassVar[float] = 0.0

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = vars(cls).items()
        for name, record in own:
            if isinstance(record, State | Covariate | Parameter) and hasattr(OdeModel, name):
                raise ModelError(
                    f"{cls.__name__}: {name!r} is something every model has already; give the "
                    f"{type(record).__name__.lower()} another name."
                )
        inputs = {k: v for k, v in own if isinstance(v, Input)}
        covariates = {k: v for k, v in own if isinstance(v, Covariate) and k not in inputs}
        cls.states = MappingProxyType(
            {**cls.states, **{k: v for k, v in own if isinstance(v, State)}}
        )
        cls.covariates = MappingProxyType({**cls.covariates, **covariates})
        cls.inputs = MappingProxyType({**cls.inputs, **inputs})

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_declared(self)
        _ = self.program  # whatever is wrong with the equations is said now

    @abc.abstractmethod
    def initial(self, p: Any) -> Mapping[str, Value]:
        """Return the value of every state at the start, before any dose."""

    @abc.abstractmethod
    def rhs(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return the time derivative of every state, in its unit per day."""

    @abc.abstractmethod
    def observe(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return the level of every endpoint."""

    def switches(self, p: Any) -> Sequence[Value]:
        """Return every time at which the equations jump; none by default."""
        return ()

    def dose_factor(self, p: Any) -> Mapping[str, Value]:
        """Return by state what an amount of 1 adds to it; 1 by default."""
        return {}

    def drivers(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return what other parts of a composed model can be driven by.

        Names with a common meaning: ``cells`` (observed level of CAR-T cells; by default the
        first endpoint), ``activated`` (those of them that meet antigen), ``killing`` (tumour
        cells killed per day), ``antigen`` (antigen or tumour that is left).
        """
        observed = self.observe(t, y, p)
        return {"cells": next(iter(observed.values()))}

    @property
    def program(self) -> Program:
        """The equations as formulas, from which code is generated."""
        return _program(type(self), self)

    def with_solver(self, *, rtol: float | None = None, max_steps: int | None = None) -> Self:
        """Return a new model that simulations and fits solve with other settings.

        Parameters
        ----------
        rtol : float, optional
            Relative tolerance of each state; 1e-6 at first.
        max_steps : int, optional
            Most steps per patient; 20,000 at first.

        Raises
        ------
        ModelError
            If a setting is impossible.
        """
        return replace(self, solver=self.solver.changed(rtol, max_steps))

    @property
    def endpoints(self) -> Mapping[str, str]:
        """What the model predicts, with units."""
        return endpoint_units(self, self.program)

    @property
    def equation_values(self) -> Mapping[str, Any]:
        """Parameters, covariates and inputs, in the order of the equations' values."""
        return {**self.parameters, **self.covariates, **self.inputs}

    def simulate(
        self,
        times: ArrayLike,
        params: Mapping[str, ArrayLike] | pd.DataFrame | xr.Dataset | None = None,
        doses: float | Sequence[Any] | pd.DataFrame | None = None,
        *,
        inputs: Mapping[str, Sequence[tuple[float, float]]] | pd.DataFrame | None = None,
        covariates: Mapping[str, ArrayLike] | pd.DataFrame | xr.Dataset | None = None,
        states: bool = False,
        drivers: bool = False,
        rtol: float | None = None,
        max_steps: int | None = None,
        threads: int | None = None,
        **values: ArrayLike,
    ) -> xr.Dataset:
        """Return the noise-free levels of one or many patients.

        Parameters
        ----------
        times : array_like, shape (n,)
            Days since the first infusion. A time at which a dose is given sees the state after
            it. [day]
        params : mapping, DataFrame or Dataset, optional
            Parameter values by name, natural scale: one, or one per patient; those not given
            are typical. A DataFrame's index or a Dataset's ``id`` names the patients.
        doses : float, sequence or DataFrame, optional
            An amount given at the start; a sequence of ``(time, amount)`` or ``(time, amount,
            duration)`` given to every patient; or a table with columns ``time``, ``amount``
            and optionally ``id``, ``duration`` [day] and ``state``. [dose_unit]
        inputs : mapping or DataFrame, optional
            By input, ``(time, value)`` for every patient; or a table with columns ``input``,
            ``time``, ``value`` and optionally ``id``. A value holds from its time on; that of one
            of the ``event_doses`` is an amount given at its time.
        covariates : mapping, DataFrame or Dataset, optional
            Covariate values, one or one per patient; those not given are typical.
        states : bool
            Also return the states.
        drivers : bool
            Also return what parts can be driven by (:meth:`drivers`), each as ``driver_<name>``.
        rtol : float, optional
            Relative tolerance of the solver; by default that of :meth:`with_solver`, 1e-6.
        max_steps : int, optional
            Most steps per patient; by default that of :meth:`with_solver`, 20,000.
        threads : int, optional
            Patients solved at the same time; by default all processors where there are many
            patients. The numbers do not depend on it.
        **values : float or array_like
            Parameter values as keywords.

        Returns
        -------
        xr.Dataset
            Every endpoint (state, driver), dims (id, time), or (time) for one patient without a
            label; ``status`` by patient: ``"solved"``, or why there is no solution, in which
            case the levels are NaN. What the solver leaves below 0 by less than ten times its
            tolerance of the patient's largest level, or of the floors of the states, is 0. An
            endpoint that is an amount and is below 0 by more has no solution: it had died out, and
            rounding grew in its place.

        Raises
        ------
        ModelError
            For an unknown name, a value outside its support, or lengths that differ.
        """
        t = times_of(times)
        patients = patients_with(self, params, values, covariates, doses, inputs)
        k = patients.count
        program, shown = solve.observing_states(self.program), dict(self.endpoints)
        own = len(shown)
        if states:
            solve.check_state_names(self.program)
            shown |= {n: self.states[n].unit for n in program.endpoints[len(shown) :]}
        if drivers:
            program = with_drivers(self, self.program if not states else program)
            shown = {n: endpoint_units(self, program)[n] for n in program.endpoints}
        given = doses_of(self, doses, patients) + event_doses_of(self, inputs, patients)
        changes = changes_of(self, inputs, patients)
        known = known_values(self, covariates, patients)
        base = base_values(program, k, {**patients.values, **known})
        how = self.solver.changed(rtol, max_steps)

        def at(
            when: NDArray[np.float64], only: NDArray[np.bool_] | None = None
        ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
            plan = schedule(
                k,
                patient=np.repeat(np.arange(k), when.size * len(shown)),
                time=np.tile(np.repeat(when, len(shown)), k),
                endpoint=np.tile(np.arange(len(shown)), k * when.size),
                doses=given,
                changes=changes,
            )
            level, status = solve.levels(
                program, base, plan, rtol=how.rtol, max_steps=how.max_steps, threads=threads,
                only=only,
            )  # fmt: skip
            asked = np.empty_like(level)
            asked[plan.order] = level  # the solver goes by time, the caller need not
            return asked.reshape(k, when.size, len(shown)), status

        cube, status = at(t)
        if (cube < 0).any():
            least = sizes_at_floors(program, base)[:, : len(shown)]
            cube = without_rounding(cube, how.rtol, lambda only: at(looks(t), only)[0], least)
            lost = fallen(cube[:, :, :own], least[:, :own])
            cube[lost], status[lost] = np.nan, solve.BELOW_ZERO
        out = simulated(
            {name: (cube[:, :, i], unit) for i, (name, unit) in enumerate(shown.items())},
            t,
            patients,
            model=self.name or type(self).__name__,
            rtol=how.rtol,
        )
        words = np.array([solve.REASONS[int(s)] for s in status])
        _warn_unsolved(status, patients)
        return out.assign(status=words[0] if patients.ids is None else ("id", words))

    def tensors(
        self,
        times: ArrayLike,
        params: Mapping[str, Any],
        doses: float | Sequence[Any] | pd.DataFrame | None = None,
        *,
        patients: int = 1,
        inputs: Mapping[str, Sequence[tuple[float, float]]] | pd.DataFrame | None = None,
        covariates: Mapping[str, ArrayLike] | None = None,
        rtol: float | None = None,
        max_steps: int | None = None,
    ) -> dict[str, Any]:
        """Return the levels as PyTensor variables, for a PyMC model of one's own.

        Parameters
        ----------
        times : array_like, shape (n,)
            Days since the first infusion. [day]
        params : mapping of str to number, array or PyTensor variable
            Parameter values, natural scale: one, or one per patient; gradients are known by
            those that are variables. Parameters not given are typical.
        doses, inputs, covariates, rtol, max_steps
            As for :meth:`simulate`; patients in tables are 0, 1, ….
        patients : int
            Number of patients.

        Returns
        -------
        dict of str to TensorVariable, shape (patients, n)
            By endpoint; NaN for a patient without a solution, which samplers reject.

        Examples
        --------
        >>> with pm.Model():
        ...     k = pm.LogNormal("k", np.log(0.1), 1.0)
        ...     level = Turnover().tensors(days, {"k": k})["transgene"][0]
        ...     pm.Normal("y", pt.log(level), 0.3, observed=np.log(measured))
        """
        from cart_pkpd.models._tensors import tensors

        return tensors(
            self, times_of(times), params, doses, patients, inputs, covariates,
            solve.options_of(self.program, self.solver.changed(rtol, max_steps)),
        )  # fmt: skip

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
        """Return the level, or its ln, of each record; NaN where there is no solution."""
        plan, base = self.plan(
            design, time=time, patient=patient, measure=measure, endpoint=endpoint
        )
        names = tuple(values)
        shape = np.shape(next(iter(values.values()))) if values else (design.n_patients,)
        given = np.stack([np.asarray(values[n], dtype=float) for n in names], axis=-1)
        flat = given.reshape(-1, design.n_patients, len(names))
        out = np.empty((flat.shape[0], time.size))
        columns, program = self.program.columns(names), solve.observing_states(self.program)
        for i, one in enumerate(flat):
            base[:, columns] = one
            level, _ = solve.levels(
                program, base, plan, rtol=self.solver.rtol, max_steps=self.solver.max_steps
            )
            out[i, plan.order] = level
        for at, on_log in enumerate(log):
            if on_log:
                rows = measure == at
                out[:, rows] = np.log(np.maximum(out[:, rows], solve.LOWEST))
        return out.reshape(*shape[:-1], time.size)

    def plan(
        self,
        design: Any,
        *,
        time: NDArray[np.float64],
        patient: NDArray[np.int64],
        measure: NDArray[np.int64],
        endpoint: tuple[str, ...],
    ) -> tuple[Schedule, NDArray[np.float64]]:
        """Return the schedule and the known values of a design's patients.

        Parameters
        ----------
        design : Design
            Patients with their doses, covariates and inputs.
        time, patient, measure, endpoint
            Of the records, as for :meth:`predict`.

        Raises
        ------
        ModelError
            If the model does not predict an endpoint, or a covariate or amount is missing.
        """
        known = list(self.program.endpoints)
        for name in endpoint:
            if name not in known:
                raise ModelError(
                    f"{type(self).__name__} does not predict {name!r}."
                    f"{did_you_mean(name, known)} It predicts: {', '.join(known)}."
                )
        which = np.array([known.index(e) for e in endpoint], dtype=np.int64)
        plan = schedule(
            design.n_patients,
            patient=patient,
            time=time,
            endpoint=which[measure],
            # Of a design's own records the table says which were drawn before a dose.
            before=design.before_dose if time is design.time else False,
            doses=design_doses(self, design),
            changes=design_changes(self, design),
        )
        held: dict[str, Any] = {**self.fixed, **design_covariates(self, design)}
        held |= {k: v.typical for k, v in self.inputs.items()}
        held |= design_known(self.program, design)
        return plan, base_values(self.program, design.n_patients, held)


@lru_cache(maxsize=256)
def _program(cls: type[OdeModel], model: OdeModel) -> Program:
    return trace_ode(model)


def _check_declared(model: OdeModel) -> None:
    where = type(model).__name__
    if not model.states:
        raise ModelError(
            f"{where} declares no state; add for example "
            'cells = models.State("copies/µg", "CAR-T cells").'
        )
    if model.dosed is not None and model.dosed not in model.states:
        raise ModelError(
            f"{where}.dosed names {model.dosed!r}, which is not a state."
            f"{did_you_mean(model.dosed, model.states)} States: {', '.join(model.states)}."
        )
    for event, state in model.event_doses.items():
        if state not in model.states:
            raise ModelError(
                f"{where}.event_doses sends {event!r} to {state!r}, which is not a state."
                f"{did_you_mean(state, model.states)} States: {', '.join(model.states)}."
            )
    seen: set[str] = set()
    for name in (*model.states, *model.parameters, *model.covariates, *model.inputs):
        if name in seen:
            raise ModelError(f"{where} declares {name!r} twice.")
        seen.add(name)


def _warn_unsolved(status: NDArray[np.int64], patients: Patients) -> None:
    failed = np.flatnonzero(status)
    if failed.size:
        who = "" if patients.ids is None else f" (first: {patients.ids[failed[0]]})"
        warnings.warn(
            f"{failed.size} of {patients.count} patients could not be solved{who}: "
            f"{solve.REASONS[int(status[failed[0]])]}; their levels are NaN. Look at their "
            "parameters, or raise max_steps.",
            CartWarning,
            stacklevel=3,
        )
