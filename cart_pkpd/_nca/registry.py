"""The catalogue of parameters: one record each, declared where it is computed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from cart_pkpd._core.validate import one_of
from cart_pkpd._nca.reasons import Column

if TYPE_CHECKING:
    from cart_pkpd._nca.work import Work

UnitKind = Literal[
    "level", "time", "area", "moment", "rate", "percent", "one", "dose",
    "level/dose", "area/dose", "dose/area", "dose/level",
]  # fmt: skip
Statistic = Literal["geometric", "arithmetic", "median", "count"]
Window = tuple[float, float]
Compute = Callable[["Work"], Column]


@dataclass(frozen=True)
class Parameter:
    """One NCA parameter.

    Attributes
    ----------
    name, label : str
        Name in the result, label for people.
    unit : str
        Kind of unit (see `units`).
    cdisc : str
        CDISC PPTESTCD; empty where the controlled terminology has none.
    needs : tuple of str
        Parameters that this one is computed from.
    about : str
        Meaning in one line.
    statistic : str
        How a group is summarised: ``"geometric"`` mean (geometric CV), ``"arithmetic"`` mean
        (SD), ``"median"`` [min; max], or ``"count"`` of ones.
    default : bool
        Whether it is computed without being asked for.
    compute : callable
        From the working state of a block of patients to a column.
    start, end : float or None
        Window, for parameters of a window. [day]
    """

    name: str
    label: str
    unit: UnitKind
    cdisc: str
    needs: tuple[str, ...]
    about: str
    statistic: Statistic
    default: bool
    compute: Compute
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True)
class Family:
    """A parameter that exists once per window or per visit; the texts hold ``{…}`` fields."""

    record: Parameter
    each: Literal["window", "visit"]
    compute: Callable[..., Column]

    def member(self, fields: Mapping[str, object], *args: object, window: Window) -> Parameter:
        """Return the parameter of one window or visit."""
        r = self.record

        def compute(work: Work) -> Column:
            return self.compute(work, *args)

        return Parameter(
            name=r.name.format(**fields),
            label=r.label.format(**fields),
            unit=r.unit,
            cdisc=r.cdisc,
            needs=tuple(need.format(**fields) for need in r.needs),
            about=r.about.format(**fields),
            statistic=r.statistic,
            default=r.default,
            compute=compute,
            start=window[0],
            end=window[1],
        )


_CATALOGUE: dict[str, Parameter | Family] = {}


def parameter(
    name: str,
    label: str,
    unit: UnitKind,
    about: str,
    *,
    cdisc: str = "",
    needs: tuple[str, ...] = (),
    statistic: Statistic = "geometric",
    default: bool = True,
    each: Literal["", "window", "visit"] = "",
) -> Callable[[Callable[..., Column]], Callable[..., Column]]:
    """Declare the decorated function as the computation of a parameter.

    The function takes the `Work` of a block, and for ``each="window"`` the window, for
    ``each="visit"`` the name of the visit; it returns a `Column`. Names, labels and needs of a
    family hold the fields ``{w}`` (``0_28``), ``{span}`` (``0–28d``), ``{a}``, ``{b}`` or
    ``{visit}``, ``{target}``, ``{first}``, ``{last}``.
    """

    def declare(compute: Callable[..., Column]) -> Callable[..., Column]:
        if name in _CATALOGUE:
            raise ValueError(f"parameter {name!r} is declared twice.")
        record = Parameter(
            name, label, unit, cdisc, needs, about, statistic, default, compute
        )  # fmt: skip
        _CATALOGUE[name] = Family(record, each, compute) if each else record
        return compute

    return declare


def number_name(value: float) -> str:
    """Return a number as part of a name: ``28``, ``0p5``."""
    return f"{value:g}".replace(".", "p").replace("+", "")


def window_name(window: Window) -> str:
    """Return a window as part of a name: ``0_28``."""
    return f"{number_name(window[0])}_{number_name(window[1])}"


def catalogue(
    windows: Sequence[Window], visits: Mapping[str, tuple[float, float, float]]
) -> dict[str, Parameter]:
    """Return every parameter, families expanded over windows and visits, in declared order."""
    found: dict[str, Parameter] = {}
    for entry in _CATALOGUE.values():
        if isinstance(entry, Parameter):
            found[entry.name] = entry
            continue
        members = (
            [entry.member(_fields(w), w, window=w) for w in windows]
            if entry.each == "window"
            else [entry.member(_visit(v, visits[v]), v, window=visits[v][1:]) for v in visits]
        )
        found.update({m.name: m for m in members if m.name not in found})
    return found


_WINDOW = re.compile(r"(\d[\dp]*)_(\d[\dp]*)")


def label_of(name: str) -> str | None:
    """Return the label of a parameter by its name alone, or None where there is none such.

    Labels that are the words of the name, such as "Dose" and "Growth rate", are none either.

    Examples
    --------
    >>> label_of("auc0_28"), label_of("dose"), label_of("weight")
    ('AUC0–28d', None, None)
    """
    from cart_pkpd._nca import declared as declared  # fills the catalogue

    ends = _WINDOW.search(name)
    windows = [(_number(ends[1]), _number(ends[2]))] if ends else []
    found = catalogue(windows, {}).get(name)
    plain = found and not found.cdisc and found.label.lower() == name.replace("_", " ")
    return found.label if found and not plain else None


def _number(text: str) -> float:
    return float(text.replace("p", ".", 1))


def _visit(name: str, visit: tuple[float, float, float]) -> dict[str, object]:
    target, first, last = visit
    return {"visit": name, "target": f"{target:g}", "first": f"{first:g}", "last": f"{last:g}"}


def _fields(window: Window) -> dict[str, object]:
    a, b = window
    return {
        "w": window_name(window), "span": f"{a:g}–{b:g}d", "a": f"{a:g}", "b": f"{b:g}",
        "end": number_name(b),
    }  # fmt: skip


def select(known: Mapping[str, Parameter], names: Sequence[str] | None) -> list[str]:
    """Return the parameters to report: those named, or the default ones.

    Raises
    ------
    ValueError
        For an unknown name, with the nearest known one.
    """
    if names is None:
        return [p.name for p in known.values() if p.default]
    return [one_of(name, known, "NCA parameter") for name in dict.fromkeys(names)]


def units(kind: UnitKind, level: str, dose: str) -> str:
    """Return the unit of a parameter, given those of the level and of the dose.

    Examples
    --------
    >>> units("area", "copies/µg", "cells")
    'copies/µg*day'
    """
    level, dose = level or "1", dose or "1"
    area, over_dose = f"{level}*day", f"/{dose}".replace("/1", "")
    return {
        "level": level,
        "time": "day",
        "area": area,
        "moment": f"{level}*day^2",
        "rate": "1/day",
        "percent": "%",
        "one": "1",
        "dose": dose,
        "level/dose": f"{level}{over_dose}",
        "area/dose": f"{area}{over_dose}",
        "dose/area": f"{dose}/({area})",
        "dose/level": f"{dose}/({level})",
    }[kind]
