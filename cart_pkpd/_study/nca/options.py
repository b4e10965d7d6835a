"""Every option of an NCA, once: its flag, its key in TOML, its kind and its help.

The rules come from `nca.Rules` itself, field by field, so a new rule has its flag at once.
Nothing here imports more than the standard library, for ``--help``.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from cart_pkpd._nca.rules import Blq, Method, Rules, Visit
from cart_pkpd._study.nca import kinds
from cart_pkpd._study.nca.kinds import Kind

Home = Literal["analysis", "rules", "data"]


@dataclass(frozen=True)
class Option:
    """One option.

    Attributes
    ----------
    key : str
        Its name in TOML; keys of ``data`` stand in the table ``[data]``.
    home : str
        ``"analysis"``, ``"rules"`` or ``"data"`` (arguments of `data.read_table`).
    flag : str
        As typed.
    kind : Kind
    help : str
    optional : bool
        Whether the flag's text ``none`` takes back what a settings file says.
    """

    key: str
    home: Home
    flag: str
    kind: Kind
    help: str
    optional: bool = False

    @property
    def name(self) -> str:
        """Name among the arguments of the command."""
        return f"{self.home}_{self.key}"

    @property
    def about(self) -> str:
        """Help with the words that are allowed."""
        words = ", ".join(self.kind.choices)
        return f"{words}: {self.help}" if words else self.help

    @property
    def path(self) -> str:
        """Path of the key in TOML."""
        return f"data.{self.key}" if self.home == "data" else self.key


def _a(key: str, flag: str, kind: Kind, help: str) -> Option:
    return Option(key, "analysis", flag, kind, help)


def _d(key: str, flag: str, kind: Kind, help: str) -> Option:
    return Option(key, "data", flag, kind, help)


ANALYSIS: tuple[Option, ...] = (
    _a("endpoints", "--endpoint", kinds.NAMES,
       "Endpoint; repeatable. [default: every one that counts cells]"),
    _a("windows", "--window", kinds.WINDOWS,
       "First and last day of an AUC; repeatable. [default: 0:28]"),
    _a("parameters", "--parameters", kinds.NAMES,
       "Parameters to compute, separated by commas; 'all' for every one of the catalogue, "
       "'default' for the usual ones."),
    _a("by", "--by", kinds.NAMES,
       "Patient variables that form the groups of the summary, separated by commas; 'none' for "
       "one group. [default: dose_level]"),
    _a("infusion", "--infusion", kinds.WHOLE,
       "Which infusion the analysis is about. [default: 1]"),
    _a("persistence", "--persistence", kinds.choice(("midpoint", "upper", "turnbull")),
       "When cells that were lost between two samples were lost: Kaplan-Meier with the middle or "
       "the end of the interval, or Turnbull's estimate. [default: midpoint]"),
    _a("figures", "--figures/--no-figures", kinds.SWITCH, "Draw figures. [default: yes]"),
)  # fmt: skip

DATA: tuple[Option, ...] = (
    _d("subjects", "--subjects", kinds.TEXT, "CSV with one row per patient."),
    _d("columns", "--column", kinds.HEADERS,
       "Header of a column that is not recognised, such as TIME='Day post infusion'; "
       "nothing after the = says that there is no such column; repeatable."),
    _d("endpoints", "--dvid", kinds.RENAMED,
       "Name of what the table calls VALUE, or of its only endpoint; repeatable."),
    _d("units", "--unit", kinds.UNITS, "Unit of an endpoint; repeatable."),
    _d("lloq", "--lloq", kinds.LIMITS, "LLOQ where the table gives none; repeatable by endpoint."),
    _d("uloq", "--uloq", kinds.LIMITS, "ULOQ where the table gives none; repeatable by endpoint."),
    _d("time_unit", "--time-unit", kinds.TEXT, "Unit of the times, such as h. [default: day]"),
    _d("dose_unit", "--dose-unit", kinds.TEXT, "Unit of the amounts. [default: cells]"),
    _d("day_one", "--day-one/--no-day-one", kinds.SWITCH,
       "The table calls the day of infusion day 1."),
    _d("align_to_dose", "--align-to-dose/--no-align-to-dose", kinds.SWITCH,
       "Count time from each patient's first dose record. [default: yes]"),
    _d("covariates", "--covariate", kinds.NAMES,
       "Header of a column to keep; repeatable. [default: all that are left over]"),
    _d("missing", "--missing", kinds.TEXTS, "Further text for a missing value; repeatable."),
    _d("sort", "--sort/--no-sort", kinds.SWITCH, "Accept records that are not in order of time."),
    _d("duplicates", "--duplicates", kinds.choice(("error", "first", "last", "mean")),
       "Values of the same patient, endpoint and time. [default: error]"),
    _d("sep", "--sep", kinds.TEXT, "Separator of cells. [default: found from the table]"),
    _d("decimal", "--decimal", kinds.choice((".", ",")),
       "Decimal sign. [default: found from the table]"),
)  # fmt: skip

_SAID = {
    "method": "Trapezoids. lin-up/log-down is logarithmic where the level falls to a value above "
    "0; lin-log is logarithmic after Tmax.",
    "tail": "A window's area beyond the last quantifiable sample: a line down to the first BLQ "
    "sample (triangle), nothing (zero), or a decline by lambda_z from the observed (exponential) "
    "or the predicted (exponential-predicted) last level.",
    "blq": "Samples below the LLOQ in the areas: keep (as 0), drop, a number, or a multiple of the "
    "LLOQ such as 0.5lloq. By place: first=keep,middle=drop,last=keep (the default). By side of "
    "the peak: before_tmax=0,after_tmax=drop.",
    "lambda_z_include": "Samples that make the terminal fit of a patient; repeatable. [day]",
    "lambda_z_exclude": "Samples left out of the terminal fit of a patient; repeatable. [day]",
    "expansion_min_points": "Fewest samples for the expansion.",
    "contraction_min_points": "Fewest samples for the contraction.",
    "accept_adj_r_squared": "Least adjusted R² for lambda_z and all that depends on it.",
    "accept_span_ratio": "Least span in half-lives for lambda_z and all that depends on it.",
    "visits": "Target, first and last day of a visit of the quantifiable_* parameters; repeatable; "
    "replaces the usual visits.",
}
"""Help for a command line where that of `Rules` is for its reader."""

_RENAMED = {"method": "--auc-method", "visits": "--visit"}
_TAKEN = {flag for option in (*ANALYSIS, *DATA) for flag in option.flag.split("/")}


@cache
def all_options() -> tuple[Option, ...]:
    """Return every option: of the analysis, the rules, and the reading of the table."""
    return (*ANALYSIS, *_rules(), *DATA)


def find(home: Home) -> dict[str, Option]:
    """Return the options of one home by key."""
    return {option.key: option for option in all_options() if option.home == home}


# --- one option per rule ----------------------------------------------------------------------


def _rules() -> Iterator[Option]:
    types, about = get_type_hints(Rules), _about(Rules.__doc__ or "")
    for field in fields(Rules):
        kind, optional = kind_of(field.name, types[field.name])
        text = about.get(field.name) or field.name.replace("_", " ").capitalize() + "."
        yield Option(
            field.name, "rules", _flag(field.name, kind), kind, text + _default(field), optional
        )


def _flag(name: str, kind: Kind) -> str:
    words = name.replace("_", "-")
    flag = _RENAMED.get(name, f"--{words}")
    if flag in _TAKEN:
        flag, words = f"--rule-{words}", f"rule-{words}"
    return f"{flag}/--no-{words}" if kind.switch else flag


def kind_of(name: str, annotation: Any) -> tuple[Kind, bool]:
    """Return the kind of a rule by its type, and whether it may be None.

    Raises
    ------
    TypeError
        For a type that has no kind yet.
    """
    if get_origin(annotation) in (Union, UnionType):
        inner = [part for part in get_args(annotation) if part is not NoneType]
        if len(inner) == 1 and len(get_args(annotation)) == 2:
            return kind_of(name, inner[0])[0], True
    if annotation == Method:
        return kinds.choice(get_args(Method), spelling=_method), False
    if get_origin(annotation) is Literal:
        return kinds.choice(get_args(annotation)), False
    if annotation not in _KINDS:
        raise TypeError(f"rule {name!r} has type {annotation}, for which there is no flag.")
    return _KINDS[annotation], False


_KINDS: dict[Any, Kind] = {
    bool: kinds.SWITCH,
    int: kinds.WHOLE,
    float: kinds.NUMBER,
    Blq: kinds.BLQ,
    tuple[float, float]: kinds.PAIR,
    Mapping[str, tuple[float, ...]]: kinds.TIMES,
    Mapping[str, Visit]: kinds.VISITS,
}


def _method(text: str) -> str:
    """Return the method that is spelled so: lin-up-log-down is lin-up/log-down."""
    known = {re.sub("[^a-z]", "", name): name for name in get_args(Method)}
    return known.get(re.sub("[^a-z]", "", text.lower()), text)


def _default(field: Any) -> str:
    value = field.default if field.default is not MISSING else None
    if isinstance(value, bool):
        return f" [default: {'yes' if value else 'no'}]"
    if isinstance(value, float | int):
        return f" [default: {value:g}]"
    return f" [default: {value}]" if isinstance(value, str) else ""


def _about(docstring: str) -> dict[str, str]:
    """Return what a numpydoc docstring says about each attribute."""
    lines = inspect.cleandoc(docstring).partition("Attributes\n")[2].splitlines()[1:]
    found: dict[str, str] = {}
    names: list[str] = []
    for line in lines:
        if re.match(r"\w[\w, ]* : ", line):
            names = line.partition(" : ")[0].split(", ")
        elif line.startswith(" "):
            said = line.strip().replace("``", "").replace("`", "")
            found |= {name: f"{found.get(name, '')} {said}".strip() for name in names}
    return found | _SAID
