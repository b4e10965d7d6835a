"""Doses and numbers as they are printed for people."""

import math

import pytest

from cart_pkpd._core import words
from cart_pkpd.plots import _text


@pytest.mark.parametrize(
    ("amount", "unit", "said"),
    [
        (1e7, "cells", "1×10⁷ cells"),
        (8.84e6, "cells/kg", "8.84×10⁶ cells/kg"),
        (9.996e6, "cells", "1×10⁷ cells"),  # rounded before its power is taken
        (3.0, "mg", "3 mg"),
        (2.0, "", "dose level 2"),
        (math.nan, "cells", "dose not given"),
        (0.0, "cells", "0 cells"),
        (math.inf, "cells", "inf cells"),
    ],
)
def test_a_dose(amount, unit, said):
    assert words.dose(amount, unit) == said


def test_several_doses_have_their_unit_once():
    assert words.doses((1e6, 3e6), "cells") == "1×10⁶, 3×10⁶ cells"
    assert words.doses((1, 2), "") == "dose level 1, dose level 2"
    assert words.doses((), "cells") == ""


@pytest.mark.parametrize(
    ("value", "digits", "said"),
    [(-0.237, 2, "−0.24"), (-0.001, 2, "0.00"), (1234.5, 0, "1,234"), (math.nan, 1, "—")],
)
def test_a_number_to_so_many_decimals(value, digits, said):
    assert words.fixed(value, digits) == said


def test_plots_and_report_print_doses_as_sentences_do():
    assert _text.dose is words.dose


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0, "0.000"), (1.0, "1.000"), (0.0004, "<0.001"), (1e-12, "<0.001"), (0.0006, "0.001"),
        (0.9996, ">0.999"), (0.9994, "0.999"), (0.25, "0.250"), (float("nan"), "—"),
    ],
)  # fmt: skip
def test_a_probability_is_never_0_or_1_where_it_is_not(value, said):
    assert words.chance(value) == said
    assert words.chance(0.004, 2) == "<0.01"
