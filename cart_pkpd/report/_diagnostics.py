"""What is shown of a fit beside its parameters: priors, residuals, deviations, convergence."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr

from cart_pkpd import plots
from cart_pkpd._checks.prior_sensitivity import MEANING
from cart_pkpd.plots import _text
from cart_pkpd.report._blocks import Block, Details, Row, Section, Text, picture
from cart_pkpd.report._files import slugs
from cart_pkpd.report._inputs import Fit, Inputs
from cart_pkpd.report._tables import Kind, Table, from_frame

Labels = dict[str, tuple[str, str, Kind]]

_PRIORS: Labels = {
    "quantity": ("Quantity", "", "text"),
    "distribution": ("Prior", "", "text"),
    "shown": ("Prior median (interval)", "", "text"),
    "posterior": ("Posterior median (interval)", "", "text"),
    "origin": ("From", "", "text"),
    "source": ("Source", "", "text"),
}
_SENSITIVITY: Labels = {
    "quantity": ("Quantity", "", "text"),
    "prior": ("To the priors", "", "fine"),
    "likelihood": ("To the data", "", "fine"),
    "diagnosis": ("Diagnosis", "", "text"),
    "weaker": ("Median, priors half as strong", "", "number"),
    "median": ("Median", "", "number"),
    "stronger": ("Median, priors twice as strong", "", "number"),
}
_CRITERIA: Labels = {
    "label": ("Criterion", "", "text"),
    "value": ("Value", "", "fine"),
    "limit": ("Limit", "", "text"),
    "passed": ("Met", "", "text"),
    "where": ("Where", "", "text"),
    "source": ("Source of the limit", "", "text"),
}
_SHRUNK = 0.3


def priors(name: str, found: Fit, file: str) -> Iterator[Block]:
    """Yield the table of priors beside posteriors."""
    table = found.priors
    if table is None and hasattr(found.result, "priors"):
        table = found.result.priors()
    if table is not None:
        yield prior_table(name, table, found, file)


def sensitivity_section(inputs: Inputs) -> Section | None:
    """Return what every fit owes to its priors, or None where no fit has that check."""
    files = slugs(inputs.fits)
    found = [(n, f, f.sensitivity) for n, f in inputs.fits.items() if f.sensitivity is not None]
    if not found:
        return None
    blocks: list[Block] = []
    for name, _, one in found:
        lead = f"{name}: " if len(found) > 1 else ""
        blocks.append(Text(f"{lead}{sensitivity_sentence(one)}"))
    blocks.append(
        Row(tuple(_sensitivity_picture(name, one, files[name]) for name, _, one in found))
    )
    blocks += [
        Details(f"{name}: medians under weaker and stronger priors",
                (sensitivity_table(name, one, fit, files[name]),))
        for name, fit, one in found
    ]  # fmt: skip
    return Section("sensitivity", "Sensitivity to the priors", tuple(blocks))


def prior_table(name: str, table: pd.DataFrame, found: Fit, file: str) -> Table:
    """Return every prior with its interval, where it is from, and the posterior."""
    posterior = found.result.table()
    share = _text.percent(float(table.attrs.get("prob", 0.9)))
    frame = table.rename(columns={"prior": "distribution"})
    frame = frame.assign(
        shown=[_interval(row) for _, row in frame.iterrows()],
        posterior=[
            _interval(posterior.loc[q]) if q in posterior.index else _text.MISSING
            for q in frame.index
        ],
    ).rename_axis("quantity")  # fmt: skip
    notes = (
        f"Intervals are equal-tailed, {share}. From: published, transcribed and computed values "
        "have a source; assumed ones have none. IIV: a prior's median is the published value where "
        "there is one.",
    )
    frame, title = _ordered(frame, _PRIORS), f"{name}: priors and where they are from"
    return from_frame(frame, f"fit_{file}_priors", title,
                      labels=_PRIORS, notes=notes, shown=tuple(_PRIORS))  # fmt: skip


def _ordered(frame: pd.DataFrame, labels: Labels) -> pd.DataFrame:
    """Return the frame with the columns that are printed first, in printed order."""
    first = [name for name in labels if name in frame]
    return frame[[*first, *(c for c in frame.columns if c not in labels)]]


def _interval(row: pd.Series) -> str:
    middle, low, high = (float(row[c]) for c in ("median", "lower", "upper"))
    if not np.isfinite([low, high]).all():
        return _text.number(middle)
    return f"{_text.number(middle)} ({_text.interval(low, high)})"


def sensitivity_sentence(found: xr.Dataset) -> str:
    """Return which quantities owe their posterior to the priors, in words."""
    diagnosis = pd.Series(found["diagnosis"].to_numpy(), index=found["quantity"].to_numpy())
    said = [
        f"{', '.join(map(str, own.index))}: {kind} ({MEANING.get(kind, 'see the reason')})"
        for kind, own in diagnosis.groupby(diagnosis)
        if kind not in ("data decide", "neither matters")
    ]
    if not said:
        return "Priors: no posterior depends much on its prior."
    return f"Priors that matter. {'; '.join(said)}."


def _sensitivity_picture(name: str, found: xr.Dataset, file: str) -> Block:
    return picture(
        f"fit_{file}_prior_sensitivity",
        lambda: plots.prior_sensitivity(found),
        caption=f"{name}: sensitivity of each posterior to the priors and to the data, by power "
        "scaling (Kallioinen et al. 2024). Above the threshold on both sides priors and data may "
        "disagree; "
        "above it for the priors only, the posterior is mostly the prior.",
        alt="One row per quantity with its sensitivity to priors and data on a log axis.",
    )


def sensitivity_table(name: str, found: xr.Dataset, fit: Fit, file: str) -> Table:
    """Return sensitivities, diagnoses, and medians under weaker and stronger priors."""
    frame = found[["prior", "likelihood", "diagnosis"]].to_dataframe()
    frame = frame[["prior", "likelihood", "diagnosis"]].rename_axis("quantity")
    frame["median"] = fit.result.table()["median"].reindex(frame.index)
    strength = found["strength"].to_numpy()
    for column, power in (("weaker", 0.5), ("stronger", 2.0)):
        if power in strength:
            frame[column] = found["median"].sel(strength=power).to_numpy()
    labels = {k: v for k, v in _SENSITIVITY.items() if k in frame or k == "quantity"}
    notes = ("A median is missing where the draws cannot tell it (Pareto k above 0.7).",)
    frame, title = _ordered(frame, labels), f"{name}: sensitivity to the priors"
    return from_frame(frame, f"fit_{file}_prior_sensitivity", title,
                      labels=labels, notes=notes, shown=tuple(labels))  # fmt: skip


def residuals(residuals: xr.Dataset, file: str) -> Iterator[Block]:
    """Yield goodness of fit and prediction distribution errors."""
    yield picture(
        f"fit_{file}_gof",
        lambda: plots.gof(residuals),
        caption="Goodness of fit: observed against predicted, and CWRES and IWRES along time and "
        "prediction with running quantiles over the bands of standard normal values. IWRES scatter "
        "less than these by shrinkage.",
        alt="Six panels: observed against predicted, and residuals along time and prediction.",
    )
    yield picture(
        f"fit_{file}_npde",
        lambda: plots.npde(residuals),
        caption="Normalised prediction distribution errors, censored records included: standard "
        "normal if the model is right.",
        alt="Four panels: histogram, QQ plot, errors along time and along prediction.",
    )


def corrected(check: xr.Dataset, file: str) -> Block:
    """Return the prediction-corrected predictive check."""
    strata = check.sizes["stratum"]
    by = f" by {check.attrs['by'].replace('_', ' ')}" if strata > 1 else ""
    scale: plots.TimeScale = "log" if float(check["bin_right"].max()) > 60 else "linear"
    return picture(
        f"fit_{file}_pcvpc",
        lambda: plots.vpc(check, time_scale=scale),
        caption=f"Prediction-corrected visual predictive check{by}: what doses, covariates and "
        "times within a bin explain is taken out (Bergstrand et al. 2011).",
        alt="Corrected observed percentiles over bands of simulated percentiles against time.",
    )


def deviations(check: xr.Dataset, file: str) -> Iterator[Block]:
    """Yield the deviations of patients."""
    yield picture(
        f"fit_{file}_etas",
        lambda: plots.etas(check),
        caption="Deviations of patients from the population (posterior means) beside the normal "
        "with the estimated omega; shrinkage is 1 − sd / omega.",
        alt="One histogram per varying parameter with a normal density.",
    )


def shrinkage_sentence(check: xr.Dataset) -> str:
    """Return which parameters shrink much, in a sentence; empty if none."""
    shrunk = [
        f"{p} {_text.percent(round(float(s), 2))}"
        for p, s in zip(check["parameter"].values, check["shrinkage"].values, strict=True)
        if s > _SHRUNK
    ]
    if not shrunk:
        return ""
    return (
        f"Shrinkage above {_text.percent(_SHRUNK)}: {', '.join(shrunk)}. Of these parameters, "
        "neither individual values nor their correlations say much."
    )


def convergence(name: str, found: Fit, file: str) -> Iterator[Block]:
    """Yield every criterion of convergence with its limit."""
    verdict = found.result.verdict
    if not hasattr(verdict, "criteria"):
        return
    frame = verdict.criteria()
    frame = frame.assign(passed=np.where(frame["met"].astype(bool), "yes", "no"))
    frame, title = _ordered(frame, _CRITERIA), f"{name}: convergence"
    yield from_frame(frame, f"fit_{file}_convergence", title, labels=_CRITERIA,
                     shown=tuple(_CRITERIA))  # fmt: skip
