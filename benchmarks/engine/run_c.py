"""A kernel written by hand in C for this one model (``kernel.c``), compiled by gcc.

``auto`` changes between Tsit5 and Rodas5P as the package's engine does, ``tsit5`` and ``rodas5p``
keep to one method::

    python benchmarks/engine/run_c.py --method auto
"""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
import time
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import problem

SOURCE = Path(__file__).with_name("kernel.c")
FLAGS = ["-O3", "-march=native", "-ffp-contract=fast", "-fno-math-errno", "-shared", "-fPIC"]
METHODS = {"auto": 0, "tsit5": 1, "rodas5p": 2}
MAX_STEPS = 1_000_000
FLOORS = problem.ATOL / problem.RTOL
STATUS = ("solved", "too many steps", "step too small", "not finite")

Array = np.ctypeslib.ndpointer(np.float64, flags="C_CONTIGUOUS")
Counts = ctypes.c_long * 3


def compiled() -> tuple[ctypes.CDLL, float]:
    """The library, and the seconds that gcc took."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "kernel.so")
        subprocess.run(["gcc", *FLAGS, str(SOURCE), "-o", path, "-lm"], check=True)
        library = ctypes.CDLL(path)
    library.population.argtypes = [
        ctypes.c_int, ctypes.c_int, Array, Array, Array, ctypes.c_double, ctypes.c_double, Array,
        ctypes.c_int, ctypes.c_long, ctypes.POINTER(ctypes.c_double), Array, Counts,
    ]  # fmt: skip
    return library, time.perf_counter() - began


def evaluate(
    library: ctypes.CDLL,
    at: problem.Problem,
    method: int,
    counts: Counts,
    rtol: float,
    log_params: np.ndarray,
) -> tuple[float, np.ndarray]:
    loglik, gradient = ctypes.c_double(), np.empty_like(log_params)
    status = library.population(
        *at.times.shape, log_params, at.times, at.obs, problem.SIGMA, rtol, FLOORS,
        method, MAX_STEPS, ctypes.byref(loglik), gradient, counts,
    )  # fmt: skip
    if status:
        raise RuntimeError(STATUS[status])
    return loglik.value, gradient


def main() -> None:
    args = problem.arguments(__doc__, tuple(METHODS))
    at = problem.load(args.variant)
    gcc = subprocess.run(["gcc", "-dumpfullversion"], capture_output=True, text=True, check=True)
    library, seconds = compiled()
    for name, rtol in product(args.method, args.rtol):
        counts = Counts()
        run = partial(evaluate, library, at, METHODS[name], counts, rtol)
        run(at.log_params)
        explicit, implicit, refused = counts
        problem.measure(
            f"C {name}", f"gcc {gcc.stdout.strip()}", at, run, args.repeats,
            f"{explicit} steps of Tsit5, {implicit} of Rodas5P, {refused} of them refused; "
            "floor under each state = atol vector / rtol", seconds, rtol,
        )  # fmt: skip


if __name__ == "__main__":
    main()
