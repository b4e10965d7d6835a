"""The box that opens the report, and what tells whether its numbers can be trusted."""

from __future__ import annotations

import numpy as np
import xarray as xr

from cart_pkpd import data
from cart_pkpd.plots import _text
from cart_pkpd.plots._axes import below
from cart_pkpd.report._blocks import Answer
from cart_pkpd.report._fits import best_model
from cart_pkpd.report._inputs import Inputs
from cart_pkpd.report._trial import cells, label

MOST_NAMED = 4  # endpoints in the first sentence


def box(inputs: Inputs) -> Answer:
    """Return the box: the dose and its rule, or what was analysed where no dose was asked for."""
    ends = (("Data cut-off", inputs.data_cutoff or "not stated"),)
    found = inputs.dose
    if found is None:
        n = _text.count(inputs.trial.sizes["id"], "patient")
        return Answer("Analysed", n, analysed(inputs), facts=ends)
    lead, dose, why = found.answer()
    d = found.data
    pairs = (
        ("Treated", _text.count(len(d.patients), "patient")),
        ("DLTs", f"{int(d.dlts.sum())} of {int(d.n.sum())} evaluable"),
        ("Pending", f"{int(d.pending.sum())} in {d.window:g} days"),
        *((("Designs", f"{', '.join(found.decisions)} agree"),) if found.agree else ()),
        *ends,
    )
    rules = found.reasons()
    if len(found.decisions) > 1 and not found.agree:
        rules.insert(0, ("Designs:", found.agreement()))
    return Answer(lead, dose, _text.sentence(why), tuple(rules), pairs, tuple(found.flags()))


def verdicts(inputs: Inputs) -> list[tuple[str, bool | None, str]]:
    """Return whether each fit converged, whether the chain did, and which model predicts best."""
    items: list[tuple[str, bool | None, str]] = [
        (f"Fit {name}", bool(fit.result.verdict.ok), fit.result.verdict.sentence)
        for name, fit in inputs.fits.items()
    ]
    items += [
        (f"Fit {name}", False, f"Failed. {why[:1].upper()}{why[1:]}")
        for name, why in inputs.failures.items()
    ]
    chain = inputs.dose.chain if inputs.dose is not None else None
    if chain is not None:
        items.append(("From dose to DLT", bool(chain.verdict.ok), chain.verdict.sentence))
    if inputs.comparison is not None and not inputs.comparison.empty:
        items.append(("Best model", None, best_model(inputs.comparison)))
    elif not inputs.fits:
        items.append(("Models", None, "None fitted."))
    return items


def analysed(inputs: Inputs) -> str:
    """Return who and what was analysed, in one sentence."""
    trial = inputs.trial
    n = trial.sizes["id"]
    parts = [_text.count(n, "patient")]
    if "dose_level" in trial.variables:
        levels = np.unique(trial["dose_level"].values.astype(float))
        levels = levels[np.isfinite(levels)]
        unit = _text.dose_unit(trial)
        if levels.size:
            ends = [_text.dose(float(v), unit) for v in (levels[0], levels[-1])]
            span = ends[0] if levels.size == 1 else f"{ends[0]} to {ends[1]}"
            parts[0] += f" at {_text.count(levels.size, 'dose level')} ({span})"
    names = data.endpoints(trial)
    observations = _text.count(trial.sizes["obs"], "observation")
    parts.append(f"{observations} of {_text.count(len(names), 'endpoint')}")
    parts += [_records(trial, name) for name in (inputs.analysed or cells(inputs))[:MOST_NAMED]]
    return "; ".join(parts) + "."


def _records(trial: xr.Dataset, name: str) -> str:
    low = below(trial["censoring"].values)[trial["endpoint"].values == name]
    share = _text.percent(round(float(low.mean()), 2))
    return f"{label(trial, name)}: {_text.count(low.size, 'record')}, {share} below the LLOQ"
