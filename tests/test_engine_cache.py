"""What must never be stale or slip through: compiled code on disk, and NaN within a step."""

from pathlib import Path

import numpy as np
import pytest
from numba import njit

from cart_pkpd._engine import equations, kernel, patient


def test_code_that_kernels_import_decides_their_names():
    """Numba links imported functions into a kernel: a change of theirs must give another one."""
    folder = Path(kernel.__file__).parent
    header = [line for line in kernel._HEADER.splitlines() if "import" in line]
    imported = {line.split("._engine.")[1].split()[0] for line in header if "._engine." in line}
    assert {"special", "population"} <= imported
    for name in (*imported, "forms"):
        assert (folder / f"{name}.py").read_text(encoding="utf-8") in kernel._surroundings()


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
