"""The first page, and the last: the answer, and how it was reached."""

from __future__ import annotations

from cart_pkpd._core.errors import DataError
from cart_pkpd.report import _answer, _citations, _glance, _safety
from cart_pkpd.report._blocks import (
    Block,
    Bullets,
    Details,
    Facts,
    Section,
    Text,
    Verdicts,
    flat,
)
from cart_pkpd.report._exposure import Headline, headline
from cart_pkpd.report._inputs import Inputs

MOST_NAMED = 4  # endpoints in the first sentence


def summary(inputs: Inputs) -> Section:
    """Return the first page: the answer in a box, every dose at a glance, what was checked."""
    if not inputs.has_trial:
        return _without_trial(inputs)
    found = headline(inputs)
    blocks: list[Block] = [_answer.box(inputs)]
    glance = _glance.table(inputs)
    if glance is not None:
        blocks.append(glance)
    blocks += [
        _outcomes(inputs, found),
        Verdicts(tuple(_answer.verdicts(inputs)), "Can it be trusted?"),
    ]
    bad = [name for name, fit in inputs.fits.items() if not fit.result.verdict.ok]
    if bad:
        text = f"Did not converge, not to be used for decisions: {', '.join(bad)}."
        blocks.append(Text(text, "warn"))
    blocks += [Text(note) for note in inputs.notes]
    exposure = None if found is None else found.table
    more = tuple(t for t in (exposure, _safety.table(inputs.trial)) if t is not None)
    if more:
        blocks.append(Details("Exposure and safety by dose level in full", more))
    return Section("summary", "Summary", tuple(blocks))


def _without_trial(inputs: Inputs) -> Section:
    """Return the first page where there are no records: decisions from counts, simulated trials."""
    glance = None if inputs.dose is None else _glance.table(inputs)
    blocks: list[Block] = [] if inputs.dose is None else [_answer.box(inputs)]
    blocks += [] if glance is None else [glance]
    said = [] if inputs.operating is None else inputs.operating.answers()
    pairs = [(lead.rstrip(":"), text) for lead, text in said]
    blocks += [Facts((*pairs, ("Data", source(inputs)))), *(Text(note) for note in inputs.notes)]
    return Section("summary", "Summary", tuple(blocks))


def _outcomes(inputs: Inputs, found: Headline | None) -> Facts:
    """Return the outcomes of all patients, and what was analysed, each in a sentence."""
    said = [] if inputs.endpoints is None else inputs.endpoints.answers()
    pairs = [(lead.rstrip(":"), text) for lead, text in said]
    if inputs.operating is not None:
        pairs += [(lead.rstrip(":"), text) for lead, text in inputs.operating.answers()]
    if found is not None:
        pairs.append(("Exposure", found.sentence))
    if inputs.dose is not None:
        pairs.append(("Analysed", _answer.analysed(inputs)))
    return Facts((*pairs, ("Data", source(inputs))), "All patients")


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
    cited = [text + (f" For: {what}." if what else "")
             for text, what in _citations.used(inputs).items()]  # fmt: skip
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
