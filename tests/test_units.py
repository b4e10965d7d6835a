"""Units and names. Factors are those of the SI and of the units' definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cart_pkpd._core import names, units
from cart_pkpd._core.errors import UnitError

SPELLINGS = {
    "copies/µg": ("copies/ug", "COPIES/UG", "copies/μg gDNA", "copies per ug genomic DNA",
                  "Copies / mcg DNA", "cp/ug"),
    "cells/µL": ("cells/uL", "CELLS/UL", "cell/µl", "cells per uL blood", "cells/ul"),
    "pg/mL": ("PG/ML", "pg/ml", "pg / mL"),
    "day": ("d", "Days", "DAY"),
    "h": ("hr", "hours", "H"),
    "1/day": ("/day", "day^-1", "day-1", "1/d"),
    "10^9/L": ("10*9/L", "x10^9/L", "×10⁹/L", "1e9/L", "10**9/L"),
    "10^3/µL": ("10^3/uL", "10*3/ul"),
    "10^6*cells": ("10^6 cells", "1e6 cells", "10⁶ cells", "10^6*cells", "1e+06 cells"),
    "10^6*cells/kg": ("10^6 cells/kg",),
    "mm^2": ("mm²", "mm2", "mm**2"),
    "mm": ("MM",),
    "mM": ("mM",),
    "µM": ("uM",),
    "1": ("", "1"),
    "%": ("percent",),
}  # fmt: skip


@pytest.mark.parametrize("expected", SPELLINGS)
def test_spellings(expected):
    assert {units.canonical(s) for s in SPELLINGS[expected]} == {expected}
    assert units.canonical(expected) == expected


@pytest.mark.parametrize("text", ["spoons", "pg/", "pg//mL", "*", "log10 copies/µg", "nm", "mg)"])
def test_not_a_unit(text):
    with pytest.raises(UnitError):
        units.canonical(text)


def test_unknown_unit_suggests_the_nearest():
    with pytest.raises(UnitError, match="Did you mean 'copies'"):
        units.canonical("copis/µg")


@pytest.mark.parametrize(
    ("source", "target", "factor"),
    [
        ("ng/mL", "pg/mL", 1000.0),
        ("mg/dL", "mg/L", 10.0),
        ("ng/mL", "µg/L", 1.0),
        ("cells/mL", "cells/µL", 1e-3),
        ("10^9/L", "10^3/µL", 1.0),
        ("week", "day", 7.0),
        ("h", "day", 1 / 24),
        ("10^6 cells", "cells", 1e6),
        ("nM", "pmol/L", 1000.0),
        ("%", "1", 0.01),
    ],
)
def test_conversion(source, target, factor):
    assert units.conversion_factor(source, target) == pytest.approx(factor, rel=1e-14)


@pytest.mark.parametrize(
    ("a", "b"),
    [("copies/µg", "cells/µL"), ("copies/µg", "copies/mL"), ("mm", "mM"), ("IU/L", "U/L"),
     ("cells", "cells/kg")],
)  # fmt: skip
def test_different_kinds_never_convert(a, b):
    with pytest.raises(UnitError, match="different kinds"):
        units.conversion_factor(a, b)


@given(st.integers(0, 10_000))
def test_whole_days_given_in_hours_are_exact(days):
    assert units.convert(24.0 * days, "h", "day") == days


def test_convert_keeps_gaps_and_rejects_other_kinds():
    np.testing.assert_array_equal(units.convert([1.5, np.nan], "ng/mL", "pg/mL"), [1500, np.nan])
    np.testing.assert_array_equal(units.convert([1500.0], "pg/mL", "ng/mL"), [1.5])
    with pytest.raises(UnitError):
        units.convert([1.0], "day", "pg/mL")


def test_exponents_and_products():
    assert units.exponents("copies/µg") == {"copy": 1, "g": -1}
    assert units.exponents(units.times("copies/µg", "day")) == {"copy": 1, "day": 1, "g": -1}
    assert units.times("1", "day") == "day"
    assert units.exponents("nM") == {"L": -1, "mol": 1}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("IFN-gamma", "ifng"), ("IFN-γ", "ifng"), ("TNF-alpha", "tnfa"), ("IL 6", "il6"),
        ("il_6", "il6"), ("CXCL8", "il8"), ("MCP-1", "mcp1"), ("CCL2", "mcp1"),
        ("CAR transgene", "transgene"), ("CAR+ T cells", "car_cells"), ("CRP", "crp"),
        ("pasta", None), ("IL-66", None), ("", None),
    ],
)  # fmt: skip
def test_recognised_endpoints(text, name):
    assert names.recognise(text) == name


def test_glossary_is_consistent():
    """Every name and label is recognised as itself, and no alias belongs to two endpoints."""
    aliases = [a for e in names.ENDPOINTS.values() for a in e.aliases]
    assert len(set(aliases)) == len(aliases)
    for name, endpoint in names.ENDPOINTS.items():
        assert names.recognise(name) == name
        assert names.recognise(endpoint.label) == name
        assert units.canonical(endpoint.unit) == endpoint.unit
    assert set(names.CYTOKINES) <= set(names.ENDPOINTS)
    assert names.label("il6") == "IL-6"
    assert names.label("car_abs") == "car_abs"


@pytest.mark.parametrize("text", ["copies/µg*day", "day*copies/ug", "copies·day/µg"])
def test_an_area_has_one_spelling(text: str) -> None:
    """A level times a time, as ``units.times`` writes it; factors commute, so all are the same."""
    assert units.canonical(text) == units.times("copies/µg", "day") == "copies/µg*day"
    assert units.canonical("day^2*copies/µg") == "copies/µg*day^2"
    assert units.canonical("day*week/L") == "day*week/L"
