"""Citations of what a report used, taken from the docstrings of the functions that did it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from cart_pkpd import checks, endpoints, nca
from cart_pkpd.report._endpoints import EndpointFindings
from cart_pkpd.report._inputs import Fit, Inputs

_SAMPLING = (
    ("Hoffman and Gelman (2014), J Mach Learn Res 15:1593.", "sampling (NUTS)"),
    ("Vehtari, Gelman, Simpson, Carpenter and Bürkner (2021), Bayesian Anal 16:667, "
     "doi:10.1214/20-BA1221.", "R-hat and effective sample sizes"),
    ("Beal (2001), J Pharmacokinet Pharmacodyn 28:481, doi:10.1023/A:1012299115260.",
     "values below the LLOQ in the likelihood"),
)  # fmt: skip
_COMPARING = (
    ("Vehtari, Gelman and Gabry (2017), Stat Comput 27:1413, doi:10.1007/s11222-016-9696-4.",
     "leave-one-out comparison"),
    ("Yao, Vehtari, Simpson and Gelman (2018), Bayesian Anal 13:917, doi:10.1214/17-BA1091.",
     "stacking weights"),
)  # fmt: skip


def cited(thing: Any) -> list[str]:
    """Return the citations in the section on references of a docstring."""
    text = inspect.getdoc(thing) or ""
    found = re.search(r"^References\n-+\n(.*?)(?=^\w[^\n]*\n-+$|\Z)", text, re.M | re.S)
    if found is None:
        return []
    parts = re.split(r"^\s*\.\. \[\d+\]", found.group(1), flags=re.M)
    return [_plain(part) for part in parts if part.strip()]


def _plain(text: str) -> str:
    return re.sub(r":doi:`([^`]+)`", r"doi:\1", re.sub(r"\s+", " ", text)).strip()


def used(inputs: Inputs) -> dict[str, str]:
    """Return each citation with what it was used for; models come first."""
    models = [r for fit in inputs.fits.values() for r in _of_model(fit)]
    made = dict.fromkeys((*inputs.references, *models), "")
    for text, what in _used(inputs):
        before = made.get(text)
        made[text] = what if not before or before == what else f"{before}; {what}"
    return made


def _of_model(fit: Fit) -> tuple[str, ...]:
    """Return the citations given with a fit, or how its model asks to be cited."""
    model = getattr(getattr(fit.result, "structure", None), "model", None)
    return fit.references or (() if model is None else (model.cite(),))


def _used(inputs: Inputs) -> Iterator[tuple[str, str]]:
    if inputs.fits:
        yield from _SAMPLING
    for thing, what in _things(inputs):
        yield from ((text, what) for text in cited(thing))
    if inputs.comparison is not None and not inputs.comparison.empty:
        yield from _COMPARING


def _things(inputs: Inputs) -> Iterator[tuple[Any, str]]:
    """Yield functions and classes that were used, with the words for it."""
    if inputs.dose is not None:
        for design in inputs.dose.designs.values():
            yield type(design), type(design).__name__
            yield from ((type(r), type(r).__name__) for r in getattr(design, "all_rules", ()))
    if isinstance(inputs.endpoints, EndpointFindings):
        yield from _of_endpoints(inputs.endpoints)
    if inputs.nca:
        yield nca.table, "non-compartmental analysis"
    fits = inputs.fits.values()
    for field, thing, what in (
        ("vpc", checks.vpc, "predictive checks"),
        ("residuals", checks.residuals, "residuals and NPDE"),
        ("sensitivity", checks.prior_sensitivity, "sensitivity to the priors"),
    ):
        if any(getattr(fit, field) is not None for fit in fits):
            yield thing, what


def _of_endpoints(found: EndpointFindings) -> Iterator[tuple[Any, str]]:
    yield endpoints.recist, "response by RECIST 1.1"
    if found.choices["interval"] == "clopper-pearson":
        yield endpoints.orr, "exact intervals of rates"
    yield endpoints.pfs, "events and censoring of PFS"
    if found.curves:
        yield endpoints.kaplan_meier, "intervals of medians, follow-up"
    if found.by_response is not None:
        yield endpoints.from_landmark, "landmark analysis"
