"""What must never be stale or slip through: compiled code on disk, and NaN within a step."""

import ast
import subprocess
import sys

import numpy as np
import pytest
from numba import njit

from cart_pkpd._engine import compiling, equations, kernel, patient, store, units
from cart_pkpd._engine.program import Program, value_symbol
from cart_pkpd._engine.source import generate

DOUBLE = Program(
    "double", (), ("a",), 1, 0, ("twice",),
    observe=(value_symbol("a") + value_symbol("a"),), scales={"a": ("identity", 1.0)},
)  # fmt: skip


@pytest.mark.parametrize(
    "changed",
    ["linear", "rosenbrock", "patient", "equations", "symbols", "lowering", "units", "linking"],
)
def test_every_file_that_goes_into_a_unit_decides_its_name(changed, monkeypatch):
    """Those of the unit, what they import, and what compiles them."""
    read, before = units._text, units.key("ode")
    monkeypatch.setattr(units, "_text", lambda file: read(file) + "#" * (file == changed))
    assert units.key("ode") != before


def test_every_file_that_goes_into_a_kernel_decides_its_name(monkeypatch):
    """With the files of its units, what translates equations and what links."""
    read = units._text
    make = kernel.kernel.__wrapped__
    names = {make(DOUBLE, (), None).name}
    for changed in ("closed", "batch", "translation", "linking"):
        monkeypatch.setattr(units, "_text", lambda f, c=changed: read(f) + "#" * (f == c))
        names.add(make(DOUBLE, (), None).name)
    assert len(names) == 5


def test_models_define_every_constant_that_units_leave_open():
    source = generate(DOUBLE, (), None)
    defined = {n.targets[0].id for n in ast.parse(source).body if isinstance(n, ast.Assign)}
    assert set(units._constants()) == defined


def test_code_on_disk_is_whole_or_compiled_anew(tmp_path, caplog):
    path = tmp_path / "code.o"
    assert store.kept(path) is None
    store.keep(path, b"machine code")
    assert store.kept(path) == b"machine code"
    path.write_bytes(path.read_bytes()[:-1])
    assert store.kept(path) is None
    assert "damaged" in caplog.text
    assert not path.exists()


def test_every_process_compiles_the_same_code():
    """To the byte: this one, and one of its own."""
    chosen = kernel.kernel(DOUBLE, ("a",), None)
    here = compiling.compile_here(chosen.name)
    path = kernel.source_path(chosen.name).with_suffix(".o")
    assert store.kept(path) == here
    path.unlink()
    call = f"from cart_pkpd._engine.compiling import compile_here as c; c({chosen.name!r})"
    subprocess.run([sys.executable, "-c", call], check=True)
    assert store.kept(path) == here


def test_a_model_is_compiled_by_a_process_of_its_own(monkeypatch):
    """Without what conftest puts in its way; begun early, it is waited for and not begun again."""
    chosen = kernel.kernel(DOUBLE, ("a",), None)
    expected = compiling.compile_here(chosen.name)
    path = kernel.source_path(chosen.name).with_suffix(".o")
    launch, names = compiling._launch.__wrapped__, []
    monkeypatch.setattr(compiling, "_launch", lambda name: names.append(name) or launch(name))
    monkeypatch.setattr(compiling, "compile_here", lambda name: pytest.fail("compiled here"))
    path.unlink()
    compiling.start(chosen)
    assert chosen.name in compiling._RUNNING
    assert compiling._code(chosen.name) == expected
    path.unlink()
    assert compiling._code(chosen.name) == expected
    assert names == [chosen.name] * 2


def test_loading_needs_no_numba():
    """It takes half a second to import; who only runs what is compiled does not wait for it."""
    name = kernel.kernel(DOUBLE, ("a",), None).name
    compiling.compile_here(name)
    call = (
        "import sys; from cart_pkpd._engine.compiling import addresses\n"
        f"addresses({name!r}, ('predict',)); assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", call], check=True)


def test_a_folder_that_cannot_be_written_is_replaced(tmp_path, monkeypatch):
    """By a temporary one, which processes that compile can be told of."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("CART_PKPD_CACHE", str(blocked))
    folder = store.cache_folder()
    assert folder == store.cache_folder()
    monkeypatch.setenv("CART_PKPD_CACHE", str(folder.parent))
    assert folder == store.cache_folder()


@pytest.mark.parametrize("place", [equations.ERR, equations.ERR + 1])
def test_a_step_with_a_nan_is_never_accepted(place):
    """In the state alone, or in the sensitivity alone: the error of the step is NaN."""
    x = np.ones(equations.TOTAL)
    x[equations.ERR : equations.ERR + 2] = 1e-9
    step_error = patient.step_error
    error = njit(lambda x: step_error(x, 1e-6))
    assert np.isfinite(error(x))
    x[place] = np.nan
    assert np.isnan(error(x))
