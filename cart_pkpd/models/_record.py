"""A model's record as Markdown and as plain text."""

from __future__ import annotations

import math as _math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from cart_pkpd._core.names import ENDPOINTS
from cart_pkpd.models._equations import Equation
from cart_pkpd.models._parameters import CONFIDENCE

if TYPE_CHECKING:
    import pandas as pd

    from cart_pkpd.models._describe import Description

Math = Literal["dollars", "github"]
_GROUPS: Mapping[str, str] = MappingProxyType(
    {
        "start": "At the start",
        "rate": "Rates of change",
        "level": "Level",
        "piece": "where",
        "dose": "A dose or event of the amount AMT adds",
        "observed": "What is observed",
        "switch": "The equations change at",
    }
)
_TOLD = (("start", True), ("observed", True))
_NOTES = (
    ("deviations", "Where it differs from the papers"),
    ("errata", "Mistakes in print that it does not follow"),
    ("sources", "Read beside the paper"),
)
_WIDTH = 96


# --- Markdown -----------------------------------------------------------------------------------


def markdown(found: Description, math: Math, picture: str) -> str:
    """Return the record as Markdown."""
    parts = [f"# {found.title}", found.about, *_facts(found)]
    if picture:
        parts.append(f"![Typical course of {found.title}]({picture})")
    parts += ["## Equations", *_equations(found.equations, math)]
    parts += ["## Parameters", _parameter_table(found, math)]
    for title, frame in (
        ("States", found.states),
        ("Covariates", found.covariates),
        ("Inputs", found.inputs),
    ):
        if len(frame):
            parts += [f"## {title}", _quantity_table(frame, math)]
    if found.parameter_sets:
        parts += ["## Other published values", _set_table(found)]
    for field, title in _NOTES:
        listed: Sequence[str] = getattr(found, field)
        if listed:
            parts += [f"## {title}", "\n".join(f"- {one}" for one in listed)]
    return "\n\n".join(p for p in parts if p) + "\n"


def _facts(found: Description) -> list[str]:
    """Return population, certainty, dose, endpoints and reference as a list."""
    rows = [
        ("Studied in", found.population),
        ("Predicts", predicted(found.endpoints)),
        ("Dose", dose_sentence(found)),
        ("Equations", sure(found.structure)),
        ("Cite", found.citation),
    ]
    return ["\n".join(f"- **{k}**: {v}" for k, v in rows if v)]


def sure(word: str) -> str:
    """Return a word of `CONFIDENCE` with its meaning."""
    meaning = CONFIDENCE[word]
    return meaning if meaning.startswith(word) else f"{word}: {meaning}"


def predicted(endpoints: Mapping[str, str]) -> str:
    """Return endpoints with labels and units in one line."""
    out = []
    for name, unit in endpoints.items():
        said = [ENDPOINTS[name].label] if name in ENDPOINTS else []
        said += [unit] if unit != "1" else []
        out.append(f"`{name}`" + (f" ({', '.join(said)})" if said else ""))
    return ", ".join(out)


def dose_sentence(found: Description) -> str:
    """Return where a dose goes, or that it does not enter."""
    where = f"enters `{found.dosed}`, amounts in {found.dose_unit}" if found.dosed else ""
    events = [f"events `{event}` enter `{state}`" for event, state in found.event_doses.items()]
    return "; ".join([where or "does not enter", *events])


def _grouped(given: Iterable[Equation]) -> list[tuple[str, list[Equation], str]]:
    """Return titles, their equations and what can be said without an equation."""
    by_kind: dict[str, list[Equation]] = {}
    for equation in given:
        by_kind.setdefault(equation.kind, []).append(equation)
    out = []
    for kind, title in _GROUPS.items():
        group = by_kind.get(kind, [])
        told = [e for e in group if (kind, e.is_zero or e.is_itself) in _TOLD]
        if group:
            out.append((title, [e for e in group if e not in told], _said(kind, told)))
    return out


def _said(kind: str, told: Sequence[Equation]) -> str:
    if not told:
        return ""
    names = ", ".join(f"`{e.about}`" for e in told)
    return f"{'Zero' if kind == 'start' else 'States as they are'}: {names}."


def _equations(given: Iterable[Equation], math: Math) -> list[str]:
    out: list[str] = []
    for title, group, said in _grouped(given):
        out.append(title if title == _GROUPS["piece"] else f"{title}:")
        out += [_block(_aligned(group), math)] if group else []
        out += [said] if said else []
    return out


def _aligned(group: Sequence[Equation]) -> str:
    if len(group) == 1:
        return group[0].latex
    if group[0].kind == "switch":
        return ",\\quad ".join(e.latex for e in group)
    rows = " \\\\[4pt]\n".join(e.row for e in group)
    return f"\\begin{{aligned}}\n{rows}\n\\end{{aligned}}"


def _block(latex: str, math: Math) -> str:
    return f"```math\n{latex}\n```" if math == "github" else f"$$\n{latex}\n$$"


def _inline(latex: str, math: Math) -> str:
    return f"$`{latex}`$" if math == "github" else f"${latex}$"


def _parameter_table(found: Description, math: Math) -> str:
    rows = [
        [
            _inline(p["symbol"], math), f"`{name}`", p["meaning"],
            number(p["typical"]) + (" (held)" if p["fixed"] else ""), _unit(p["unit"]),
            _varies(p), p["source"] if p["source"] != p["confidence"] else "", p["confidence"],
        ]
        for name, p in _rows(found.parameters)
    ]  # fmt: skip
    heads = ["", "name", "meaning", "typical", "unit", "IIV", "source", "how sure"]
    return "\n\n".join([_table(heads, rows), _legend(found)])


def _legend(found: Description) -> str:
    """Return what the words in the table of parameters mean."""
    used = set(found.parameters["confidence"])
    said = [f"*{k}*: {v.removeprefix(f'{k}: ')}" for k, v in CONFIDENCE.items() if k in used]
    if found.parameters["iiv"].notna().any():
        said.insert(0, "IIV: standard deviation between patients on the free scale (ln or logit)")
    if found.parameters["fixed"].any():
        said.insert(0, "held: not estimated in fits unless asked for")
    return "; ".join(said) + "."


def _varies(p: Mapping[str, Any]) -> str:
    if p["iiv"] is None or _math.isnan(p["iiv"]):
        return ""
    elsewhere = p["iiv_source"] not in ("", p["source"])
    return f"{p['iiv']:g}" + (f" ({p['iiv_source']})" if elsewhere else "")


def _quantity_table(frame: pd.DataFrame, math: Math) -> str:
    rows = []
    for name, q in _rows(frame):
        row = [_inline(q["symbol"], math), f"`{name}`", q["meaning"]]
        row += [number(q["typical"])] if "typical" in q else []
        rows.append([*row, _unit(q["unit"])])
    heads = ["", "name", "meaning", *(["typical"] if "typical" in frame else []), "unit"]
    return _table(heads, rows)


def _set_table(found: Description) -> str:
    rows = [
        [f"`{name}`", s.about, ", ".join(f"{k} = {number(v)}" for k, v in s.values.items()),
         s.source if s.source != s.confidence else "", s.confidence]
        for name, s in found.parameter_sets.items()
    ]  # fmt: skip
    return _table(["name", "whose", "values that differ", "source", "how sure"], rows)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell(c) for c in row) + " |" for row in lines)


def cell(text: str) -> str:
    """Return text that does not end a cell of a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")


def _rows(frame: pd.DataFrame) -> list[tuple[str, dict[str, Any]]]:
    records: list[dict[str, Any]] = frame.to_dict("records")  # type: ignore[assignment]
    return [(str(n), r) for n, r in zip(frame.index, records, strict=True)]


def number(value: float) -> str:
    """Return a value as it was declared: ``0.16``, ``24,000``, ``2.5e9``."""
    if value and not 1e-4 <= abs(value) < 1e6:
        lead, power = f"{value:.5e}".split("e")
        return f"{float(lead):g}e{int(power)}"
    if abs(value) >= 1e4:
        return f"{value:,.6f}".rstrip("0").rstrip(".")
    return f"{value:.6g}"


def _unit(unit: str) -> str:
    return "" if unit == "1" else unit


# --- plain text -----------------------------------------------------------------------------------


def text(found: Description) -> str:
    """Return the record as plain text."""
    parts = [found.title, "=" * min(len(found.title), _WIDTH)]
    parts += [_wrapped(found.about), ""] if found.about else []
    rows = [
        ("Name", found.name),
        ("Studied in", found.population),
        ("Predicts", predicted(found.endpoints).replace("`", "")),
        ("Dose", dose_sentence(found).replace("`", "")),
        ("Equations", sure(found.structure)),
        ("Cite", found.citation),
    ]
    parts += [_wrapped(v, f"{k:<12}") for k, v in rows if v]
    parts += _text_equations(found.equations)
    parts += ["", "Parameters", *_text_parameters(found)]
    for title, frame in (
        ("States", found.states),
        ("Covariates", found.covariates),
        ("Inputs", found.inputs),
    ):
        if len(frame):
            parts += ["", title, *_text_quantities(frame)]
    if found.parameter_sets:
        parts += ["", "Other published values"]
        parts += [
            _wrapped(f"{s.about} ({s.confidence})", f"  {name}  ")
            for name, s in found.parameter_sets.items()
        ]
    for field, title in _NOTES:
        listed: Sequence[str] = getattr(found, field)
        if listed:
            parts += ["", title, *(_wrapped(one, "  - ") for one in listed)]
    return "\n".join(parts)


def _wrapped(said: str, lead: str = "") -> str:
    paragraphs = said.split("\n\n")
    rest = " " * len(lead)
    return "\n".join(
        textwrap.fill(p, _WIDTH, initial_indent=lead if i == 0 else rest, subsequent_indent=rest)
        for i, p in enumerate(paragraphs)
    )


def _text_equations(given: Iterable[Equation]) -> list[str]:
    out: list[str] = []
    for title, group, said in _grouped(given):
        out += ["", title, *(_wrapped(e.text, "  ") for e in group)]
        out += [_wrapped(said.replace("`", ""), "  ")] if said else []
    return out


def _text_parameters(found: Description) -> list[str]:
    rows = []
    for name, p in _rows(found.parameters):
        varies = "" if _math.isnan(p["iiv"]) else f"IIV {p['iiv']:g}"
        sure = p["confidence"] + (", held" if p["fixed"] else "")
        rows.append(
            [name, f"{number(p['typical'])} {_unit(p['unit'])}", varies, sure, p["meaning"]]
        )
    return _columns(rows)


def _text_quantities(frame: pd.DataFrame) -> list[str]:
    rows = []
    for name, q in _rows(frame):
        typical = f"{number(q['typical'])} " if "typical" in q else ""
        rows.append([name, f"{typical}{_unit(q['unit'])}", q["meaning"]])
    return _columns(rows)


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    return ["  " + "  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip()
            for r in rows]  # fmt: skip
