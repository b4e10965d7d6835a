"""Tables of parameters: from a trial, or from plain arrays; and the terminal windows tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from cart_pkpd._core.validate import one_of, positive_int
from cart_pkpd._nca.candidates import candidate_rows
from cart_pkpd._nca.compute import WINDOW, Plan, Values, dataset, fill, plan
from cart_pkpd._nca.reasons import Floats, no_reason
from cart_pkpd._nca.registry import Parameter, Window
from cart_pkpd._nca.rules import Rules
from cart_pkpd._nca.source import Samples, find_problems, in_order
from cart_pkpd._nca.trial import Course, cell_endpoints, infusions, no_course, samples_of, unit_of

SLICE = 65_536
"""Patients of an array input that are looked at together, to bound the memory."""


def rules_of(rules: Rules | Mapping[str, Any] | None, overrides: Mapping[str, Any]) -> Rules:
    """Return the rules of a call: given or default, with single ones overridden."""
    base = Rules() if rules is None else rules
    if isinstance(base, Mapping):
        base = Rules.from_dict(base)
    return base.with_(**overrides) if overrides else base


def table(
    trial: xr.Dataset,
    endpoint: str | Sequence[str] | None = None,
    window: Window | Sequence[Window] = WINDOW,
    *,
    rules: Rules | Mapping[str, Any] | None = None,
    parameters: Sequence[str] | None = None,
    infusion: int | Literal["each"] = 1,
    reasons: Literal["text", "code"] = "text",
    **rule_overrides: Any,
) -> xr.Dataset:
    """Return the NCA parameters of every patient of a trial.

    Parameters
    ----------
    trial : xarray.Dataset
        As returned by `data.read_table`.
    endpoint : str or sequence of str, optional
        One endpoint gives results over ``id``; several add a dim ``endpoint``. By default every
        endpoint of kind ``"cells"`` that has observations.
    window : (float, float) or sequence of such pairs
        Windows of the areas, each with its own parameters: (0, 28) gives ``auc0_28``,
        ``auc0_28_pext``, ``auc0_28_rule``, … [day since the infusion]
    rules : Rules or mapping, optional
        Settings; see `Rules`.
    parameters : sequence of str, optional
        Names from `parameters()`; by default all but CL, volumes and the rarer moments.
    infusion : int or "each"
        Which infusion of a patient the analysis is about: profiles start at it and end at the
        next one. ``"each"`` adds a dim ``infusion``.
    reasons : {"text", "code"}
        ``"code"`` stores reasons and notes as small integers, for very many profiles.
    **rule_overrides
        Single rules: ``method="linear"``, ``tail="zero"``, …

    Returns
    -------
    xarray.Dataset
        Over ``id``: one float variable per parameter with attrs ``units``, ``long_name``,
        ``cdisc``; ``reason`` (id, parameter), empty or why the value is NaN; ``note``, remarks on
        the profile (those that the computed parameters bring to light); ``auc…_rule``, how each
        window was completed. The trial's covariates are coordinates. Attrs: ``endpoint``,
        ``units``, ``rules`` (JSON), ``source_sha256``.

    Raises
    ------
    DataError
        If the endpoint is unknown.
    ValueError
        For an unknown rule or parameter, or an impossible window.

    Notes
    -----
    Everything but the window areas uses the whole profile from the infusion to the last sample
    or the next infusion, so that there is one lambda_z per patient. Samples before the
    infusion are baseline: not part of any parameter, and remarked in ``note``.
    """
    rule = rules_of(rules, rule_overrides)
    one_of(reasons, ("text", "code"), "form of reasons")
    names = [endpoint] if isinstance(endpoint, str) else list(endpoint or cell_endpoints(trial))
    ids = np.asarray(trial["id"].values).astype(str)
    courses = infusions(trial, ids, rule.course_gap)
    if infusion != "each":
        which = positive_int(infusion, "infusion") - 1
        courses = [courses[which] if which < len(courses) else no_course(ids.size)]
    tables = []
    for name in dict.fromkeys(names):
        each = [
            _one(trial, name, course, plan(rule, window, parameters), reasons) for course in courses
        ]
        numbers = np.arange(1, len(each) + 1)
        if infusion == "each":
            tables.append(_joined(each, "infusion", numbers))
        else:
            tables.append(each[0].assign_coords(infusion=int(infusion)))
    if len(tables) == 1:
        return _with_covariates(tables[0], trial)
    out = _joined(tables, "endpoint", np.array(list(dict.fromkeys(names)), dtype=np.str_))
    units = np.array([t.attrs["units"] for t in tables], dtype=np.str_)
    return _with_covariates(out.assign_coords(endpoint_units=("endpoint", units)), trial)


def _one(trial: xr.Dataset, endpoint: str, course: Course, todo: Plan, reasons: str) -> xr.Dataset:
    """Return the table of one endpoint after one infusion."""
    samples = samples_of(trial, endpoint, course, todo.rules, todo.book)
    result = fill(Values.empty(todo, samples.ids.size), samples, todo)
    return dataset(
        result, todo, samples.ids, endpoint=endpoint, unit=unit_of(trial, endpoint),
        dose_unit=_dose_unit(trial), reasons=reasons,
    )  # fmt: skip


def _joined(tables: list[xr.Dataset], dim: str, labels: NDArray[Any]) -> xr.Dataset:
    """Return tables along a new dim; attrs that differ, such as units, go to the coordinate."""
    return xr.concat(
        tables, dim=xr.Variable(dim, labels), data_vars="all", coords=["n"], compat="override",
        join="override", combine_attrs="drop_conflicts",
    )  # fmt: skip


def _dose_unit(trial: xr.Dataset) -> str:
    return str(trial["amount"].attrs.get("units", "")) if "amount" in trial.variables else ""


def _with_covariates(out: xr.Dataset, trial: xr.Dataset) -> xr.Dataset:
    """Return the table with the trial's patient variables as coordinates."""
    added = {}
    for name, variable in trial.variables.items():
        if variable.dims == ("id",) and name != "id":
            taken = name in out.variables or name in out.dims
            added[f"covariate_{name}" if taken else str(name)] = variable
    origin = {k: trial.attrs[k] for k in ("source", "source_sha256") if k in trial.attrs}
    return out.assign_coords(added).assign_attrs(origin)


def profiles(
    conc: ArrayLike,
    time: ArrayLike,
    *,
    lloq: ArrayLike | None = None,
    censored: ArrayLike | None = None,
    ids: Sequence[str] | None = None,
    dose: ArrayLike | None = None,
    window: Window | Sequence[Window] = WINDOW,
    rules: Rules | Mapping[str, Any] | None = None,
    parameters: Sequence[str] | None = None,
    units: tuple[str, str] = ("", ""),
    reasons: Literal["text", "code"] = "text",
    **rule_overrides: Any,
) -> xr.Dataset:
    """Return the NCA parameters of many profiles given as matrices, such as simulated patients.

    Parameters
    ----------
    conc : array_like, shape (patients, samples)
        Levels; NaN where there is no sample. [any]
    time : array_like, shape (samples,) or (patients, samples)
        Time since the infusion. [day]
    lloq : array_like, optional
        Broadcast against `conc`; a level below it is BLQ, a level equal to it is not. [any]
    censored : array_like of bool, optional
        Samples that are BLQ whatever their value. A level of 0 is always BLQ.
    ids : sequence of str, optional
        Names of the patients; numbers from 1 by default.
    dose : array_like, optional
        Broadcast to (patients,).
    units : (str, str)
        Units of level and dose.
    window, rules, parameters, reasons, **rule_overrides
        As for `table`.

    Returns
    -------
    xarray.Dataset
        As `table` returns.
    """
    rule = rules_of(rules, rule_overrides)
    one_of(reasons, ("text", "code"), "form of reasons")
    level = np.asarray(conc, dtype=np.float64)
    if level.ndim != 2:
        raise ValueError(f"conc must have shape (patients, samples), not {level.shape}.")
    clock = np.broadcast_to(np.asarray(time, dtype=np.float64), level.shape)
    limit = np.broadcast_to(np.nan if lloq is None else np.asarray(lloq, float), level.shape)
    below = np.broadcast_to(False if censored is None else np.asarray(censored, bool), level.shape)
    amount = np.broadcast_to(np.nan if dose is None else np.asarray(dose, float), level.shape[:1])
    names = np.arange(1, level.shape[0] + 1) if ids is None else np.asarray(ids)
    patients = names.astype(str)
    if patients.shape != level.shape[:1]:
        raise ValueError(f"{patients.size} ids for {level.shape[0]} profiles.")
    todo = plan(rule, window, parameters)
    result = Values.empty(todo, level.shape[0])
    for begin in range(0, level.shape[0], SLICE):
        cut = slice(begin, begin + SLICE)
        samples = matrix_samples(
            level[cut], clock[cut], limit[cut], below[cut], amount[cut], patients[cut], todo
        )
        fill(result, samples, todo, begin)
    return dataset(
        result, todo, patients, endpoint="", unit=units[0], dose_unit=units[1], reasons=reasons
    )


def matrix_samples(
    level: Floats, time: Floats, lloq: Floats, below: NDArray[np.bool_], dose: Floats,
    ids: NDArray[np.str_], todo: Plan,
) -> Samples:  # fmt: skip
    """Return the samples of profiles given as matrices; NaN levels are no samples."""
    there, n = ~np.isnan(level), ids.size
    patient = np.repeat(np.arange(n), there.sum(axis=1))
    value, limit, clock = level[there], lloq[there], time[there]
    quantified = ~below[there] & (value > 0) & ~(value < limit)
    order = in_order(patient, clock)
    if order is not None:
        value, limit, clock = value[order], limit[order], clock[order]
        quantified = quantified[order]
    found = Samples(
        ids=ids, patient=patient, time=clock, visit=clock, level=value, lloq=limit,
        quantified=quantified,
        row=np.full(value.size, -1), dose=np.asarray(dose, dtype=np.float64),
        dose_end=np.zeros(n), horizon=np.full(n, np.inf), problem=no_reason(n),
        notes=np.zeros(n, dtype=np.int64),
    )  # fmt: skip
    return find_problems(found, todo.book, todo.rules)


def candidates(
    trial: xr.Dataset,
    endpoint: str | None = None,
    *,
    rules: Rules | Mapping[str, Any] | None = None,
    infusion: int = 1,
    **rule_overrides: Any,
) -> pd.DataFrame:
    """Return every window that the terminal search looked at.

    Parameters
    ----------
    trial, endpoint, rules, infusion, **rule_overrides
        As for `table`; one endpoint only, by default the first of kind ``"cells"``.

    Returns
    -------
    pandas.DataFrame
        One row per patient and window: ``id``, ``n_points``, ``start``, ``end`` [day],
        ``lambda_z`` [1/day], ``half_life`` [day], ``r_squared``, ``adj_r_squared``,
        ``span_ratio``, ``chosen``, and ``status``, why it is or is not the one.
    """
    rule = rules_of(rules, rule_overrides)
    ids = np.asarray(trial["id"].values).astype(str)
    courses = infusions(trial, ids, rule.course_gap)
    which = positive_int(infusion, "infusion") - 1
    course = courses[which] if which < len(courses) else no_course(ids.size)
    name = endpoint or cell_endpoints(trial)[0]
    todo = plan(rule, WINDOW, None)
    return candidate_rows(samples_of(trial, name, course, rule, todo.book), todo)


def parameters(
    window: Window | Sequence[Window] = WINDOW, rules: Rules | None = None
) -> pd.DataFrame:
    """Return the catalogue of parameters.

    Parameters
    ----------
    window : (float, float) or sequence of them
        Days of the areas that are listed. [day]
    rules : Rules, optional
        Rules that decide which parameters there are; the default ones if not given.

    Returns
    -------
    pandas.DataFrame
        Indexed by name: ``label``, ``unit`` (kind), ``cdisc``, ``needs``, ``statistic``,
        ``default``, ``about``.

    Examples
    --------
    >>> parameters().loc["half_life", ["label", "cdisc"]].tolist()
    ['t½', 'LAMZHL']
    """
    known = plan(rules or Rules(), window, None).known
    columns = ("label", "unit", "cdisc", "needs", "statistic", "default", "about")

    def row(p: Parameter) -> list[object]:
        return [getattr(p, c) for c in columns]

    index = pd.Index(known, name="parameter")
    return pd.DataFrame([row(p) for p in known.values()], index=index, columns=list(columns))
