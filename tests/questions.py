"""Every public function with arguments that work, so that one at a time can be spoiled."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from cart_pkpd import data, datasets, dose, endpoints, fit, models, nca, plots

NUMBER = re.compile(r"\b(float|int)\b")
CONC, TIME = [0.0, 200.0, 900.0, 300.0, 80.0, 20.0], [0.0, 3.0, 7.0, 14.0, 28.0, 60.0]


@dataclass(frozen=True)
class Question:
    """A public function or class, the arguments that work, and those that are numbers."""

    name: str
    function: Callable[..., Any]
    arguments: Mapping[str, Any]

    def numbers(self) -> list[str]:
        """Return the arguments that hold a number, given or not."""
        found = []
        for name, p in inspect.signature(self.function).parameters.items():
            numeric = isinstance(p.annotation, str) and NUMBER.search(p.annotation)
            table = isinstance(p.annotation, str) and re.search("Dataset|DataFrame", p.annotation)
            if numeric and not table and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL):
                found.append(name)
        return found

    def spoiled(self, name: str, bad: float) -> Any:
        """Return a value of an argument's own shape with a bad number in it."""
        parameter = inspect.signature(self.function).parameters[name]
        usual, kind = self.arguments.get(name, parameter.default), str(parameter.annotation)
        if isinstance(usual, tuple | list) and len(usual):
            return type(usual)([*usual[:-1], bad])
        if "Mapping[" in kind:
            return {bad: next(iter(usual.values()))} if isinstance(usual, dict) else {"x": bad}
        if "tuple[float, float]" in kind:
            return (0.0, bad)
        if re.search(r"Sequence\[|tuple\[", kind):
            return (bad,)
        return bad

    def ask(self, **changes: Any) -> Any:
        """Call it with some arguments changed."""
        return self.function(**{**self.arguments, **changes})


@cache
def small() -> xr.Dataset:
    trial = datasets.load("fast01")
    keep = trial["id"].values[:12]
    one = trial.isel(obs=np.flatnonzero(np.isin(trial["patient"].values, keep)))
    one = one.isel(dosing=np.flatnonzero(np.isin(one["dose_patient"].values, keep)))
    one = one.isel(event=np.flatnonzero(np.isin(one["event_patient"].values, keep)))
    return one.isel(id=np.arange(12))


@cache
def tables() -> dict[str, Any]:
    """Return the trial, its NCA and its clinical tables."""
    lesions = endpoints.read_lesions(datasets.load("fast01", "lesions"))
    followup = endpoints.read_followup(datasets.load("fast01", "followup"))
    points = endpoints.recist(lesions)
    best = endpoints.best_response(points, followup)
    trial = datasets.load("fast01")
    return {
        "trial": trial, "params": nca.table(trial, "transgene"), "lesions": lesions,
        "followup": followup, "points": points, "best": best,
        "pfs": endpoints.pfs(points, followup), "os": endpoints.os(followup),
        "doses": dose.data(trial),
    }  # fmt: skip


def questions() -> Iterator[Question]:
    """Yield the questions that take no sampling."""
    yield from _of("data", _data())
    yield from _of("nca", _nca())
    yield from _of("fit", _priors())
    yield from _of("models", _models())
    yield from _of("endpoints", _endpoints())
    yield from _of("dose", _dose())
    yield from _of("plots", _plots())


def _of(module: str, found: Mapping[str, tuple[Callable, Mapping]]) -> Iterator[Question]:
    for name, (function, arguments) in found.items():
        yield Question(f"{module}.{name}", function, arguments)


def _data():
    frame = pd.DataFrame({"ID": ["a"] * 6, "TIME": TIME, "DV": CONC})
    return {"read_table": (data.read_table, {"source": frame, "echo": False, "lloq": 10.0})}


def _nca():
    params = tables()["params"]
    event = np.array([True, False] * 3)
    return {
        "Blq": (nca.Blq, {}), "Rules": (nca.Rules, {}),
        "auc": (nca.auc, {"conc": CONC, "time": TIME}),
        "cmax": (nca.cmax, {"conc": CONC, "time": TIME}),
        "kaplan_meier": (nca.kaplan_meier, {"time": np.array(TIME), "event": event}),
        "turnbull": (nca.turnbull, {"lower": np.array(TIME), "upper": np.array(TIME) + 1}),
        "label_table": (nca.label_table, {"params": params}),
        "parameters": (nca.parameters, {}),
        "persistence": (nca.persistence, {"params": params}),
        "proportionality": (nca.proportionality, {"params": params}),
        "summary": (nca.summary, {"params": params}),
        "candidates": (nca.candidates, {"trial": small(), "endpoint": "transgene"}),
        "table": (nca.table, {"trial": small(), "endpoint": "transgene"}),
    }  # fmt: skip


def _priors():
    return {
        "Normal": (fit.Normal, {"mu": 0.0, "sigma": 1.0}),
        "LogNormal": (fit.LogNormal, {"median": 1.0, "sigma": 1.0}),
        "LogitNormal": (fit.LogitNormal, {"median": 0.5, "sigma": 1.0}),
        "HalfNormal": (fit.HalfNormal, {"sigma": 1.0}),
        "HalfCauchy": (fit.HalfCauchy, {"scale": 1.0}),
        "Cauchy": (fit.Cauchy, {"mu": 0.0, "scale": 1.0}),
        "Exponential": (fit.Exponential, {"mean": 1.0}),
        "Gamma": (fit.Gamma, {"shape": 1.0, "rate": 1.0}),
        "Beta": (fit.Beta, {"a": 1.0, "b": 1.0}),
        "LKJ": (fit.LKJ, {"eta": 2.0}),
    }


def _models():
    return {
        "Parameter": (models.Positive, {"typical": 1.0}),
        "Fraction": (models.Fraction, {"typical": 0.5}),
        "Real": (models.Real, {"typical": 0.5}),
        "Fixed": (models.Fixed, {"value": 1.0}),
        "Covariate": (models.Covariate, {"typical": 1.0}),
        "Input": (models.Input, {"typical": 1.0}),
        "State": (models.State, {}),
        "Cytokine": (models.Cytokine, {"name": "il6", "base": 1.0, "peak": 10.0}),
        "tocilizumab": (models.tocilizumab, {}),
        "cytokines": (models.cytokines, {"names": ("il6",)}),
        "tumour": (models.tumour, {}),
    }


def _endpoints():
    t = tables()
    response = {"timepoints": t["points"], "followup": t["followup"]}
    return {
        "best_response": (endpoints.best_response, response),
        "pfs": (endpoints.pfs, response),
        "os": (endpoints.os, {"followup": t["followup"]}),
        "duration_of_response": (endpoints.duration_of_response, {**response, "best": t["best"]}),
        "from_landmark": (endpoints.from_landmark, {"tte": t["pfs"], "day": 60.0}),
        "kaplan_meier": (endpoints.kaplan_meier, {"tte": t["pfs"]}),
        "landmark": (endpoints.landmark, {"times": t["pfs"]}),
        "orr": (endpoints.orr, {"best": t["best"], "trial": t["trial"], "by": "dose_level"}),
        "read_lesions": (
            endpoints.read_lesions, {"table": datasets.load("fast01", "lesions")},
        ),
        "adverse_event_at_least": (endpoints.adverse_event_at_least, {"grade": 3}),
        "crs_at_least": (endpoints.crs_at_least, {"grade": 3}),
        "exposure_response": (
            endpoints.exposure_response,
            {"patients": t["params"], "outcome": "crs_grade", "exposure": "cmax"},
        ),
    }  # fmt: skip


def _dose():
    target = {"target": 0.3}
    observed = {1e6: (0, 3), 3e6: (1, 6)}
    known = dose.counts(observed, levels=[1e6, 3e6, 1e7])
    boin = dose.BOIN(target=0.3)
    scenario = dict(levels=[1e6, 3e6, 1e7], p=[0.05, 0.2, 0.5], target=0.3, max_patients=18,
                    accrual=2.0)  # fmt: skip
    made = dose.Scenario(**scenario)
    return {
        "BOIN": (dose.BOIN, target), "TITEBOIN": (dose.TITEBOIN, target),
        "Keyboard": (dose.Keyboard, {**target, "below": 0.05, "above": 0.05}),
        "TPI": (dose.TPI, {**target, "k1": 1.0, "k2": 1.5, "prior": (1.0, 1.0)}),
        "TITECRM": (dose.TITECRM, {**target, "sd": 1.16, "skeleton": (0.1, 0.2, 0.3)}),
        "BivariateNormal": (
            dose.BivariateNormal, {"mean": (0.0, 0.0), "sd": (1.0, 1.0), "corr": 0.0},
        ),
        "Coherence": (dose.Coherence, target), "CohortSize": (dose.CohortSize, {"size": 3}),
        "Levels": (dose.Levels, {"doses": (1e6, 1e7)}),
        "MaxPatients": (dose.MaxPatients, {"n": 30}),
        "MaxPending": (dose.MaxPending, {"share": 0.5}),
        "MaxRatio": (dose.MaxRatio, {"ratio": 3.0}),
        "MinBeforeEscalation": (dose.MinBeforeEscalation, {"n": 3}),
        "Onset": (dose.Onset, {"days": (0.0, 28.0), "share": (0.0, 1.0)}),
        "Scenario": (dose.Scenario, scenario),
        "StopIfToxic": (dose.StopIfToxic, {"threshold": 0.3, "confidence": 0.9}),
        "StopIfUnderdosed": (
            dose.StopIfUnderdosed, {"threshold": 0.3, "confidence": 0.9, "min_patients": 3},
        ),
        "StopWhen": (dose.StopWhen, {"min_patients": 9}),
        "beta_onset": (dose.beta_onset, {"a": 1.0, "b": 1.0}),
        "counts": (dose.counts, {"observed": observed, "levels": [1e6, 3e6, 1e7]}),
        "data": (dose.data, {"trial": tables()["trial"]}),
        "log_odds": (dose.log_odds, {"p": 0.3}),
        "order_free": (dose.order_free, {"data": known}),
        "paths": (dose.paths, {"design": boin, "levels": [1e6, 3e6], "cohorts": 2}),
        "scenarios": (dose.scenarios, {"design": boin, "data": known}),
        "simulate_trials": (
            dose.simulate_trials, {"design": boin, "scenario": made, "trials": 20, "seed": 1},
        ),
        "skeleton": (dose.skeleton, {"halfwidth": 0.05, "target": 0.3, "nu": 2, "n": 4}),
        "weibull_onset": (dose.weibull_onset, {"shape": 1.0, "scale": 10.0}),
        "peaks": (dose.peaks, {"trial": tables()["trial"], "cytokines": ["il6"]}),
    }  # fmt: skip


def _plots():
    t = tables()
    return {
        "profiles": (plots.profiles, {"endpoint": data.endpoint(small(), "transgene")}),
        "persistence": (plots.persistence, {"table": nca.persistence(t["params"])}),
        "survival": (plots.survival, {"found": endpoints.kaplan_meier(t["pfs"])}),
    }
