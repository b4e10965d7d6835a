"""Operating characteristics of designs: what simulated trials select, whom they treat, how long."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from cart_pkpd import executor as executors
from cart_pkpd._core import words
from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import as_seed, instance, one_of, positive_int, shown
from cart_pkpd._dose.design import Design
from cart_pkpd._dose.simulated_patients import BLOCK, Draws
from cart_pkpd._dose.state import Floats, Ints
from cart_pkpd._dose.trial_scenario import Scenario
from cart_pkpd._dose.trials import Ended, simulate
from cart_pkpd.executor import Executor

LENGTH_SHARE = 0.9  # of the trials that are no longer than ``length_q90``
_HEAVY = 0.6  # share of overdosed patients from which a trial counts as one of "overdosed trials"
PENDING = ("design", "wait")

type Progress = Callable[[int, int, str], None]


def trials_of(
    design: Design, scenario: Scenario, trials: int, seed: int, pending: str, patients: bool
) -> xr.Dataset:
    """Return simulated trials with their summary; see ``dose.simulate_trials``."""
    positive_int(trials, "the number of trials")
    one_of(pending, PENDING, "pending")
    as_seed(seed)
    check(design, scenario)
    follow = design.uses_follow_up and pending == "design"
    blocks = []
    for b, start in enumerate(range(0, trials, BLOCK)):
        size = min(BLOCK, trials - start)
        ended = simulate(design, scenario, Draws(scenario, size, seed, b), size, follow)
        blocks.append(_counted(ended, scenario, patients))
    out = _joined(_padded(blocks), "trial", "minimal") if len(blocks) > 1 else blocks[0]
    out = out.assign_coords(trial=np.arange(trials))
    out = out.merge(summary(out, scenario))
    return out.assign_attrs(
        design=design.description, trials=trials, seed=seed, pending=pending,
        target=scenario.target, margin=scenario.margin, window=scenario.window,
    )  # fmt: skip


def compare(
    designs: Mapping[str, Design], scenarios: Mapping[str, Scenario], trials: int, seed: int,
    pending: str, jobs: int = 1, executor: Executor | None = None,
    progress: Progress | None = None,
) -> xr.Dataset:  # fmt: skip
    """Return the summaries of every design in every scenario; see ``dose.compare_designs``."""
    _named(designs, "designs", '{"BOIN": dose.BOIN(0.30)}')
    _named(scenarios, "scenarios", '{"steep": dose.Scenario(...)}')
    for design in designs.values():  # before any of them takes its time
        for s in scenarios.values():
            check(design, s)
    _same_levels(scenarios)
    positive_int(trials, "the number of trials")
    positive_int(jobs, "jobs")
    as_seed(seed)
    one_of(pending, PENDING, "pending")
    pairs = [(d, s) for d in designs for s in scenarios]
    work = [_Pair(designs[d], scenarios[s], trials, seed, pending) for d, s in pairs]
    found = _each(work, pairs, jobs, executor, progress)
    wide = len(scenarios)
    rows = [_joined(found[i : i + wide], "scenario") for i in range(0, len(found), wide)]
    out = _joined(rows, "design")
    out = out.assign_coords(
        design=("design", list(designs)), scenario=("scenario", list(scenarios))
    )
    for name in ("p", "correct_level", "acceptable_level", "overdose_level"):
        out[name] = out[name].isel(design=0, drop=True)
    return out.assign_attrs(
        trials=trials, seed=seed, pending=pending,
        designs="\n".join(f"{k}: {d.description}" for k, d in designs.items()),
    )  # fmt: skip


@dataclass(frozen=True)
class _Pair:
    """One design in one scenario; a process of its own can simulate it."""

    design: Design
    scenario: Scenario
    trials: int
    seed: int
    pending: str


def _summary_of(pair: _Pair) -> xr.Dataset:
    found = trials_of(
        pair.design, pair.scenario, pair.trials, pair.seed, pair.pending, patients=False
    )
    return found.drop_dims("trial")


def _each(
    work: list[_Pair],
    names: list[tuple[str, str]],
    jobs: int,
    executor: Executor | None,
    progress: Progress | None,
) -> list[xr.Dataset]:
    """Return the summary of every pair in order, wherever it is simulated."""
    done = 0

    def heard(index: int, _result: Any) -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, len(work), ", ".join(names[index]))

    workers = executors.get(executor, jobs=None if executor is not None else jobs)
    with workers as chosen:
        found = chosen.map(_summary_of, work, on_done=heard)
    for (design, scenario), one in zip(names, found, strict=True):
        if isinstance(one, executors.Failed):
            raise DataError(f"{design} in the scenario {scenario!r}: {one.sentence}")
    return found


def _named(given: Any, what: str, example: str) -> None:
    """Raise if something is no mapping by name with at least one entry."""
    if not isinstance(given, Mapping):
        raise DataError(f"{what} must be a dict by name, such as {example}, not {shown(given)}.")
    if not given:
        raise DataError("compare_designs needs at least one design and one scenario.")


def _joined(
    parts: list[xr.Dataset], dim: str, data_vars: Literal["all", "minimal"] = "all"
) -> xr.Dataset:
    return xr.concat(
        parts, dim, data_vars=data_vars, coords="minimal", compat="override", join="exact",
        combine_attrs="drop",
    )  # fmt: skip


def check(design: Design, scenario: Scenario) -> None:
    """Raise if there is no design or scenario, or the design is for other doses."""
    instance(design, Design, "a design", "dose.BOIN(0.30)")
    instance(scenario, Scenario, "a scenario", "dose.Scenario(levels=..., ...)")
    doses, planned = design._doses, scenario.planned
    own = getattr(design, "planned", None)
    unit = planned.unit if own is None else own.unit
    same = unit == planned.unit and (
        doses is None
        or (doses.shape == planned.array.shape and np.allclose(doses, planned.array, rtol=1e-6))
    )
    if not same:
        assert doses is not None
        said = [words.doses(d, u) for d, u in ((doses, unit), (planned.array, planned.unit))]
        raise DataError(
            f"the {design.name} is for the doses {said[0]}, but the scenario has {said[1]}; give "
            "both the same levels."
        )
    onset = getattr(design, "onset", None)
    if onset is not None:
        onset.check_window(scenario.window)
    skeleton = getattr(design, "skeleton", None)
    if skeleton is not None and len(skeleton) != len(planned):
        raise DataError(
            f"the skeleton has {len(skeleton)} levels, but the scenario has {len(planned)}; give "
            "one guess per planned dose."
        )


def _same_levels(scenarios: Mapping[str, Scenario]) -> None:
    first, *others = scenarios.items()
    for name, s in others:
        if (s.planned.doses, s.planned.unit) != (first[1].planned.doses, first[1].planned.unit):
            raise DataError(
                f"scenario {name!r} has other dose levels than {first[0]!r}; compare designs on "
                "the same levels."
            )


def _counted(ended: Ended, s: Scenario, patients: bool) -> xr.Dataset:
    """Return one block of trials as a Dataset."""
    r, k = ended.records, len(s.planned)
    real = np.arange(r.level.shape[1]) < ended.treated[:, None]
    place = np.arange(ended.mtd.size)[:, None] * k + r.level
    fine = real & (r.lost > r.known)  # never lost

    def count(mask: np.ndarray) -> Ints:
        return np.bincount(place[mask], minlength=ended.mtd.size * k).reshape(-1, k)

    grid = ("trial", "level")
    out = xr.Dataset(
        {
            "mtd": ("trial", ended.mtd + 1),
            "ended": ("trial", ended.ended),
            "trial_length": ("trial", ended.length, {"units": "day"}),
            "n_treated": (grid, count(real)),
            "n_evaluable": (grid, count(fine)),
            "n_dlts": (grid, count(real & r.dlt)),
        },
        coords={
            "level": np.arange(1, k + 1),
            "dose": ("level", s.planned.array, {"units": s.planned.unit}),
        },
    )
    out["mtd"].attrs["about"] = "level selected, 0 for none"
    out["ended"].attrs["about"] = "0 at the largest size, 1 stopped with a dose, 2 without"
    return _with_patients(out, ended, real) if patients else out


def _with_patients(out: xr.Dataset, ended: Ended, real: np.ndarray) -> xr.Dataset:
    r, grid = ended.records, ("trial", "patient")
    fine = r.lost > r.known
    values = {
        "patient_level": np.where(real, r.level + 1, 0),
        "patient_infused": np.where(real, r.infused, -1),
        "patient_known": np.where(real, r.known, -1),
        "patient_dlt": real & r.dlt,
        "patient_below": real & r.below,
        "patient_evaluable": real & fine,
    }
    return out.assign({k: (grid, v) for k, v in values.items()})


def _padded(blocks: list[xr.Dataset]) -> list[xr.Dataset]:
    most = max(b.sizes.get("patient", 0) for b in blocks)
    if not most:
        return blocks
    empty = {"patient_infused": -1, "patient_known": -1}
    return [
        b.pad(patient=(0, most - b.sizes["patient"]), constant_values={
            k: empty.get(str(k), 0) for k, v in b.items() if "patient" in v.dims
        }) for b in blocks
    ]  # fmt: skip


def summary(trials: xr.Dataset, s: Scenario) -> xr.Dataset:
    """Return operating characteristics with Monte-Carlo standard errors.

    Parameters
    ----------
    trials : xr.Dataset
        With ``mtd``, ``ended``, ``trial_length`` and counts per trial.
    s : Scenario
    """
    mtd = trials["mtd"].values
    treated, dlts = trials["n_treated"].values, trials["n_dlts"].values
    chosen = mtd[:, None] == trials["level"].values
    size = treated.sum(axis=1)
    over = treated[:, s.overdose].sum(axis=1)
    none = mtd == 0
    right = none if s.none_is_correct else chosen[:, s.correct].any(axis=1)
    fine = none if s.none_is_correct else chosen[:, s.acceptable].any(axis=1)
    per_level = {
        "selected": chosen,
        "patients": treated,
        "dlts": dlts,
        "patient_share": treated / size[:, None],
    }
    whole = {
        "none": none,
        "stopped": trials["ended"].values > 0,
        "correct": right,
        "acceptable": fine,
        "overdose_selected": chosen[:, s.overdose].any(axis=1),
        "at_correct": treated[:, s.correct].sum(axis=1) / size,
        "size": size,
        "evaluable": trials["n_evaluable"].values.sum(axis=1),
        "total_dlts": dlts.sum(axis=1),
        "overdosed": over,
        "overdosed_share": over / size,
        "overdosed_trials": over >= _HEAVY * size,
        "length": trials["trial_length"].values,
    }
    out = xr.Dataset()
    for group, dims in ((per_level, ("level",)), (whole, ())):
        for name, values in group.items():
            mean, error = _mean(values)
            out[name] = (dims, mean)
            out[f"{name}_se"] = (dims, error)
    for name, q in (("length_median", 0.5), ("length_q90", LENGTH_SHARE)):
        out[name], out[f"{name}_se"] = _quantile(trials["trial_length"].values, q)
    out["p"] = ("level", s.rates)
    for name in ("correct", "acceptable", "overdose"):
        out[f"{name}_level"] = ("level", np.asarray(getattr(s, name)))
    for name, about in MEANING.items():
        out[name].attrs["about"] = about
    for name in ("length", "length_median", "length_q90"):
        out[name].attrs["units"] = "day"
    return out


MEANING = {
    "selected": "share of trials that select the level as MTD",
    "none": "share of trials that select no level",
    "stopped": "share of trials that a rule stops before their largest size",
    "correct": "share of trials that select the level closest to the target, or none where even "
    "the lowest is an overdose",
    "acceptable": "share of trials that select a level within the margin of the target, or none "
    "where even the lowest is an overdose",
    "overdose_selected": "share of trials that select a level above the target and its margin",
    "at_correct": "mean share of a trial's patients at the correct level",
    "patients": "mean patients treated at the level",
    "patient_share": "mean share of a trial's patients at the level",
    "dlts": "mean patients with a DLT at the level",
    "size": "mean patients treated",
    "evaluable": "mean patients evaluable",
    "total_dlts": "mean patients with a DLT",
    "overdosed": "mean patients treated above the target and its margin",
    "overdosed_share": "mean share of a trial's patients treated above the target and its margin",
    "overdosed_trials": "share of trials with at least 60 % of their patients so treated",
    "length": "mean time from the first infusion to the last outcome or decision",
    "length_median": "median of that time",
    "length_q90": "90 % quantile of that time",
}


def _mean(values: np.ndarray) -> tuple[Floats, Floats]:
    """Return means over trials and their standard errors; NaN for the error of one trial."""
    v = values.astype(float)
    n = v.shape[0]
    error = v.std(axis=0, ddof=1) / np.sqrt(n) if n > 1 else np.full(v.shape[1:], np.nan)
    return v.mean(axis=0), np.asarray(error)


def _quantile(values: Ints, q: float) -> tuple[float, float]:
    """Return a quantile and its standard error, half the span of the ranks one SD away."""
    n = values.size
    away = np.sqrt(q * (1 - q) / n)
    low, high = np.quantile(values, [max(q - away, 0), min(q + away, 1)])
    return float(np.quantile(values, q)), float((high - low) / 2) if n > 1 else float("nan")


SHOWN = (
    "correct", "acceptable", "overdose_selected", "none", "stopped", "size", "total_dlts",
    "overdosed", "overdosed_share", "length_median", "length_q90",
)  # fmt: skip


def table_of(result: xr.Dataset, what: str, errors: bool) -> pd.DataFrame:
    """Return operating characteristics as rows; see ``dose.operating_table``."""
    one_of(what, ("overall", "levels"), "table")
    instance(result, xr.Dataset, "a result", "dose.compare_designs(...)")
    if "correct" not in result or "selected" not in result:
        raise DataError(
            "this is no result of dose.simulate_trials or dose.compare_designs; pass one of them."
        )
    data = result.drop_dims("trial", errors="ignore")
    keys = [d for d in ("scenario", "design") if d in data.dims]
    names: tuple[str, ...] = SHOWN
    if what == "levels":
        names = ("selected", "patients", "patient_share", "dlts")
        keys = [*keys, "level"]
    columns = [c for n in names for c in ((n, f"{n}_se") if errors else (n,))]
    if what == "levels":
        columns = ["dose", "p", *columns]
    shown = data[[c for c in columns if c != "dose"]]
    if not keys:
        out = pd.DataFrame([{c: float(data[c]) for c in columns}])
    else:
        out = shown.to_dataframe(dim_order=keys).reset_index()[[*keys, *columns]]
    out.attrs["units"] = {c: "day" for c in columns if c.startswith("length")}
    if what == "levels":
        out.attrs["units"]["dose"] = str(data["dose"].attrs.get("units", ""))
    return out
