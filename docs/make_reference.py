"""Write the tables that are data of the package into docs: ``python docs/make_reference.py``.

The columns that tables may have (data.md), the keys of a run file (runfile.md) and the
nomenclature (nomenclature.md). ``--check`` writes nothing and tells which pages are out of date.
"""

from __future__ import annotations

import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from cart_pkpd import data, endpoints, nca
from cart_pkpd._core.names import CYTOKINES, ENDPOINTS
from cart_pkpd._data.columns import ROLES
from cart_pkpd._nca.rules import Rules
from cart_pkpd._study.runfile import RunFile

DOCS = Path(__file__).parent
CLINICAL = (
    "lesions", "followup", "timepoints", "best", "rates", "time_to_event", "vitals", "neurology",
)  # fmt: skip
MEANING = {
    "ID": "patient, kept as text",
    "TIME": "time of the record",
    "NTIME": "planned time",
    "DV": "value, or a text such as `<50`",
    "DVTEXT": "value as text, where another column has the number",
    "DVID": "which measure",
    "UNIT": "unit of the value",
    "CENS": "1 below, −1 above the limit",
    "LIMIT": "other end of an interval",
    "BLQ": "flag: below the LLOQ",
    "LLOQ": "lower limit of quantification",
    "ULOQ": "upper limit",
    "AMT": "cells given",
    "AMTUNIT": "unit of the amount",
    "TIMEUNIT": "unit of the times",
    "EVID": "0 record, 1 dose, 2 other event, 4 dose after a reset",
    "MDV": "1: the value is missing",
    "EVENT": "name of another event",
    "CMT": "which measure, or where a dose goes",
    "OCC": "occasion",
    "RATE": "rate of an infusion",
    "DURATION": "its length",
    "II": "interval of further doses",
    "ADDL": "number of further doses",
    "SS": "steady state; refused unless 0",
}
OTHER = {
    "title": "heading of the report",
    "seed": "of everything random",
    "draws": "draws kept per chain",
    "tune": "warm-up draws per chain",
    "target_accept": "higher means smaller steps",
    "cores": "chains at the same time",
    "error": "residual error",
    "endpoints": "measures to analyse",
    "parameters": "priors or fixed values by parameter",
    "kind": "family of the prior",
    "form": "how the covariate acts",
    "fixed": "value at which it is held",
}
STATISTICS = (
    ("`iiv`, `omega_<parameter>`", "variability between patients; omega is the **standard "
     "deviation** of η on the free scale (log, logit or natural), not a variance"),
    ("`iov`, `omega_iov_<parameter>`", "variability between occasions of a patient, κ"),
    ("`eta`", "deviation of a patient on the free scale, mean 0"),
    ("`corr_<a>_<b>`", "correlation of two deviations"),
    ("`sigma_log`, `sigma_prop`, `sigma_add`", "residual standard deviation: of logarithms, "
     "proportional, additive [unit of the measure]"),
    ("`pred`, `ipred`", "population and individual prediction"),
    ("`iwres`, `npde`", "individual weighted residual; normalised prediction distribution error"),
    ("shrinkage", "1 − sd(η)/ω and 1 − var(η)/ω² of deviations; 1 − sd(iwres) of residuals"),
    ("`ofv`, `aic`, `bic`", "−2 ln L and criteria made of it; lower is better"),
    ("`elpd`", "expected log predictive density of what was left out; higher is better"),
    ("`rhat`, `ess_bulk`, `ess_tail`", "convergence of chains, effective sample sizes"),
    ("`verdict`", "whether a fit may be used, in one sentence, with the numbers behind it"),
)  # fmt: skip
CAR_T = (
    ("expansion, contraction, persistence", "growth to the peak; fast decline after it; what "
     "stays, to the last quantifiable sample"),
    ("transgene", "copies of the CAR gene per µg of genomic DNA (qPCR, ddPCR); not the same "
     "measure as CAR+ cells per µL (flow cytometry), and never merged with it"),
    ("dose", "viable CAR+ T cells, or cells/kg: the unit says which; the planned level is a label, "
     "the amount what was given"),
    ("non-expander", "a patient whose cells hardly expand"),
    ("DLT, MTD, EWOC", "dose-limiting toxicity; maximum tolerated dose; escalation with overdose "
     "control"),
    ("CRS, ICANS", "cytokine release syndrome and neurotoxicity, graded by ASTCT"),
    ("ORR, DCR, PFS, OS", "objective response and disease control rate; progression-free and "
     "overall survival"),
    ("BLQ, LLOQ, ULOQ", "below the limit of quantification; the lower and upper limit"),
)  # fmt: skip


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(c.replace("|", "\\|") for c in row) + " |" for row in lines)


def columns() -> str:
    """Return the table of recognised headers."""
    rows = [
        (f"`{role}`", MEANING[role], ", ".join(f"`{n}`" for n in known))
        for role, known in ROLES.items()
    ]
    return table(["role", "meaning", "headers"], rows)


def keys() -> str:
    """Return the keys of a run file, table by table."""
    parts = []
    for path, model in _tables(RunFile, "", set()):
        rows = [(f"`{n}`", _type(f.annotation), _default(f), f.description or _about(path, n))
                for n, f in model.model_fields.items() if not _inner(f.annotation)]  # fmt: skip
        doc = " ".join((inspect.getdoc(model) or "").split())
        if rows:
            head = f"### {f'`[{path}]`' if path else 'Top level'}\n\n{doc}\n\n"
            parts.append(head + table(["key", "value", "default", "meaning"], rows))
    return "\n\n".join(parts)


def _tables(model: type[BaseModel], path: str, seen: set[Any]) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = [(path, model)]
    for name, f in model.model_fields.items():
        for inner, many in _inner(f.annotation):
            if inner in seen:
                continue
            seen.add(inner)
            own = f"{path}.{name}" if path else name
            found += _tables(inner, f"{own}.*" if many else own, seen)
    return found


def _inner(annotation: Any, *, many: bool = False) -> list[tuple[type[BaseModel], bool]]:
    """Return the tables that an annotation holds, and whether by names of one's own."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [(annotation, many)]
    origin = typing.get_origin(annotation)
    if origin is list:  # tables within a list have no path of their own
        return []
    inside = typing.get_args(annotation)
    return [t for a in inside for t in _inner(a, many=many or origin is dict)]


def _type(annotation: Any) -> str:
    origin, inside = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type(inside[0])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(_type(a) for a in inside if a is not type(None)))
    if origin is typing.Literal:
        return ", ".join(f'`"{v}"`' if isinstance(v, str) else f"`{v}`" for v in inside)
    if origin in (list, tuple):
        return "list of " + _type(inside[0]) if inside else "list"
    if origin is dict:
        return f"table of {_type(inside[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table"
    names = {"str": "text", "float": "number", "int": "whole number", "bool": "true or false"}
    return names.get(getattr(annotation, "__name__", ""), "value")


def _default(f: Any) -> str:
    if f.is_required():
        return "required"
    value = f.get_default(call_default_factory=True)
    if value is None or value in ([], {}):
        return ""
    shown = str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')
    return f"`{shown}`"


def _about(path: str, name: str) -> str:
    """Return what a key without a description means: that of the rule or argument it becomes."""
    if path == "nca":
        return _first_sentence(inspect.getdoc(Rules) or "", name)
    return _first_sentence(inspect.getdoc(data.read_table) or "", name) or OTHER.get(name, "")


def _first_sentence(doc: str, name: str) -> str:
    """Return the first sentence of a numpydoc entry."""
    entry = re.search(
        rf"^(?:\w+, )*{name}(?:, \w+)* : [^\n]*\n((?:    .*\n|\n)+)", doc, re.MULTILINE
    )
    text = " ".join(entry[1].split()) if entry else ""
    return re.split(r"(?<=[.;:]) ", text)[0].rstrip(".;:").replace("``", "`")


def nomenclature() -> str:
    """Return the page of names."""
    measures = [
        (f"`{e.name}`", e.label, e.unit, e.kind, ", ".join(f"`{a}`" for a in e.aliases))
        for e in ENDPOINTS.values()
    ]
    catalogue = nca.parameters().reset_index()
    quantities = [
        (f"`{r['parameter']}`", r["label"], r["unit"], r["cdisc"], r["about"])
        for r in catalogue.to_dict("records")
    ]
    parts = [
        "# Nomenclature\n\n<!-- written by docs/make_reference.py -->\n\n"
        "Names in tables, results and figures. Time is in days since the first infusion (day 0) "
        "wherever nothing else is said; labels and units of figures come from these names.",
        "## Measures\n\nThe nine cytokines of the trial: "
        + ", ".join(f"`{c}`" for c in CYTOKINES)
        + ". Spellings are recognised without regard to case, spaces and dashes.\n\n"
        + table(["name", "label", "usual unit", "kind", "also spelt"], measures),
        "## Words of the field\n\n" + table(["word", "meaning"], CAR_T),
        "## Models and statistics\n\n" + table(["name", "meaning"], STATISTICS),
        "## NCA parameters\n\n"
        + table(["name", "label", "unit", "CDISC", "meaning"], quantities),
    ]  # fmt: skip
    for name in CLINICAL:
        found = endpoints.columns(name)
        rows = [
            (f"`{r['name']}`", *map(str, list(r.values())[1:])) for r in found.to_dict("records")
        ]
        parts.append(f"## Endpoint table `{name}`\n\n" + table([str(c) for c in found], rows))
    return "\n\n".join(parts) + "\n"


def between(text: str, name: str, new: str) -> str:
    """Return a page with the part between two marks replaced."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    return re.sub(
        re.escape(begin) + ".*?" + re.escape(end), lambda _: f"{begin}\n{new}\n\n{end}", text,
        flags=re.DOTALL,
    )  # fmt: skip


def pages() -> dict[str, str]:
    """Return every page that this script writes, as it should be."""

    def with_part(page: str, name: str, make: Callable[[], str]) -> str:
        return between((DOCS / page).read_text(encoding="utf-8"), name, make())

    return {
        "data.md": with_part("data.md", "columns", columns),
        "runfile.md": with_part("runfile.md", "keys", keys),
        "nomenclature.md": nomenclature(),
    }


def main() -> None:
    """Write the pages, or with ``--check`` say which are out of date."""
    for name, text in pages().items():
        path = DOCS / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        if "--check" in sys.argv:
            sys.exit(f"docs/{name} is out of date; run python docs/make_reference.py")
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
