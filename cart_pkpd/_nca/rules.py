"""The settings of an analysis: one frozen record, printable, to and from a dict or TOML."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, get_args

from cart_pkpd._core.validate import did_you_mean, one_of, positive_int

Method = Literal["linear", "lin-up/log-down", "lin-log"]
Tail = Literal["zero", "triangle", "exponential", "exponential-predicted"]
Start = Literal["zero", "always-zero", "predose", "minimum", "extrapolate", "none"]
Duplicates = Literal["refuse", "first", "last"]

_NUMBER = r"[0-9]*\.?[0-9]+(?:e-?[0-9]+)?"
_MULTIPLE = re.compile(
    rf"^(?:(?P<factor>{_NUMBER})\s*[*×]?\s*)?lloq(?:\s*/\s*(?P<divisor>{_NUMBER}))?$"
)


class BlqValue(NamedTuple):
    """What becomes of a BLQ sample: dropped, or set to ``number + multiple × LLOQ``."""

    drop: bool = False
    number: float = 0.0
    multiple: float = 0.0


def blq_value(rule: str | float) -> BlqValue:
    """Read one BLQ rule.

    Parameters
    ----------
    rule : str or float
        ``"keep"`` (counts as 0), ``"drop"``, a number ≥ 0, or a multiple of the sample's own
        LLOQ such as ``"0.5*lloq"`` or ``"lloq/2"``.

    Raises
    ------
    ValueError
        For anything else.
    """
    text = str(rule).strip().lower()
    if text in ("keep", "drop"):
        return BlqValue(drop=text == "drop")
    if match := _MULTIPLE.match(text):
        return BlqValue(
            multiple=float(match["factor"] or 1.0) / float(match["divisor"] or 1.0),
        )
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise ValueError(
            f"unknown BLQ rule {rule!r}. Use 'keep', 'drop', a number of at least 0, or a "
            "multiple of the LLOQ such as '0.5*lloq'."
        )
    return BlqValue(number=number)


@dataclass(frozen=True, kw_only=True)
class Blq:
    """What becomes of samples below the limit of quantification in the areas.

    Either by position (`first`, `middle`, `last`) or by side of the peak (`before_tmax`,
    `after_tmax`). Each is ``"keep"`` (the sample counts as 0), ``"drop"``, a number, or a
    multiple of that sample's LLOQ (``"0.5*lloq"``).

    Attributes
    ----------
    first, middle, last : str or float
        Up to and including Tfirst; strictly between Tfirst and Tlast; from Tlast on.
        The default keep, drop, keep is that of PKNCA and Pumas.
    before_tmax, after_tmax : str or float or None
        Before the first Tmax; from it on. When given, they replace the three above.
    """

    first: str | float = "keep"
    middle: str | float = "drop"
    last: str | float = "keep"
    before_tmax: str | float | None = None
    after_tmax: str | float | None = None

    def __post_init__(self) -> None:
        if (self.before_tmax is None) != (self.after_tmax is None):
            raise ValueError("BLQ rules by side of the peak need both before_tmax and after_tmax.")
        for name in ("first", "middle", "last", "before_tmax", "after_tmax"):
            rule = getattr(self, name)
            if rule is not None:
                blq_value(rule)

    @property
    def by_peak(self) -> bool:
        """Whether the rule depends on the side of the peak."""
        return self.before_tmax is not None

    @classmethod
    def of(cls, value: Blq | Mapping[str, Any] | str | float) -> Blq:
        """Return a rule from a mapping of positions, or one rule for every position."""
        if isinstance(value, Blq):
            return value
        if isinstance(value, Mapping):
            _check_keys(value, cls, "BLQ position")
            return cls(**value)
        return cls(first=value, middle=value, last=value)


Visit = tuple[float, float, float]
"""Target day, first and last day that count."""

_VISITS: Mapping[str, Visit] = MappingProxyType(
    {
        "d28": (28.0, 25.0, 34.0),
        "m3": (91.0, 77.0, 105.0),
        "m6": (183.0, 162.0, 204.0),
        "m12": (365.0, 335.0, 395.0),
    }
)


_NOT_NEGATIVE = (
    "tmax_after", "early_spike_before", "course_gap", "earliest_day", "contraction_until",
    "persistence_from", "accept_adj_r_squared", "accept_span_ratio", "accept_aucpext",
    "accept_samples",
)  # fmt: skip


def _check_keys(given: Mapping[str, Any], cls: type, what: str) -> None:
    known = [f.name for f in fields(cls)]
    for key in given:
        if key not in known:
            raise ValueError(
                f"unknown {what} {key!r}.{did_you_mean(str(key), known)} Known: {', '.join(known)}."
            )


def _days(value: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
    made = {
        str(k): tuple(float(x) for x in (v if isinstance(v, Iterable) else (v,)))
        for k, v in value.items()
    }
    for name, days in made.items():
        if not all(map(math.isfinite, days)):
            raise ValueError(f"the days of {name!r} must be finite numbers, not {days!r}.")
    return made


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Every choice of an analysis. Times are days since the infusion.

    Attributes
    ----------
    method : {"lin-up/log-down", "linear", "lin-log"}
        Trapezoids. Lin-up/log-down: logarithmic where the level falls to a value above 0.
        Lin-log: linear up to Tmax, logarithmic after it.
    tail : {"triangle", "zero", "exponential", "exponential-predicted"}
        A window's area beyond the last quantifiable sample: a line down to the first BLQ sample
        and nothing without one; nothing; or an exponential decline by lambda_z from the observed
        or the predicted Clast, which ends at the first BLQ sample.
    start_rule : {"zero", "always-zero", "predose", "minimum", "extrapolate", "none"}
        Level at the infusion. ``"zero"`` inserts 0 where no sample was taken at time 0 and keeps
        a reported value; ``"always-zero"`` replaces it too; ``"predose"`` carries the last
        earlier sample; ``"minimum"`` inserts the lowest level; ``"extrapolate"`` continues the
        line of ln level through the first two samples (C0 of a bolus); ``"none"`` inserts nothing.
    blq : Blq or mapping or str or float
        See `Blq`. The start point survives ``"drop"``.
    tmax : {"first", "last"}
        Which of several equal maxima.
    tmax_after : float
        Cmax and Tmax look only at samples from this day on, to skip a distribution spike. [day]
    early_spike_before : float
        A highest sample before this day is flagged in `early_spike`. [day]
    clock : {"actual", "nominal"}
        Which times; nominal falls back to actual where a sample has no nominal time.
    duplicates : {"refuse", "first", "last"}
        Samples at the same time: leave the patient out, with the reason, or use one of them.
    course_gap : float
        Infusions this close to the one before are fractions of one dose. [day]
    min_points : int
        Fewest samples for lambda_z. With 2, a two-sample line is used only when there are just two.
    tolerance : float
        Windows whose adjusted R² is within this of the best compete; the longest wins.
    allow_tmax : bool
        Whether the Tmax sample may be part of the terminal phase.
    earliest_day : float
        Samples before this day are not part of the terminal phase. [day]
    lambda_z_window : (float, float) or None
        Fit all quantifiable samples in this window instead of searching. [day]
    lambda_z_include, lambda_z_exclude : mapping of patient to times
        Samples chosen or left out by hand. [day]
    lambda_z_imputed : bool
        Whether BLQ samples replaced by a positive number take part in lambda_z, as in PKNCA.
        Off: ICH M13A leaves BLQ samples out of the terminal fit.
    expansion_from : {"nadir", "first"}
        Where the expansion starts: lowest or first quantifiable sample before Tmax.
    expansion_min_points : int
    contraction_until : float
        Last day of the contraction; by nominal time where known. [day]
    contraction_from_tmax : bool
        Whether the Tmax sample is part of the contraction.
    contraction_min_points : int
    persistence_from : float or None
        Earliest day of the samples for `persistence_half_life`; None: those of `half_life`. [day]
    persistence_consecutive : int
        0: lost from the first BLQ after Tlast. k: from the first of k BLQs in a row after Tmax.
    visits : mapping of name to (target, first, last)
        Visits of the ``quantifiable_*`` parameters; by nominal time where known. [day]
    min_coverage : float
        Share of a window that the samples must reach, otherwise its area is missing.
    accept_adj_r_squared, accept_span_ratio : float or None
        Least values for lambda_z and all that depends on it to be reported.
    accept_aucpext : float or None
        Largest extrapolated share for AUCinf and what depends on it. [%]
    accept_samples : int or None
        Fewest quantifiable samples for any area.
    """

    method: Method = "lin-up/log-down"
    tail: Tail = "triangle"
    start_rule: Start = "zero"
    blq: Blq = field(default_factory=Blq)
    tmax: Literal["first", "last"] = "first"
    tmax_after: float = 0.0
    early_spike_before: float = 1.0
    clock: Literal["actual", "nominal"] = "actual"
    duplicates: Duplicates = "refuse"
    course_gap: float = 7.0
    min_points: int = 3
    tolerance: float = 1e-4
    allow_tmax: bool = False
    earliest_day: float = 0.0
    lambda_z_window: tuple[float, float] | None = None
    lambda_z_include: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    lambda_z_exclude: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    lambda_z_imputed: bool = False
    expansion_from: Literal["nadir", "first"] = "nadir"
    expansion_min_points: int = 2
    contraction_until: float = 28.0
    contraction_from_tmax: bool = True
    contraction_min_points: int = 3
    persistence_from: float | None = None
    persistence_consecutive: int = 0
    visits: Mapping[str, Visit] = field(default_factory=lambda: dict(_VISITS))
    min_coverage: float = 0.0
    accept_adj_r_squared: float | None = None
    accept_span_ratio: float | None = None
    accept_aucpext: float | None = None
    accept_samples: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "method", _method(self.method))
        object.__setattr__(self, "blq", Blq.of(self.blq))
        for name, choices in _CHOICES.items():
            one_of(getattr(self, name), choices, f"rule {name}")
        for name in ("min_points", "expansion_min_points", "contraction_min_points"):
            points = positive_int(getattr(self, name), f"rule {name}")
            if points < 2:
                raise ValueError(f"rule {name} must be at least 2: a line needs two samples.")
            object.__setattr__(self, name, points)
        count = self.persistence_consecutive
        if not 0 <= count < math.inf or int(count) != count:
            raise ValueError("rule persistence_consecutive must be 0 or a positive whole number.")
        if not 0 <= self.tolerance < 1:
            raise ValueError(f"rule tolerance must be in [0, 1), not {self.tolerance!r}.")
        if not 0 <= self.min_coverage <= 1:
            raise ValueError(f"rule min_coverage must be in [0, 1], not {self.min_coverage!r}.")
        for name in _NOT_NEGATIVE:
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"rule {name} must be 0 or a positive number, not {value!r}.")
        self._freeze_mappings()
        if self.lambda_z_imputed and (
            self.lambda_z_window or self.lambda_z_include or self.lambda_z_exclude
        ):
            raise ValueError(
                "rule lambda_z_imputed cannot be combined with samples or a window chosen by hand."
            )

    def _freeze_mappings(self) -> None:
        if self.lambda_z_window is not None:
            start, end = (float(x) for x in self.lambda_z_window)
            if not start < end:
                raise ValueError(f"rule lambda_z_window must rise, not ({start:g}, {end:g}).")
            object.__setattr__(self, "lambda_z_window", (start, end))
        for name in ("lambda_z_include", "lambda_z_exclude", "visits"):
            object.__setattr__(self, name, MappingProxyType(_days(getattr(self, name))))
        for name, visit in self.visits.items():
            if len(visit) != 3 or not visit[1] <= visit[0] <= visit[2]:
                raise ValueError(
                    f"visit {name!r} must be (target, first, last) with first ≤ target ≤ last, "
                    f"not {visit!r}."
                )

    def with_(self, **changes: Any) -> Rules:
        """Return these rules with some changed; an unknown name is a ValueError."""
        _check_keys(changes, Rules, "rule")
        return replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return plain types only; what is None is left out."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        plain["blq"] = {k: v for k, v in asdict(self.blq).items() if v is not None}
        if self.blq.by_peak:
            plain["blq"] = {k: plain["blq"][k] for k in ("before_tmax", "after_tmax")}
        for name in ("lambda_z_include", "lambda_z_exclude", "visits"):
            plain[name] = {k: list(v) for k, v in plain[name].items()}
        if self.lambda_z_window is not None:
            plain["lambda_z_window"] = list(self.lambda_z_window)
        return {name: value for name, value in plain.items() if value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Rules:
        """Return the rules that `to_dict` wrote; an unknown key is a ValueError."""
        _check_keys(values, cls, "rule")
        return cls(**values)

    def to_toml(self) -> str:
        """Return the rules as TOML text."""
        plain = self.to_dict()
        tables = {k: v for k, v in plain.items() if isinstance(v, dict)}
        lines = [f"{k} = {_toml(v)}" for k, v in plain.items() if k not in tables]
        for name, table in tables.items():
            if table:
                lines += ["", f"[{name}]"]
                lines += [f"{json.dumps(k)} = {_toml(v)}" for k, v in table.items()]
        return "\n".join(lines) + "\n"

    @classmethod
    def from_toml(cls, text: str) -> Rules:
        """Return the rules written by `to_toml`."""
        return cls.from_dict(tomllib.loads(text))

    def __str__(self) -> str:
        return self.to_toml()

    def __hash__(self) -> int:
        return hash(self.to_toml())

    def __reduce__(self) -> tuple[Any, ...]:
        # Read-only mappings cannot be pickled; plain types can.
        return Rules.from_dict, (self.to_dict(),)


_CHOICES: dict[str, tuple[str, ...]] = {
    "tail": get_args(Tail),
    "start_rule": get_args(Start),
    "tmax": ("first", "last"),
    "clock": ("actual", "nominal"),
    "duplicates": get_args(Duplicates),
    "expansion_from": ("nadir", "first"),
}


def _method(text: str) -> str:
    known = {re.sub("[^a-z]", "", name): name for name in get_args(Method)}
    spelled = re.sub("[^a-z]", "", str(text).lower())
    return known[spelled] if spelled in known else one_of(text, get_args(Method), "AUC method")


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if isinstance(value, list):
        return f"[{', '.join(_toml(v) for v in value)}]"
    if isinstance(value, int):
        return str(int(value))
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(float(value))  # type: ignore[arg-type]
