"""The package as a whole: what importing it loads, and that it says what it holds."""

import subprocess
import sys

import pytest

import cart_pkpd

HEAVY = ("pymc", "nutpie", "arviz", "numba", "matplotlib", "xarray", "pandas", "lmfit")


def loaded_after(statement: str, modules: tuple[str, ...]) -> list[str]:
    """Which of `modules` a fresh interpreter has loaded after `statement`."""
    code = f"import sys; {statement}; print([m for m in {modules!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return eval(out.stdout)


def test_importing_the_package_loads_nothing_heavy():
    assert loaded_after("import cart_pkpd", HEAVY) == []


def test_describing_an_analysis_loads_neither_sampler_nor_figures():
    light = ("pymc", "nutpie", "matplotlib")
    modules = "data, nca, models, fit, crs, checks, compare, dose, endpoints, study"
    assert loaded_after(f"from cart_pkpd import {modules}", light) == []


def test_every_submodule_is_reachable_and_listed():
    for name in cart_pkpd._SUBMODULES:
        assert getattr(cart_pkpd, name).__name__ == f"cart_pkpd.{name}"
        assert name in dir(cart_pkpd)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = cart_pkpd.nonsense
