"""What the caller of read_table asked for, checked once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal, get_args

import numpy as np

from cart_pkpd._core.errors import UnitError
from cart_pkpd._core.units import canonical, exponents
from cart_pkpd._core.validate import did_you_mean
from cart_pkpd._data.log import Log

Duplicates = Literal["error", "first", "last", "mean"]
Limits = float | Mapping[str, float] | None


@dataclass(frozen=True)
class Options:
    """The arguments of `data.read_table`; see there for their meaning."""

    columns: Mapping[str, str | None] | None = None
    units: Mapping[str, str] | None = None
    lloq: Limits = None
    uloq: Limits = None
    time_unit: str | None = None
    dose_unit: str | None = None
    day_one: bool = False
    align_to_dose: bool = True
    endpoints: str | Mapping[str | int, str] | None = None
    covariates: Sequence[str] | None = None
    missing: Sequence[str | float] = ()
    sort: bool = False
    duplicates: Duplicates = "error"
    sep: str | None = None
    decimal: str | None = None

    def check(self, log: Log) -> None:
        """Raise a DataError if an argument cannot mean anything."""
        self._check_choices(log)
        self._check_limits(log)
        self._check_units(log)
        log.stop_if_any()

    def _check_choices(self, log: Log) -> None:
        _choice("duplicates", self.duplicates, get_args(Duplicates), log)
        _choice("decimal", self.decimal, (".", ",", None), log)
        for name in ("day_one", "align_to_dose", "sort"):
            given = getattr(self, name)
            if not isinstance(given, bool | np.bool_):
                log.problem("bad_option", f"{name} must be True or False, not {given!r}.")
        if self.sep is not None and (not isinstance(self.sep, str) or len(self.sep) != 1):
            log.problem("bad_option", f"sep must be a single character, not {self.sep!r}.")
        if isinstance(self.covariates, str):
            log.problem(
                "bad_option", f"covariates must be a list of headers, not {self.covariates!r}."
            )

    def _check_limits(self, log: Log) -> None:
        for name in ("lloq", "uloq"):
            given = getattr(self, name)
            limits = given if isinstance(given, Mapping) else {} if given is None else {"": given}
            for endpoint, limit in limits.items():
                number = isinstance(limit, int | float) and math.isfinite(limit) and limit > 0
                if not number:
                    of = f" of {endpoint!r}" if endpoint else ""
                    log.problem(
                        "bad_limit_argument",
                        f"{name}{of} must be a positive number, not {limit!r}.",
                        value=str(limit),
                    )

    def _check_units(self, log: Log) -> None:
        for endpoint, unit in (self.units or {}).items():
            _unit(f"units[{endpoint!r}]", unit, log)
        if self.dose_unit is not None:
            _unit("dose_unit", self.dose_unit, log)
        if self.time_unit is None or not _unit("time_unit", self.time_unit, log):
            return
        if exponents(self.time_unit) != {"day": 1}:
            log.problem(
                "not_a_time_unit",
                f"time_unit={self.time_unit!r} is not a unit of time. Use 'day' or 'h'.",
                value=self.time_unit,
            )


def _choice(name: str, value: object, known: Sequence[object], log: Log) -> None:
    if value not in known:
        hint = did_you_mean(str(value), [k for k in known if isinstance(k, str)])
        allowed = ", ".join(repr(k) for k in known)
        log.problem("bad_option", f"{name}={value!r} is not known.{hint} Known: {allowed}.")


def _unit(what: str, unit: str, log: Log) -> bool:
    """Report a unit that is not known; return whether it is."""
    try:
        canonical(unit)
    except UnitError as error:
        log.problem("unknown_unit_argument", f"{what}: {error}", value=str(unit))
        return False
    return True


OPTION_NAMES = tuple(f.name for f in fields(Options))
