"""The first page, and the last: the answer, and how it was reached."""

from __future__ import annotations

import numpy as np
import xarray as xr

from cart_pkpd import data
from cart_pkpd._core.errors import DataError
from cart_pkpd.plots import _text
from cart_pkpd.plots._axes import below
from cart_pkpd.report import _safety
from cart_pkpd.report._blocks import Block, Bullets, Details, Facts, Section, Text, flat
from cart_pkpd.report._exposure import headline
from cart_pkpd.report._fits import best_model
from cart_pkpd.report._inputs import Inputs
from cart_pkpd.report._trial import cells, label

MOST_NAMED = 4  # endpoints in the first sentence


def summary(inputs: Inputs) -> Section:
    """Return the summary: what was analysed, exposure per dose, verdicts, best model."""
    trial = inputs.trial
    items = [] if inputs.dose is None else inputs.dose.answers()
    items += [] if inputs.operating is None else inputs.operating.answers()
    if not inputs.has_trial:
        items.append(("Data:", source(inputs)))
        notes = (Text(note) for note in inputs.notes)
        return Section("summary", "Summary", (Bullets(tuple(items)), *notes))
    items += [] if inputs.endpoints is None else inputs.endpoints.answers()
    items += [("Analysed:", analysed(inputs)), ("Data:", source(inputs))]
    found = headline(inputs)
    if found is not None:
        items.append(("Exposure:", found.sentence))
    items += [
        (f"Fit {name}:", _lowered(fit.result.verdict.sentence)) for name, fit in inputs.fits.items()
    ]
    items += [
        (f"Fit {name}:", f"failed. {why[:1].upper()}{why[1:]}")
        for name, why in inputs.failures.items()
    ]
    if inputs.comparison is not None and not inputs.comparison.empty:
        items.append(("Best model:", best_model(inputs.comparison)))
    elif not inputs.fits:
        items.append(("Models:", "none fitted."))
    blocks: list[Block] = [Bullets(tuple(items))]
    bad = [name for name, fit in inputs.fits.items() if not fit.result.verdict.ok]
    if bad:
        text = f"Did not converge, not to be used for decisions: {', '.join(bad)}."
        blocks.append(Text(text, "warn"))
    if found is not None:
        blocks.append(found.table)
    safety = _safety.table(trial)
    if safety is not None:
        blocks.append(safety)
    blocks += [Text(note) for note in inputs.notes]
    return Section("summary", "Summary", tuple(blocks))


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


def source(inputs: Inputs) -> str:
    """Return file, checksum and data cut-off, in one sentence."""
    attrs = inputs.trial.attrs
    checksum = str(attrs.get("source_sha256", ""))[:12]
    cutoff = f"data cut-off {inputs.data_cutoff}" if inputs.data_cutoff else "cut-off not stated"
    shown = f" (SHA-256 {checksum}…)" if checksum else ""
    return f"{attrs.get('source', 'source not stated')}{shown}; {cutoff}."


def methods(inputs: Inputs) -> Section:
    """Return how the numbers were made, with citations."""
    texts = [Text(text) for text in (*_standing(inputs), *inputs.methods)]
    cited = dict.fromkeys(
        (*inputs.references, *(r for fit in inputs.fits.values() for r in fit.references))
    )
    parts = []
    if cited:
        listed = Bullets(tuple((f"[{i + 1}]", text) for i, text in enumerate(cited)))
        parts.append(Section("references", "References", (listed,)))
    return Section("methods", "Methods", tuple(texts), tuple(parts))


def _standing(inputs: Inputs) -> list[str]:
    """Return what holds for every report that has the part in question."""
    texts = [
        "Time is in days since the first infusion. BLQ: below the lower limit of quantification "
        "(LLOQ). Geometric means by dose are of patients with a value above zero; their "
        "confidence intervals are t intervals on the log scale.",
    ]
    if inputs.nca:
        texts.append(
            "Non-compartmental parameters were computed per patient by the rules printed with "
            "each table; a value that cannot be had is a dash with its reason."
        )
    if inputs.fits:
        texts.append(
            "Models were fitted to all patients together by Hamiltonian Monte Carlo; values below "
            "the LLOQ enter the likelihood as censored. A fit counts as converged when R-hat, "
            "effective sample sizes and divergences all meet their limits, which its verdict names."
        )
    if inputs.comparison is not None:
        texts.append(
            "Models are compared by leave-one-out expected log predictive density (elpd). Fits "
            "that did not converge are listed and not ranked."
        )
    return texts


def provenance(inputs: Inputs, version: str) -> Section:
    """Return versions, seeds, checksums and run times."""
    attrs = inputs.trial.attrs
    pairs = [
        ("Report written", inputs.generated.strftime("%Y-%m-%d %H:%M %Z").strip()),
        ("cart_pkpd", version),
        ("Source", str(attrs.get("source", "not stated"))),
        ("SHA-256 of the source", str(attrs.get("source_sha256", "not stated"))),
        ("Data cut-off", inputs.data_cutoff or "not stated"),
        *flat(inputs.provenance),
    ]
    details = [
        Details(f"Fit {name}", (Facts(tuple(flat(fit.result.provenance))),))
        for name, fit in inputs.fits.items()
    ]
    return Section("provenance", "Provenance", (Facts(tuple(pairs)), *details))


def subtitle(inputs: Inputs) -> tuple[str, ...]:
    """Return the lines under the title."""
    written = inputs.generated.strftime("%d %B %Y")
    return (f"Written {written}. Data: {source(inputs)}",)


def _lowered(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def check(inputs: Inputs) -> None:
    """Raise DataError if there is nothing to report on."""
    if not inputs.has_trial:
        if inputs.dose is None and inputs.operating is None:
            raise DataError(
                "without a trial a report needs a dose decision or simulated trials; pass trial=, "
                "dose= or operating=."
            )
        if inputs.nca or inputs.fits or inputs.endpoints is not None:
            raise DataError("NCA, fits and endpoints are of a trial: pass it too, with trial=.")
    elif not inputs.trial.sizes["id"]:
        raise DataError("the trial holds no patient: there is nothing to report.")
