"""The sections on models: each fit with its checks, and their comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
import xarray as xr

from cart_pkpd import plots
from cart_pkpd.compare import Comparison
from cart_pkpd.plots import _text
from cart_pkpd.report import _diagnostics
from cart_pkpd.report._blocks import Block, Details, Row, Section, Text, picture
from cart_pkpd.report._files import slug, slugs
from cart_pkpd.report._inputs import Fit, Inputs, each
from cart_pkpd.report._tables import Kind, Table, from_frame
from cart_pkpd.report._trial import label

PER_FIGURE = 20  # patients in one figure of individual fits: what fits a printed page

_COMPARED: dict[str, tuple[str, str, Kind]] = {
    "rank": ("Rank", "", "count"),
    "converged": ("Converged", "", "text"),
    "verdict": ("Verdict", "", "text"),
    "elpd": ("elpd", "", "decimal"),
    "se": ("SE of elpd", "", "decimal"),
    "elpd_diff": ("Difference from best", "", "decimal"),
    "dse": ("SE of difference", "", "decimal"),
    "weight": ("Stacking weight", "", "decimal"),
    "p": ("Effective parameters", "", "decimal"),
    "mcse": ("Monte-Carlo SE of elpd", "", "decimal"),
    "pareto_k_bad": ("Large Pareto k", "", "count"),
    "note": ("Can elpd be trusted?", "", "text"),
    "cmax_error": ("Cmax: median error", "%", "decimal"),
    "cmax_rmse": ("Cmax: RMSE (ln)", "", "decimal"),
    "cmax_coverage": ("Cmax: share in 90 % interval", "", "decimal"),
    "auc0_28_error": ("AUC0–28: median error", "%", "decimal"),
    "auc0_28_rmse": ("AUC0–28: RMSE (ln)", "", "decimal"),
    "auc0_28_coverage": ("AUC0–28: share in 90 % interval", "", "decimal"),
    "n_obs": ("Records", "", "count"),
    "n_patients": ("Patients", "", "count"),
    "seconds": ("Run time", "s", "count"),
}
# Of a table that was made by hand.
_UNSAID = {"kind": "bayes", "reliable": True}
_IN_SHORT = (
    "model", "rank", "converged", "elpd", "elpd_diff", "dse", "weight", "p", "pareto_k_bad", "note",
)  # fmt: skip


def section(inputs: Inputs, parts: Sequence[Section]) -> Section:
    """Return the section on fits, with the subsection that `one` made of each."""
    failed = tuple(
        Text(f"{name}: no fit. {why[:1].upper()}{why[1:]}", "warn")
        for name, why in inputs.failures.items()
    )
    if not inputs.fits:
        why = Text("Left out: no fit was passed.", "reason")
        return Section("fits", "Model fits", failed or (why,))
    return Section("fits", "Model fits", failed, tuple(parts))


def one(inputs: Inputs, name: str) -> Section:
    """Return the subsection on one fit."""
    found, file = inputs.fits[name], slugs(inputs.fits)[name]
    result = found.result
    text = " and ".join(label(inputs.trial, name) for name in result.endpoints)
    blocks: list[Block] = [
        Text(f"Fitted to {text}: {getattr(result, 'sentence', result.model_name)}"),
        *(Text(note) for note in getattr(getattr(result, "structure", None), "notes", ())),
        Text(result.verdict.sentence, "good" if result.verdict.ok else "warn"),
        parameter_table(name, result.table(), file),
        *_predictive(inputs, found, file),
        *_shrinkage(found),
        *(Text(why, "reason") for why in found.missing),
        *folded(
            ("Prior and posterior densities", _parameter_pictures(found, file)),
            ("Every patient: data and fitted curve", _individual_pictures(inputs, found, file)),
            ("Residuals and deviations", _residual_pictures(inputs, found, file)),
            ("Where the priors are from", _diagnostics.priors(name, found, file)),
            ("Chains: convergence and ranks", _chains(name, found, file)),
        ),
    ]
    return Section(f"fit-{file}", name, tuple(blocks))


def parameter_table(name: str, table: pd.DataFrame, file: str) -> Table:
    """Return the parameter table: prior and posterior with intervals, diagnostics."""
    share = _text.percent(float(table.attrs.get("prob", 0.9)))
    meaning = [
        _text.with_unit(_text.sentence(str(text)), str(unit))
        for text, unit in zip(table["label"], table["unit"], strict=True)
    ]
    shown = table.assign(
        meaning=meaning,
        prior=_joined(table, "prior_"),
        posterior=_joined(table, ""),
        ess=table[["ess_bulk", "ess_tail"]].min(axis=1),
    )
    labels: dict[str, tuple[str, str, Kind]] = {
        "parameter": ("Parameter", "", "text"),
        "meaning": ("Meaning (unit)", "", "text"),
        "prior": (f"Prior median ({share} interval)", "", "text"),
        "posterior": (f"Posterior median ({share} interval)", "", "text"),
        "rhat": ("R\N{NON-BREAKING HYPHEN}hat", "", "ratio"),
        "ess": ("ESS", "", "count"),
    }
    notes = (
        "Intervals are equal-tailed. omega: standard deviation between patients on the "
        "parameter's own (log or logit) scale. ESS: effective sample size, the lower of bulk and "
        "tail.",
    )
    title = f"{name}: population parameters, prior and posterior"
    first = [name for name in labels if name in shown]
    ordered = shown[[*first, *(c for c in shown.columns if c not in labels)]]
    return from_frame(ordered, f"fit_{file}_parameters", title, labels=labels, notes=notes,
                      shown=tuple(labels))  # fmt: skip


def _joined(table: pd.DataFrame, prefix: str) -> list[str]:
    columns = [table[f"{prefix}{c}"] for c in ("median", "lower", "upper")]
    return [
        f"{_text.number(mid)} ({_text.interval(low, high)})"
        for mid, low, high in zip(*columns, strict=True)
    ]


def _parameter_pictures(found: Fit, file: str) -> Iterator[Block]:
    result = found.result
    yield picture(
        f"fit_{file}_posterior",
        lambda: plots.posterior(result.draws(), result.prior_draws(), truth=found.truth),
        caption="Posterior (blue) and prior (grey) of the population parameters. Above each panel "
        f"the posterior median and {_text.percent(0.9)} equal-tailed interval, the bar below the "
        "density. Log axis where the draws span more than a factor of 20.",
        alt="One small panel per population parameter with prior and posterior density.",
    )


def folded(*parts: tuple[str, Iterator[Block]]) -> Iterator[Details]:
    """Yield each part behind its heading, where there is anything in it."""
    for title, made in parts:
        blocks = tuple(made)
        if blocks:
            yield Details(title, blocks)


def _individual_pictures(inputs: Inputs, found: Fit, file: str) -> Iterator[Block]:
    for predictions in each(found.predictions):
        yield from _individual(
            with_dose_unit(predictions, inputs.trial), own(predictions, found, file)
        )


def _predictive(inputs: Inputs, found: Fit, file: str) -> Iterator[Block]:
    """Yield the predictive checks side by side, and what was not passed."""
    trial = inputs.trial
    made = [_vpc(with_dose_unit(c, trial), own(c, found, file)) for c in each(found.vpc)]
    made += [
        _diagnostics.corrected(with_dose_unit(c, trial), own(c, found, file))
        for c in each(found.corrected)
    ]
    if made:
        yield Row(tuple(made))
    if found.vpc is None:
        yield Text("Predictive check left out: none was passed.", "reason")
    if found.predictions is None:
        yield Text("Individual fits left out: no predictions were passed.", "reason")


def _shrinkage(found: Fit) -> Iterator[Block]:
    text = "" if found.etas is None else _diagnostics.shrinkage_sentence(found.etas)
    if text:
        yield Text(text)


def _chains(name: str, found: Fit, file: str) -> Iterator[Block]:
    yield from _diagnostics.convergence(name, found, file)
    yield from _chain_pictures(found, file)


def _residual_pictures(inputs: Inputs, found: Fit, file: str) -> Iterator[Block]:
    for predictions in each(found.predictions):
        yield from _observed(with_dose_unit(predictions, inputs.trial),
                             own(predictions, found, file))  # fmt: skip
    for check in each(found.residuals):
        yield from _diagnostics.residuals(check, own(check, found, file))
    if found.etas is not None:
        yield from _diagnostics.deviations(found.etas, file)


def own(check: xr.Dataset, found: Fit, file: str) -> str:
    """Return the name of a check's files: the fit's, with the endpoint if there are several."""
    several = len(found.result.endpoints) > 1
    return f"{file}_{slug(str(check.attrs['endpoint']))}" if several else file


def with_dose_unit(dataset: xr.Dataset, trial: xr.Dataset) -> xr.Dataset:
    """Return the dataset with the trial's dose unit on its dose levels and dose strata."""
    if "dose_level" not in trial.variables:
        return dataset
    attrs = {**trial["dose_level"].attrs, "units": _text.dose_unit(trial)}
    coords = {}
    if "dose_level" in dataset.coords:
        coords["dose_level"] = dataset["dose_level"].assign_attrs(attrs)
    if "stratum" in dataset.coords and dataset.attrs.get("by") == "dose_level":
        coords["stratum"] = dataset["stratum"].assign_attrs(units=attrs["units"])
    return dataset.assign_coords(coords)


def _observed(predictions: xr.Dataset, file: str) -> Iterator[Block]:
    if "ipred" in predictions or "pred" in predictions:
        yield picture(
            f"fit_{file}_observed_predicted",
            lambda: plots.goodness_of_fit(predictions),
            caption="Observed against predicted values. Open triangles: values below the LLOQ, at "
            "the LLOQ; predictions far below it stand on the left edge.",
            alt="Observed against predicted values on log axes with the line of identity.",
        )


def _individual(predictions: xr.Dataset, file: str) -> Iterator[Block]:
    share = _text.percent(float(predictions.attrs.get("prob", 0.9)))
    patients = [str(p) for p in predictions["id"].values]
    scale: plots.TimeScale = "log" if float(predictions["time"].max()) > 60 else "linear"
    for i in range(0, len(patients), PER_FIGURE):
        some = patients[i : i + PER_FIGURE]
        span = some[0] if len(some) == 1 else f"{some[0]} to {some[-1]}"
        yield picture(
            f"fit_{file}_individual_{i // PER_FIGURE + 1}",
            lambda some=some: plots.individual(predictions, some, time_scale=scale),  # type: ignore[misc]
            caption=f"Individual fits, patients {span}: data, individual prediction with its "
            f"{share} credible interval, and the typical patient.",
            alt=f"One panel per patient, {span}: observed values and predicted curve over time.",
        )


def _vpc(check: xr.Dataset, file: str) -> Block:
    share = _text.percent(float(check.attrs.get("prob", 0.9)))
    scale: plots.TimeScale = "log" if float(check["bin_right"].max()) > 60 else "linear"
    n = check.attrs.get("n_sims")
    simulated = f"{n} simulated trials" if n else "simulated trials"
    return picture(
        f"fit_{file}_vpc",
        lambda: plots.vpc(check, time_scale=scale),
        caption="Visual predictive check. Lines: observed 5th, 50th and 95th percentile; bands: "
        f"{share} interval of the same percentiles over {simulated}. Below: share of samples below "
        "the LLOQ. Percentiles below the LLOQ are not drawn.",
        alt="Observed percentiles over bands of simulated percentiles against time; below, the "
        "share of samples below the limit of quantification.",
    )


def _chain_pictures(found: Fit, file: str) -> Iterator[Block]:
    names = [str(v) for v in found.result.draws().data_vars]
    yield picture(
        f"fit_{file}_ranks",
        lambda: plots.ranks(found.result.tree, names),
        caption="Ranks of each chain's draws among all draws. Level lines: the chains agree.",
        alt="Rank histograms, one line per chain, one panel per parameter.",
    )


def comparison_section(inputs: Inputs) -> Section:
    """Return the section that ranks the models."""
    table = inputs.comparison
    if table is None or table.empty:
        why = "Left out: no comparison was passed."
        return Section("comparison", "Model comparison", (Text(why, "reason"),))
    # Only where patients are left out are there integrals with a Monte-Carlo error.
    patients = "mcse" in table and table["mcse"].notna().any()
    left_out = "all records of one patient" if patients else "one record"
    notes = (
        f"elpd: expected log predictive density of {left_out} left out in turn (higher is "
        "better). A difference "
        "below two of its standard errors does not separate two models. Only fits that converged "
        "are ranked.",
    )
    varied = [str(axis) for axis in table.attrs.get("axes", ())]
    named = table.drop(columns=varied).rename_axis("model")
    labels = {"model": ("Model", "", "text"), **_COMPARED}
    title = "Models by expected predictive density"
    blocks: list[Block] = [Text(best_model(table))]
    if table["rank"].notna().sum() > 1:
        blocks.append(_comparison_picture(table))
    blocks.append(from_frame(named, "model_comparison", title, labels=labels, notes=notes,
                             shown=_IN_SHORT))  # fmt: skip
    if varied:
        blocks.append(_by_value(table, varied))
    if inputs.patients is not None:
        blocks += _left_out(inputs.patients)
    return Section("comparison", "Model comparison", tuple(blocks))


def _by_value(table: pd.DataFrame, varied: Sequence[str]) -> Block:
    """Return how well fits of a grid do at best with each value of what was varied."""
    rows = []
    for axis in varied:
        for value, fits in table[table[axis] != ""].groupby(axis, sort=False):
            ranked = fits[fits["rank"].notna()].sort_values("rank")
            best = ranked.iloc[0] if len(ranked) else None
            rows.append({
                "axis": axis,
                "value": str(value),
                "fits": len(fits),
                "ranked": len(ranked),
                "best": "none converged" if best is None else str(ranked.index[0]),
                "best_rank": float("nan") if best is None else float(best["rank"]),
                "elpd_diff": float("nan") if best is None else float(best["elpd_diff"]),
                "dse": float("nan") if best is None else float(best["dse"]),
            })  # fmt: skip
    labels: dict[str, tuple[str, str, Kind]] = {
        "axis": ("Varied", "", "text"),
        "value": ("Value", "", "text"),
        "fits": ("Fits", "", "count"),
        "ranked": ("Of these ranked", "", "count"),
        "best": ("Best of them", "", "text"),
        "best_rank": ("Its rank", "", "count"),
        "elpd_diff": ("Its difference from best", "", "decimal"),
        "dse": ("SE of difference", "", "decimal"),
    }
    notes = ("Each value at its best: how much is lost by settling on it, all else being free.",)
    return from_frame(pd.DataFrame(rows), "model_comparison_by_value", "What was varied",
                      labels=labels, notes=notes)  # fmt: skip


def _left_out(patients: xr.Dataset) -> list[Block]:
    """Return what each fit predicts of each patient left out."""
    frame = pd.DataFrame(patients["elpd"].transpose("id", "fit").to_pandas()).rename_axis("id")
    names = [str(n) for n in patients["fit"].values]
    labels: dict[str, tuple[str, str, Kind]] = {"id": ("Patient", "", "text")}
    labels |= {name: (f"elpd, {name}", "", "decimal") for name in names}
    reason = pd.DataFrame(patients["reason"].transpose("id", "fit").to_pandas())
    frame["note"] = [
        "; ".join(f"{n}: {why}" for n, why in row.items() if why) for _, row in reason.iterrows()
    ]
    labels["note"] = ("Not to be trusted", "", "text")
    title = "Patients left out in turn: expected log predictive density of all their records"
    out: list[Block] = []
    if len(names) > 1:
        out.append(picture(
            "patient_elpd",
            lambda: plots.patient_elpd(patients),
            caption="By how much each patient, left out, is predicted better by one fit than by "
            "the other: difference in expected log predictive density with two Monte-Carlo "
            "standard errors.",
            alt="One row per patient with a bar from 0 to the difference in elpd.",
        ))  # fmt: skip
    table = from_frame(frame, "patients_left_out", title, labels=labels)
    return [*out, Details("Each patient left out", (table,))]


def _comparison_picture(table: pd.DataFrame) -> Block:
    return picture(
        "model_comparison",
        lambda: plots.comparison(table),
        caption="Difference in expected log predictive density from the best model, with one "
        "and two standard errors of the difference.",
        alt="One row per model: difference from the best model with its standard error.",
    )


def best_model(table: pd.DataFrame) -> str:
    """Return which fit is best and whether the difference matters, as the comparison says it."""
    unsaid: dict[str, Any] = {key: v for key, v in _UNSAID.items() if key not in table}
    whole = table.assign(**unsaid)
    whole["kind"] = whole["kind"].fillna("bayes")
    about = {key: str(table.attrs[key]) for key in ("by", "criterion") if key in table.attrs}
    return Comparison(whole, **about).sentence
