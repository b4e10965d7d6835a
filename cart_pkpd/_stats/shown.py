"""How a population shows itself: as the call that makes it, and as a short table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pandas as pd

from cart_pkpd._core import display

if TYPE_CHECKING:
    from cart_pkpd._stats.population import Population

_WORDS = {
    "iiv": "varies between patients",
    "corr": "correlated",
    "iov": "varies between occasions",
    "covariates": "covariates",
    "non_expanders": "non-expanders",
    "error": "residual error",
    "errors": "residual error of",
    "scale": "scale factors",
    "censoring": "censored records",
    "priors": "priors changed",
    "centred": "sampled centred",
}


def call(population: Population) -> str:
    """Return the call that makes a population: what is left at its default is left out."""
    plain = {f.name: _plain(getattr(population, f.name)) for f in fields(population)}
    own = [f"{k}={v!r}" for k, v in plain.items() if k == "error" or v not in ([], {}, None, "m3")]
    return f"fit.population({', '.join(own)})"


def as_html(population: Population) -> str:
    """Return a population as HTML: one row for everything it says."""
    rows = {text: _words(getattr(population, name)) for name, text in _WORDS.items()}
    said = pd.DataFrame({"": {k: v for k, v in rows.items() if v}})
    return display.block("Population.", "", said)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return value if value is None or isinstance(value, str | float | int) else _Said(value)


class _Said:
    """Something that shows itself as its text, without quotes."""

    def __init__(self, value: object) -> None:
        self._text = str(value)

    def __repr__(self) -> str:
        return self._text


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{k}: {_words(v)}" for k, v in value.items())
    if isinstance(value, tuple):
        return ", ".join(" with ".join(v) if isinstance(v, tuple) else str(v) for v in value)
    return "" if value is None else {"m3": "by their probability (M3)"}.get(value, str(value))
