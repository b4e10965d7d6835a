"""The record of a model as people read it: equations, numbers, where they come from."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cart_pkpd._engine.latex import latex_name
from cart_pkpd.models import _record
from cart_pkpd.models._cite import citation
from cart_pkpd.models._declare import Model, get, names
from cart_pkpd.models._equations import Equation, equations, model_symbols
from cart_pkpd.models._parameters import ParameterSet, Reference

_COLUMNS = (
    "symbol", "meaning", "typical", "unit", "iiv", "iiv_source", "source", "confidence", "fixed",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Description:
    """What there is to know about a model; shows itself in a notebook, ``print`` gives text.

    Attributes
    ----------
    name, title, about, population : str
        Name in the registry (or of the class), title, what the model says, who was studied.
    structure : str
        How sure the equations are, one of ``models.CONFIDENCE``.
    reference : Reference or None
        The publication.
    citation : str
        How to cite the model, one line.
    equations : tuple of Equation
        Start, rates of change, pieces, doses, what is observed, and switches; each with ``latex``
        and ``text``.
    parameters : DataFrame
        By name: symbol (LaTeX), meaning, typical value, unit, between-patient SD ``iiv`` and where
        it comes from, source and confidence of the typical value, and whether fits hold it.
    states, covariates, inputs : DataFrame
        By name: symbol, meaning and unit; the typical value of covariates and inputs.
    endpoints : mapping of str to str
        What is predicted, with units.
    dosed, dose_unit : str
        State that doses enter and unit of amounts; empty if the dose does not enter.
    event_doses : mapping of str to str
        Events that add to a state, such as tocilizumab.
    parameter_sets : mapping of str to ParameterSet
        Other published values.
    deviations, errata, sources : tuple of str
        Where the declaration differs from the paper and why, mistakes in print that it does not
        follow, and what was read beside the paper.
    """

    name: str
    title: str
    about: str
    population: str
    structure: str
    reference: Reference | None
    citation: str
    equations: tuple[Equation, ...]
    parameters: pd.DataFrame
    states: pd.DataFrame
    covariates: pd.DataFrame
    inputs: pd.DataFrame
    endpoints: Mapping[str, str]
    dosed: str
    dose_unit: str
    event_doses: Mapping[str, str]
    parameter_sets: Mapping[str, ParameterSet]
    deviations: tuple[str, ...]
    errata: tuple[str, ...]
    sources: tuple[str, ...]

    def __str__(self) -> str:
        return _record.text(self)

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        return self.to_markdown()

    def to_markdown(self, *, math: _record.Math = "dollars", picture: str = "") -> str:
        """Return the record as Markdown.

        Parameters
        ----------
        math : {"dollars", "github"}
            ``$$`` around equations, as Jupyter and most readers want; or fenced blocks, which
            GitHub needs for formulas with cases.
        picture : str
            Address of a figure to show below the introduction.
        """
        return _record.markdown(self, math, picture)


def describe(model: str | Model | type[Model]) -> Description:
    """Return the record of a model: equations, parameters and where everything comes from.

    Parameters
    ----------
    model : str, Model or class
        A name of the registry, or a model, one of your own too.

    Returns
    -------
    Description
        Shows itself as text, and typeset in a notebook.

    Raises
    ------
    ModelError
        For an unknown name.

    Examples
    --------
    >>> models.describe("stein2019")            # in a notebook, with typeset equations
    >>> print(models.describe("stein2019"))
    >>> models.describe(Turnover()).parameters
    """
    made = _model(model)
    symbols = model_symbols(made)
    return Description(
        name=made.name or type(made).__name__,
        title=made.label or made.name or type(made).__name__,
        about=_about(made),
        population=made.population,
        structure=made.structure,
        reference=made.reference,
        citation=citation(made),
        equations=equations(made),
        parameters=_parameters(made, symbols),
        states=_quantities(made, "states", symbols, ["symbol", "meaning", "unit"]),
        covariates=_quantities(made, "covariates", symbols),
        inputs=_quantities(made, "inputs", symbols),
        endpoints=dict(made.endpoints),
        dosed=getattr(made, "dosed", None) or "",
        dose_unit=getattr(made, "dose_unit", "") if getattr(made, "dosed", None) else "",
        event_doses=dict(getattr(made, "event_doses", {})),
        parameter_sets=dict(made.parameter_sets),
        deviations=tuple(made.deviations),
        errata=tuple(made.errata),
        sources=tuple(made.sources),
    )


def cite(model: str | Model | type[Model], style: Any = "text") -> str:
    """Return how to cite a model: one line, or BibTeX with ``style="bibtex"``.

    Parameters
    ----------
    model : str, Model or class
        A name of the registry, or a model, one of your own too.
    style : {"text", "bibtex"}
        One line, or an entry for a bibliography.

    Returns
    -------
    str
        Authors, year, title, journal and DOI, as far as they are known.

    Raises
    ------
    ModelError
        For an unknown name.
    ValueError
        For another style.

    Examples
    --------
    >>> print(models.cite("stein2019", "bibtex"))
    """
    return citation(_model(model), style)


def table() -> pd.DataFrame:
    """Return an overview of all registered models.

    Returns
    -------
    DataFrame
        By name: label, population, number of states (0 for a closed form) and of parameters,
        endpoints, whether the dose enters, other published value sets, how sure the equations
        are, and the publication.
    """
    rows = [(n, _row(get(n))) for n in names()]
    return pd.DataFrame([r for _, r in rows], index=pd.Index([n for n, _ in rows], name="name"))


def _row(model: Model) -> dict[str, Any]:
    return {
        "label": model.label,
        "population": model.population,
        "n_states": len(model.program.states),
        "n_parameters": len(model.parameters),
        "endpoints": ", ".join(model.endpoints),
        "dosed": getattr(model, "dosed", None) is not None,
        "parameter_sets": ", ".join(model.parameter_sets),
        "structure": model.structure,
        "reference": str(model.reference) if model.reference else "",
    }


def _model(model: str | Model | type[Model]) -> Model:
    if isinstance(model, str):
        return get(model)
    return model() if isinstance(model, type) else model


def _parameters(model: Model, symbols: Mapping[str, str]) -> pd.DataFrame:
    rows = [
        (
            symbols[name], p.about, model.fixed.get(name, p.typical), p.unit, p.iiv,
            "" if p.iiv is None else p.iiv_source, p.source, p.confidence, name in model.fixed,
        )
        for name, p in model.parameters.items()
    ]  # fmt: skip
    index = pd.Index(list(model.parameters), name="name", dtype=object)
    made = pd.DataFrame(rows, columns=list(_COLUMNS), index=index)
    return made.astype({"typical": float, "iiv": float, "fixed": bool})


def _quantities(
    model: Model,
    what: str,
    symbols: Mapping[str, str],
    columns: list[str] | None = None,
) -> pd.DataFrame:
    records: Mapping[str, Any] = getattr(model, what, {})
    rows = [
        {"symbol": symbols.get(k, latex_name(k)), "meaning": r.about, "unit": r.unit}
        | ({"typical": r.typical} if columns is None else {})
        for k, r in records.items()
    ]
    index = pd.Index(list(records), name="name", dtype=object)
    wanted = columns or ["symbol", "meaning", "typical", "unit"]
    return pd.DataFrame(rows, columns=wanted, index=index)


# --- the docstring ------------------------------------------------------------------------------

_UNDERLINE = re.compile(r"^[-=]{3,}$")


def _about(model: Model) -> str:
    """Return the introduction of the class's docstring, without its sections, as Markdown."""
    found = next(
        (
            doc
            for cls in type(model).__mro__
            if issubclass(cls, Model) and not inspect.isabstract(cls)
            if (doc := vars(cls).get("__doc__"))
        ),
        "",
    )
    lines = inspect.cleandoc(found).splitlines()
    ends = [i - 1 for i, line in enumerate(lines) if i and _UNDERLINE.match(line.strip())]
    return _plain("\n".join(lines[: ends[0]] if ends else lines))


def _plain(text: str) -> str:
    """Return reStructuredText as Markdown: no footnote marks or roles, single backquotes."""
    text = re.sub(r"\s*\[\d+\]_", "", text)
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text)
    paragraphs = re.split(r"\n\s*\n", text.replace("``", "`"))
    return "\n\n".join(" ".join(p.split()) for p in paragraphs if p.strip())
