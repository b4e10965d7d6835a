"""Courses of a block of patients: levels at their visits, and exposure without error.

The area is a Gauss-Lobatto quadrature with 5 nodes on pieces of at most a day, cut where the
equations jump (switches, doses): exact for polynomials of degree 7 on each piece. The peak is the
largest of the same levels, refined on the polynomial through ln of the five levels of its piece.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import shown
from cart_pkpd._engine import solve
from cart_pkpd._engine.expression import evaluate
from cart_pkpd._engine.forms import FINE
from cart_pkpd._engine.schedule import BOLUS, RATE, Schedule, base_values, schedule
from cart_pkpd._simulate.streams import Floats, Ints
from cart_pkpd.models import ClosedFormModel, Model, OdeModel
from cart_pkpd.models._courses import changes_of, doses_of, event_doses_of
from cart_pkpd.models._rounding import fallen, looks, sizes_at_floors, without_rounding
from cart_pkpd.models._simulated import Patients

METRICS = ("cmax", "tmax", "auc")
_EDGE = float(np.sqrt(3.0 / 7.0))
_NODES = (np.array([-1.0, -_EDGE, 0.0, _EDGE, 1.0]) + 1.0) / 2.0
_WEIGHTS = np.array([9.0, 49.0, 64.0, 49.0, 9.0]) / 180.0
_FINE = np.linspace(0.0, 1.0, FINE)
_SHORT, _LONG, _LATE = 1.0, 7.0, 28.0  # longest pieces, early and after a month [day]


@dataclass(frozen=True, eq=False)
class Dosing:
    """Infusions and events that every patient has, amounts of infusions in shares of the dose.

    Attributes
    ----------
    infusions : tuple of (day, share, duration)
    inputs : mapping or None
        As for ``model.simulate``.
    """

    infusions: tuple[tuple[float, float, float], ...] = ((0.0, 1.0, 0.0),)
    inputs: Mapping[str, Any] | None = None

    @property
    def days(self) -> Floats:
        """Days on which infusions begin or end, and events happen."""
        found = {d for d, _, _ in self.infusions} | {d + t for d, _, t in self.infusions}
        found |= {day for steps in self.steps.values() for day, _ in steps}
        return np.array(sorted(found))

    @property
    def steps(self) -> dict[str, list[tuple[float, float]]]:
        """Day and value of every event, by input."""
        given = self.inputs or {}
        return {str(k): [(float(a), float(b)) for a, b in v] for k, v in given.items()}


def dosing_of(infusions: Any, inputs: Any) -> Dosing:
    """Return infusions as (day, share, duration) from what a user gives.

    Raises
    ------
    DataError
        If they cannot be read, or the shares do not sum to 1.
    """
    rows = []
    for one in infusions:
        row = tuple(one) if isinstance(one, tuple | list) else ()
        if len(row) not in (2, 3) or not all(isinstance(v, int | float) for v in row):
            raise DataError(
                "infusions: give (day, share of the dose) or (day, share, duration), such as "
                f"[(0, 0.3), (1, 0.7)], not {one!r}."
            )
        day, share, duration = (*map(float, row), 0.0)[:3]
        if not (0 <= day < np.inf and 0 < share <= 1 and 0 <= duration < np.inf):
            raise DataError(f"infusions: {one!r} is not a day from 0 on and a share in 0 to 1.")
        rows.append((day, share, duration))
    if not rows or abs(sum(r[1] for r in rows) - 1.0) > 1e-6:
        raise DataError("infusions: the shares of the dose must sum to 1.")
    found = Dosing(tuple(sorted(rows)), inputs)
    try:
        _ = found.steps
    except (TypeError, ValueError, AttributeError):
        raise DataError(
            "inputs: give (day, value) by input, such as {'tocilizumab': [(5, 8.0)]}, not "
            f"{shown(inputs)}."
        ) from None
    return found


@dataclass(frozen=True, eq=False)
class Courses:
    """Levels of k patients.

    Attributes
    ----------
    level : ndarray, shape (k, v, e)
        At the visits, without error.
    exposure : ndarray, shape (k, e, 3) or None
        Peak, its day, and area over the window.
    status : ndarray of int, shape (k,)
        0 where solved, else a key of ``solve.REASONS``.
    """

    level: Floats
    exposure: Floats | None
    status: Ints


@dataclass(frozen=True, eq=False)
class Kinetics:
    """How courses of patients are computed.

    Attributes
    ----------
    model : Model
    endpoints : tuple of str
        Which of the model's.
    dosing : Dosing
    window : tuple of float or None
        Of the exposure; None to leave it out. [day]
    """

    model: Model
    endpoints: tuple[str, ...]
    dosing: Dosing
    window: tuple[float, float] | None

    def courses(
        self,
        parameters: Mapping[str, Floats],
        covariates: Mapping[str, NDArray[Any]],
        dose: Floats,
        times: Floats,
        rows: int,
    ) -> Courses:
        """Return the courses of the first `rows` patients of a block.

        Parameters
        ----------
        parameters : mapping of str to ndarray, shape (b,)
            Natural scale.
        covariates : mapping of str to ndarray, shape (b,)
            Of which the model takes those it has.
        dose : ndarray, shape (b,)
            NaN for none.
        times : ndarray, shape (b, v) or (1, v)
            Visits. [day]
        """
        values = {k: v[:rows] for k, v in parameters.items()}
        own = {k: v[:rows] for k, v in covariates.items()}
        v = times.shape[1]
        visits = np.broadcast_to(times[: max(rows, 1)], (rows, v)) if times.shape[0] > 1 else times
        pieces = self._pieces(values, own) if self.window else None
        if pieces is None:
            level, place, status = self._levels(values, own, dose[:rows], visits, np.zeros(v, bool))
            return Courses(_in_order(level, place), None, status)
        _expect_exposure()
        nodes = _nodes_of(pieces)
        last = np.tile(np.arange(_NODES.size) == _NODES.size - 1, pieces.shape[1] - 1)
        shared = visits.shape[0] == 1 and nodes.shape[0] == 1
        tall = 1 if shared else rows
        both = np.concatenate(
            [np.broadcast_to(nodes, (tall, nodes.shape[1])), np.broadcast_to(visits, (tall, v))], 1
        )
        before = np.concatenate([last, np.zeros(v, bool)])
        level, place, status = self._levels(values, own, dose[:rows], both, before)
        n = nodes.shape[1]
        exposure = exposure_of(pieces, level, place[:, :n])
        return Courses(_in_order(level, place[:, n:]), exposure, status)

    def _pieces(self, values: Mapping[str, Floats], covariates: Mapping[str, Any]) -> Floats:
        """Return the edges of smooth pieces of the window, shape (k, p + 1) or (1, p + 1)."""
        assert self.window is not None
        start, end = self.window
        edges = np.union1d(_edges(start, end), self.dosing.days)
        edges = edges[(edges >= start) & (edges <= end)][None, :]
        switches = self._switches(values, covariates)
        if not switches:
            return edges
        k = max(np.size(s) for s in switches)
        columns = [np.broadcast_to(np.asarray(s, dtype=float), (k,)) for s in switches]
        own = np.clip(np.nan_to_num(np.stack(columns, axis=1), nan=start), start, end)
        return np.sort(np.concatenate([np.broadcast_to(edges, (k, edges.size)), own], 1), axis=1)

    def _switches(self, values: Mapping[str, Floats], covariates: Mapping[str, Any]) -> list[Any]:
        held = {**self.model.fixed, **values}
        if isinstance(self.model, ClosedFormModel):
            own = {k: held[k] for k in self.model.parameters}
            return [*self.model.switches(_named(own))]
        program = self.model.program
        if not program.switches:
            return []
        held |= self._known(covariates)
        return evaluate(program.switches, {f"p_{k}": held[k] for k in program.values})

    def _known(self, covariates: Mapping[str, Any]) -> dict[str, Any]:
        """Return covariates and inputs of the equations, typical where not given."""
        model = self.model
        assert isinstance(model, OdeModel)
        typical = {k: v.typical for k, v in {**model.covariates, **model.inputs}.items()}
        return typical | {k: covariates[k] for k in model.covariates if k in covariates}

    def _levels(
        self, values: Mapping[str, Floats], covariates: Mapping[str, Any], dose: Floats,
        times: Floats, before: NDArray[np.bool_],
    ) -> tuple[Floats, Ints, Ints]:  # fmt: skip
        """Return levels at times of shape (k, n) or (1, n), in some order, and the status.

        Levels have the shape (k, n, e); the second array, of the shape of `times`, says where each
        time's are among n.
        """
        if isinstance(self.model, ClosedFormModel):
            return self._closed(values, times, before, dose.size)
        return self._solved(values, covariates, dose, times, before)

    def _closed(
        self, values: Mapping[str, Floats], times: Floats, before: NDArray[np.bool_], k: int
    ) -> tuple[Floats, Ints, Ints]:
        # The end of a piece belongs to it: what jumps there has not yet jumped.
        t = np.where(before, np.nextafter(times, -np.inf), times)
        held: dict[str, Any] = {f"p_{n}": v for n, v in self.model.fixed.items()}
        held |= {f"p_{n}": v[:, None] for n, v in values.items()}
        (ln,) = evaluate(self.model.program.observe, {**held, "t": np.maximum(t, 0.0)})
        with np.errstate(all="ignore"):
            level = np.exp(np.broadcast_to(np.asarray(ln, dtype=float), (k, t.shape[1])))
        bad = np.isnan(level).any(axis=1)
        asked = np.arange(t.shape[1])[None, :]
        return level[:, :, None], asked, np.where(bad, 4, 0).astype(np.int64)

    def _solved(
        self, values: Mapping[str, Floats], covariates: Mapping[str, Any], dose: Floats,
        times: Floats, before: NDArray[np.bool_],
    ) -> tuple[Floats, Ints, Ints]:  # fmt: skip
        model, k = self.model, dose.size
        assert isinstance(model, OdeModel)
        program = solve.observing_states(model.program)
        base = base_values(program, k, {**model.fixed, **values, **self._known(covariates)})
        early = np.concatenate([np.flatnonzero(before), np.flatnonzero(~before)])
        # Stable, so that at one instant what is seen before a dose comes first.
        order = early[np.argsort(times[:, early], axis=1, kind="stable")]
        wanted = np.array([program.endpoints.index(e) for e in self.endpoints], dtype=np.int64)
        n, e = times.shape[1], wanted.size

        def at(plan: Schedule, only: NDArray[np.bool_] | None = None) -> tuple[Floats, Ints]:
            return solve.levels(
                program, base, plan, rtol=model.solver.rtol, max_steps=model.solver.max_steps,
                threads=1, lanes=True, only=only,
            )  # fmt: skip

        def more(only: NDArray[np.bool_]) -> Floats:
            when = looks(times)[None]
            plan = self._schedule(
                dose, when, np.zeros(when.size, bool), np.arange(when.size)[None], wanted
            )
            return at(plan, only)[0].reshape(k, when.size, e)

        found, status = at(self._schedule(dose, times, before, order, wanted))
        level = found.reshape(k, n, e)
        if (level < 0).any():
            least = sizes_at_floors(program, base)[:, wanted]
            level = without_rounding(level, model.solver.rtol, more, least)
            lost = fallen(level, least)
            level[lost], status[lost] = np.nan, solve.BELOW_ZERO
        return level, np.argsort(order, axis=1), status

    def _schedule(
        self, dose: Floats, times: Floats, before: NDArray[np.bool_], order: Ints, wanted: Ints
    ) -> Schedule:
        k, (n, e) = dose.size, (times.shape[1], wanted.size)
        when = np.take_along_axis(times, order, axis=1)
        early = before[order]
        fixed, per_dose = self._events
        m = fixed.ev_time.size
        amounts = np.where(np.isnan(dose), 0.0, dose)
        acting = fixed.ev_value + amounts[:, None] * (per_dose.ev_value - fixed.ev_value)
        return Schedule(
            ev_time=_tall(fixed.ev_time[None, :], k),
            ev_kind=_tall(fixed.ev_kind[None, :], k),
            ev_index=_tall(fixed.ev_index[None, :], k),
            ev_value=np.ascontiguousarray(acting).ravel(),
            ev_start=np.arange(k + 1, dtype=np.int64) * m,
            ob_time=np.ascontiguousarray(np.repeat(when, e, axis=1)).ravel(),
            ob_endpoint=_tall(np.tile(wanted, n)[None, :], when.shape[0]),
            ob_before=np.ascontiguousarray(np.repeat(early, e, axis=1)).ravel(),
            ob_start=np.arange(k + 1, dtype=np.int64) * (n * e),
            order=np.zeros(0, dtype=np.int64),
            shared=when.shape[0] == 1,
        )

    @cached_property
    def _events(self) -> tuple[Schedule, Schedule]:
        """The events of one patient at a dose of 0 and of 1: all amounts are linear in the dose."""
        model = self.model
        assert isinstance(model, OdeModel)
        one = Patients({}, None, 1)
        others = event_doses_of(model, self.dosing.inputs, one)
        changes = changes_of(model, self.dosing.inputs, one)

        def at(dose: float) -> Schedule:
            given = [(d, share * dose, length) for d, share, length in self.dosing.infusions]
            own = doses_of(model, given, one) if model.dosed is not None else []
            return schedule(1, patient=[0], time=[0.0], doses=own + others, changes=changes)

        found = at(0.0), at(1.0)
        assert set(found[1].ev_kind[found[0].ev_value != found[1].ev_value]) <= {BOLUS, RATE}
        return found


def _tall(one: NDArray[Any], k: int) -> NDArray[Any]:
    """Return rows for k patients, flat; the same row for all if there is one."""
    if one.shape[0] == 1:
        return _repeated(one.tobytes(), one.dtype.str, k)
    return np.ascontiguousarray(one).ravel()


@lru_cache(maxsize=16)
def _repeated(row: bytes, kind: str, k: int) -> NDArray[Any]:
    """Return a row k times: what the blocks of a simulation share is made once."""
    return np.tile(np.frombuffer(row, dtype=kind), k)


def _named(values: Mapping[str, Any]) -> Any:
    from types import SimpleNamespace

    return SimpleNamespace(**values)


def _edges(start: float, end: float) -> Floats:
    early = np.linspace(
        start, min(end, max(start, _LATE)), 1 + _count(start, min(end, _LATE), _SHORT)
    )
    if end <= _LATE:
        return early
    begin = max(start, _LATE)
    return np.union1d(early, np.linspace(begin, end, 1 + _count(begin, end, _LONG)))


def _count(start: float, end: float, longest: float) -> int:
    return max(1, int(np.ceil((end - start) / longest - 1e-9)))


def _nodes_of(edges: Floats) -> Floats:
    """Return the nodes of all pieces, shape (k, 5 p)."""
    left, right = edges[:, :-1, None], edges[:, 1:, None]
    # As a mean of the ends, which the first and the last node then are exactly.
    return np.reshape(left * (1.0 - _NODES) + right * _NODES, (edges.shape[0], -1))


def _in_order(level: Floats, place: Ints) -> Floats:
    """Return levels at the times that `place` says, shape (k, v, e)."""
    if place.shape[0] > 1:
        return np.take_along_axis(level, place[:, :, None], axis=1)
    if np.array_equal(place[0], np.arange(level.shape[1])):
        return level
    return np.take(level, place[0], axis=1)


def _lagrange() -> Floats:
    """Return the values at `_FINE` of the polynomials that are 1 at one node, shape (33, 5)."""
    out = np.ones((_FINE.size, _NODES.size))
    for j, x in enumerate(_NODES):
        for other in np.delete(_NODES, j):
            out[:, j] *= (_FINE - other) / (x - other)
    return out


_POLYNOMIAL = _lagrange()


def _expect_exposure() -> None:
    # LLVM takes a moment to import; declaring a model must not wait for it.
    from cart_pkpd._engine import compiling

    compiling.expect_exposure()


def exposure_of(edges: Floats, level: Floats, place: Ints) -> Floats:
    """Return peak, its day and area of each patient and endpoint, shape (k, e, 3).

    Parameters
    ----------
    edges : ndarray, shape (k, p + 1) or (1, p + 1)
        Of the pieces. [day]
    level : ndarray, shape (k, n, e)
    place : ndarray of int, shape (k, 5 p) or (1, 5 p)
        Where among n the nodes' levels are.
    """
    from cart_pkpd._engine import compiling

    k, n, e = level.shape
    counts = [edges.shape[1] - 1, n, e, place.shape[0] == 1, edges.shape[0] == 1]
    out = np.empty((k, e, 3))
    compiling.exposure_of(
        np.ascontiguousarray(level), np.ascontiguousarray(place), np.ascontiguousarray(edges), out,
        np.array(counts, dtype=np.int64), _NODES, _WEIGHTS, _POLYNOMIAL,
    )  # fmt: skip
    return out
