"""Models whose parameters change from one occasion of a patient to the next.

On occasion o a parameter has its own value, moved on the free (log, logit) scale by a deviation
``kappa``, one parameter of the new model for each occasion. States go on as they are: what is left
of an earlier infusion is carried over. A closed form, which describes one infusion, begins
anew with that of the occasion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._core.errors import ModelError
from cart_pkpd._engine.expression import Expression, as_expression, substitute, symbols_of
from cart_pkpd._engine.program import TIME, Program, value_symbol
from cart_pkpd._engine.schedule import Schedule
from cart_pkpd._engine.solve import Solver
from cart_pkpd.models._closed import ClosedFormModel
from cart_pkpd.models._declare import Model
from cart_pkpd.models._ode import Input, OdeModel
from cart_pkpd.models._parameters import Parameter, Real
from cart_pkpd.models.math import Value, exp, expit, logit, where

_INPUT = "occasion_number"
_NEVER = 1e9

type Array = NDArray[np.float64]


def deviation_name(parameter: str, label: str) -> str:
    """Return the name of a parameter's deviation on an occasion."""
    return f"kappa_{parameter}_{label}"


def with_occasions(model: Model, names: Sequence[str], labels: Sequence[str]) -> Model:
    """Return a model whose parameters `names` change with the occasion.

    Parameters
    ----------
    model : Model
        Any declared model.
    names : sequence of str
        Parameters that are not fixed.
    labels : sequence of str
        The occasions of all patients, in their order in time.

    Raises
    ------
    ModelError
        If a parameter moves a switch of a model given by equations.
    """
    if isinstance(model, OdeModel):
        _check_switches(model, names)
    kind = _made(type(model), tuple(names), tuple(labels), _identity_units(model, names))
    return kind(parameters=dict(model.parameters), fixed=dict(model.fixed), solver=model.solver)


def without_occasions(model: Model) -> Model:
    """Return the model that :func:`with_occasions` was given; any other as it is."""
    if not isinstance(model, _Occasions):
        return model
    own = deviations_of(model)
    kept = {k: p for k, p in model.parameters.items() if k not in own}
    return model._kind(parameters=kept, fixed=dict(model.fixed), solver=model.solver)


def deviations_of(model: Model) -> Mapping[str, tuple[str, str]]:
    """Return the parameter and the label of the occasion of every deviation, by its name."""
    if not isinstance(model, _Occasions):
        return {}
    return {deviation_name(n, o): (n, o) for n in model._varied for o in model._labels}


def _check_switches(model: OdeModel, names: Sequence[str]) -> None:
    moving = symbols_of(model.program.switches)
    for name in names:
        if str(value_symbol(name).value) in moving:
            raise ModelError(
                f"iov: {name!r} moves a switch of {type(model).__name__}, whose times are those of "
                "the whole course, not of an occasion; leave it out of iov, or let it vary "
                "between patients only (iiv)."
            )


def _identity_units(model: Model, names: Sequence[str]) -> tuple[str, ...]:
    """Return the unit of each deviation: none on the log and logit scale."""
    parameters = [model.parameters[n] for n in names]
    return tuple(p.unit if p.scale == "identity" else "1" for p in parameters)


@lru_cache(maxsize=128)
def _made(
    kind: type[Model], names: tuple[str, ...], labels: tuple[str, ...], units: tuple[str, ...]
) -> type[Model]:
    """Return the class of a model with occasions."""
    body: dict[str, Any] = {
        "__doc__": kind.__doc__,
        "__module__": __name__,
        "_kind": kind,
        "_varied": names,
        "_labels": labels,
        "structure": kind.structure,
        **{
            deviation_name(n, o): Real(0.0, unit, f"deviation of {n} on occasion {o}")
            for n, unit in zip(names, units, strict=True)
            for o in labels
        },
    }
    if issubclass(kind, OdeModel):
        body[_INPUT] = Input(0.0, "1", "position of the occasion among those of the trial")
    mixin = _OdeOccasions if issubclass(kind, OdeModel) else _ClosedOccasions
    made = cast(type[Model], type(kind.__name__, (mixin, kind), body))
    made.name = kind.name  # after the class is made: only the model itself is registered
    return made


def _rebuilt(
    kind: type[Model],
    names: tuple[str, ...],
    labels: tuple[str, ...],
    units: tuple[str, ...],
    base: Model,
    own: Mapping[str, Parameter],
    solver: Solver,
) -> Model:
    made = _made(kind, names, labels, units)
    return made(parameters={**base.parameters, **own}, fixed=dict(base.fixed), solver=solver)


class _Occasions:
    """What models with occasions share; see :func:`with_occasions`."""

    _kind: ClassVar[type[Model]]
    _varied: ClassVar[tuple[str, ...]]
    _labels: ClassVar[tuple[str, ...]]

    def __reduce__(self) -> tuple[Any, ...]:
        model = cast(Model, self)
        base = without_occasions(model)
        own = {k: model.parameters[k] for k in deviations_of(model)}
        units = _identity_units(base, self._varied)
        names = (self._kind, self._varied, self._labels, units)
        return _rebuilt, (*names, base, own, model.solver)

    def _moved(self, name: str, value: Value, kappa: Value) -> Value:
        """Return a parameter moved by its deviation."""
        scale = self.parameters[name].scale  # type: ignore[attr-defined] # of the model
        if scale == "log":
            return value * exp(kappa)
        return expit(logit(value) + kappa) if scale == "logit" else value + kappa


class _Moved:
    """Values by name, where parameters that change are those of the current occasion."""

    def __init__(self, p: Any, model: _OdeOccasions) -> None:
        self._p, self._model = p, model

    def __getattr__(self, name: str) -> Value:
        if name.startswith("__"):
            raise AttributeError(name)
        value, model = getattr(self._p, name), self._model
        if name not in model._varied:
            return value
        at = getattr(self._p, _INPUT)
        kappas = [getattr(self._p, deviation_name(name, o)) for o in model._labels]
        kappa = kappas[-1]
        for i in range(len(kappas) - 2, -1, -1):
            kappa = where(at < i + 0.5, kappas[i], kappa)
        return model._moved(name, value, kappa)


class _OdeOccasions(_Occasions):
    """Equations whose parameters follow an input that says which occasion it is."""

    def _of(self, p: Any) -> Any:
        return p if isinstance(p, _Moved) else _Moved(p, self)

    def initial(self, p: Any) -> Mapping[str, Value]:
        return super().initial(self._of(p))  # type: ignore[misc] # of the model, here and below

    def rhs(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        return super().rhs(t, y, self._of(p))  # type: ignore[misc]

    def observe(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        return super().observe(t, y, self._of(p))  # type: ignore[misc]

    def drivers(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        return super().drivers(t, y, self._of(p))  # type: ignore[misc]

    def dose_factor(self, p: Any) -> Mapping[str, Value]:
        return super().dose_factor(self._of(p))  # type: ignore[misc]

    def plan(self, design: Any, **records: Any) -> tuple[Schedule, Array]:
        changes = (*design.changes, *self._occasion_changes(design))
        return super().plan(replace(design, changes=changes), **records)  # type: ignore[misc]

    def _occasion_changes(self, design: Any) -> list[Any]:
        """Return the beginning of every occasion; a patient's first holds from the start on."""
        seen: set[int] = set()
        out = []
        for o in design.occasions:
            begin = o.time if o.patient in seen else -np.inf
            seen.add(o.patient)
            number = float(self._labels.index(o.label))
            out.append(_Change(o.patient, begin, _INPUT, number))
        return out


class _Change:
    """An event of a patient, as a design has them."""

    def __init__(self, patient: int, time: float, name: str, value: float) -> None:
        self.patient, self.time, self.name, self.value = patient, time, name, value


class _ClosedOccasions(_Occasions):
    """A closed form that begins anew on every occasion; labels are in the order of time."""

    @property
    def program(self) -> Program:
        return _closed_program(self)

    def switches(self, p: Any) -> Sequence[Value]:
        found: list[Value] = []
        for label in self._labels:
            own = {n: self._moved(n, getattr(p, n), getattr(p, deviation_name(n, label)))
                   for n in self._varied}  # fmt: skip
            found += super().switches(p._replace(**own))  # type: ignore[misc]
        return found

    def predict(
        self,
        values: Mapping[str, Array],
        *,
        time: Array,
        patient: NDArray[np.int64],
        design: Any,
        **records: Any,
    ) -> Array:
        at = self._seen(design, time)
        begins, origins = self._times(design)
        which = (at[:, None] >= begins[patient]).sum(axis=1) - 1
        own = {k: v[..., patient] for k, v in values.items()}
        for name in self._varied:
            kappas = np.stack([own[deviation_name(name, o)] for o in self._labels], axis=-1)
            rows = np.broadcast_to(which[:, None], (*kappas.shape[:-1], 1))
            kappa = np.take_along_axis(kappas, rows, axis=-1)[..., 0]
            own[name] = np.asarray(self._moved(name, own[name], kappa))
        since = at - origins[patient, which]
        return super().predict(  # type: ignore[misc]
            own, time=since, patient=np.arange(time.size), design=design, **records
        )

    def plan(
        self, design: Any, *, time: Array, patient: NDArray[np.int64], **records: Any
    ) -> tuple[Schedule, Array]:
        plan, base = super().plan(  # type: ignore[misc]
            design, time=self._seen(design, time), patient=patient, **records
        )
        begins, origins = self._times(design)
        names = [n for o in self._labels for n in _known(o)]
        both = np.stack([begins, origins], axis=-1).reshape(design.n_patients, -1)
        base[:, self.program.columns(names)] = both
        return plan, base

    def _seen(self, design: Any, time: Array) -> Array:
        """Return the times of records; of one drawn before a dose, an instant earlier."""
        if time is not design.time:
            return time
        return np.where(design.before_dose, np.nextafter(time, -np.inf), time)

    def _times(self, design: Any) -> tuple[Array, Array]:
        """Return when each patient's occasions begin, and their infusions, both (k, o).

        An occasion that a patient does not have begins with the next one, or never.
        """
        shape = (design.n_patients, len(self._labels))
        begins, origins = np.full(shape, _NEVER), np.zeros(shape)
        last: dict[int, int] = {}
        for o in design.occasions:
            at = self._labels.index(o.label)
            if at <= last.get(o.patient, -1):
                raise ModelError(
                    f"iov: the occasions of patient {str(design.ids[o.patient])!r} are not in the "
                    f"order of time (occasion {o.label} begins at day {o.time:g}); number them in "
                    "that order, or use a model given by differential equations."
                )
            # The first occasion also holds for what comes before it.
            begins[o.patient, at] = o.time if o.patient in last else -_NEVER
            origins[o.patient, at] = o.infusion
            last[o.patient] = at
        for at in range(shape[1] - 2, -1, -1):
            lacking = begins[:, at] == _NEVER
            begins[lacking, at] = begins[lacking, at + 1]
        return begins, origins


def _known(label: str) -> tuple[str, str]:
    """Return the names of the numbers that say when an occasion and its infusion began."""
    return f"begin_of_{label}", f"infusion_of_{label}"


@lru_cache(maxsize=128)
def _closed_program(model: _ClosedOccasions) -> Program:
    """Return the formula with the parameters of the occasion, and time since its infusion."""
    base = cast(ClosedFormModel, super(_ClosedOccasions, model)).program
    labels = model._labels
    known = [n for o in labels for n in _known(o)]

    def now(of: Mapping[str, Expression]) -> Expression:
        chosen: Value = of[labels[0]]
        for label in labels[1:]:
            chosen = where(value_symbol(_known(label)[0]) > TIME, chosen, of[label])
        return as_expression(chosen)

    moved = {
        str(value_symbol(n).value): as_expression(
            model._moved(
                n,
                value_symbol(n),
                now({o: value_symbol(deviation_name(n, o)) for o in labels}),
            )
        )
        for n in model._varied
    }
    since = TIME - now({o: value_symbol(_known(o)[1]) for o in labels})
    moved[str(TIME.value)] = as_expression(since)
    observe = substitute(
        base.observe, lambda node, _: moved.get(str(node.value)) if node.op == "symbol" else None
    )
    values = (*base.values, *known)
    return replace(base, values=values, n_covariates=len(known), observe=tuple(observe))
