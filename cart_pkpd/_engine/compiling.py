"""Compiled functions of kernels: compiled once per machine, loaded in a moment.

The first time, a process of its own compiles and leaves the result on disk; everybody,
the first caller too, then runs what was loaded from there, so that the first and every later
process run the same machine code and give the same draws from the same seed. It also leaves
the caller free to do something else meanwhile.
"""

from __future__ import annotations

import atexit
import ctypes
import logging
import os
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._core.errors import ModelError
from cart_pkpd._engine import store
from cart_pkpd._engine.kernel import (
    COPY,
    HAZARD,
    LANES,
    MOVED,
    POSTERIOR,
    PREDICT,
    RECORDS,
    Kernel,
    equations,
    exposure_kernel,
    hazard_kernel,
    posterior_kernel,
)
from cart_pkpd._engine.linking import link, load
from cart_pkpd._engine.side_by_side import effects_code, records_code
from cart_pkpd._engine.translation import constants, translate
from cart_pkpd._engine.units import unit
from cart_pkpd._engine.widening import widened

_LOG = logging.getLogger("cart_pkpd")
_RUNNING: dict[str, subprocess.Popen[bytes]] = {}
_LOADED: dict[str, dict[str, int]] = {}
_LOCK = threading.RLock()

_INT, _ADDRESS = ctypes.c_int64, ctypes.c_void_p
_Posterior = ctypes.CFUNCTYPE(_INT, _INT, _ADDRESS, _ADDRESS, _ADDRESS, _ADDRESS)
_Copy = ctypes.CFUNCTYPE(_INT, _INT, _INT, _ADDRESS, _ADDRESS, _ADDRESS)
_Patients = ctypes.CFUNCTYPE(_INT, _INT, _INT, _ADDRESS)


class CFunction:
    """A compiled C function.

    Attributes
    ----------
    address : int
        Where it is.
    ctypes : Any
        The function for Python; others can work while it does.
    """

    def __init__(self, address: int, kind: Any) -> None:
        self.address = address
        self.ctypes = kind(address)


def predict_of(kernel: Kernel) -> Any:
    """Return the function ``(first, last, *arrays)`` that predicts levels and derivatives.

    The arrays are those of :func:`cart_pkpd._engine.batch.predict`, in one piece each; a kernel of
    LANES takes the same.
    """
    (entry,) = kernel.entries
    function = _Patients(addresses(kernel.name, kernel.entries)[entry])

    def predict(first: int, last: int, *arrays: NDArray[Any]) -> None:
        table = np.array([a.ctypes.data for a in arrays], dtype=np.int64)
        function(first, last, table.ctypes.data)

    return predict


def loglik_of(kernel: Kernel) -> CFunction:
    """Return the C function of a likelihood.

    It is :func:`cart_pkpd._engine.batch.loglik` or :func:`cart_pkpd._engine.records.records`.
    """
    start(posterior_kernel())  # will be needed next
    (entry,) = kernel.entries
    return CFunction(addresses(kernel.name, kernel.entries)[entry], _Patients)


def levels_of(kernel: Kernel) -> CFunction:
    """Return the C function that :func:`cart_pkpd._engine.batch.predict` has become."""
    return CFunction(addresses(kernel.name, kernel.entries)[PREDICT], _Patients)


def exposure_of(*arrays: NDArray[Any]) -> None:
    """Write the exposure of all courses, by :func:`cart_pkpd._engine.exposure.exposure`."""
    _exposure()(0, arrays[0].shape[0], *arrays)


@cache
def _exposure() -> Any:
    return predict_of(exposure_kernel())


@cache
def expect_exposure() -> None:
    """Begin to compile what `exposure_of` needs, while something else is done."""
    start(exposure_kernel())


def hazard() -> CFunction:
    """Return the C function :func:`cart_pkpd._engine.hazard.hazard`, for any kernel."""
    shared = hazard_kernel()
    return CFunction(addresses(shared.name, shared.entries)[HAZARD], _Patients)


def posterior() -> CFunction:
    """Return the C function :func:`cart_pkpd._engine.density.posterior`, for any kernel."""
    shared = posterior_kernel()
    return CFunction(addresses(shared.name, shared.entries)[POSTERIOR], _Posterior)


def moved() -> CFunction:
    """Return the C function :func:`cart_pkpd._engine.moved.moved`, for any posterior."""
    shared = posterior_kernel()
    return CFunction(addresses(shared.name, shared.entries)[MOVED], _Posterior)


def copy_point() -> CFunction:
    """Return the C function that hands a point on unchanged."""
    shared = posterior_kernel()
    return CFunction(addresses(shared.name, shared.entries)[COPY], _Copy)


def start(kernel: Kernel) -> None:
    """Begin to compile a kernel that will be needed soon; do not wait for it."""
    name = kernel.name
    with _LOCK:
        if not _code_path(name).is_file() and name not in _RUNNING:
            process = _launch(name)
            if process is not None:
                _RUNNING[name] = process


@atexit.register
def _stop_waiting() -> None:
    """End what still compiles when nobody is left to use it."""
    for process in _RUNNING.values():
        process.terminate()
        process.communicate()


def threaded() -> CFunction:
    """Return the C function that spreads patients over threads, for any kernel.

    Numba cannot keep code with threads on disk; a few seconds, once per process.
    """
    from cart_pkpd._engine import threads

    return CFunction(threads.all_patients.address, _Patients)


def allow_threads(count: int) -> None:
    """Prepare for posteriors that work on several patients at the same time.

    Raises
    ------
    ModelError
        If the machine has fewer processors, or Numba no layer that several chains can share.
    """
    import numba

    most = numba.config.NUMBA_NUM_THREADS
    if not 1 <= count <= most:
        raise ModelError(f"threads={count} is not possible here; there are {most} processors.")
    numba.config.THREADING_LAYER = "threadsafe"
    try:
        numba.set_num_threads(count)  # starts the layer, or fails
    except ValueError as problem:
        raise ModelError(
            "threads need Numba's omp or tbb threading layer, which is not installed; "
            "leave threads=1, or install the package tbb."
        ) from problem


def addresses(name: str, entries: tuple[str, ...]) -> dict[str, int]:
    """Return where the functions of a kernel are; compile it first where needed."""
    if name in _LOADED:
        return _LOADED[name]
    with _LOCK:
        if name not in _LOADED:
            _LOADED[name] = load(name, _code(name), entries)
        return _LOADED[name]


def _code(name: str) -> bytes:
    """Return a kernel's machine code: from disk, by another process, or compiled here."""
    path = _code_path(name)
    code = store.kept(path)
    if code is None:
        process = _RUNNING.pop(name, None) or _launch(name)
        if process is not None:
            _, said = process.communicate()
            if process.returncode != 0:
                words = said.decode(errors="replace")[-500:]
                _LOG.info("compiling %s apart failed: %s", name, words)
        code = store.kept(path)
    return compile_here(name) if code is None else code


def compile_here(name: str) -> bytes:
    """Compile a kernel in this process, and keep its code."""
    source = equations(name)
    said = constants(source)
    parts = [*map(unit, said["UNITS"]), translate(source)]
    if LANES in said["ENTRIES"]:
        parts.append(widened(source))
    if RECORDS in said["ENTRIES"]:
        parts.append(records_code(source))
    if MOVED in said["ENTRIES"]:
        parts.append(effects_code())
    places = {k: v for k, v in said.items() if isinstance(v, int)}
    code = link(name, parts, places, said["ENTRIES"])
    store.keep(_code_path(name), code)
    return code


def _code_path(name: str) -> Path:
    return store.cache_folder() / f"{name}.o"


def _launch(name: str) -> subprocess.Popen[bytes] | None:
    """Start a process that compiles a kernel; None where no interpreter can be started."""
    if not sys.executable:
        return None
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH")) if p)
    code = f"from cart_pkpd._engine.compiling import compile_here; compile_here({name!r})"
    environment = {
        **os.environ,
        "NUMBA_OPT": "0",  # what is compiled there is optimised when it is linked
        "PYTHONPATH": path,
        "CART_PKPD_CACHE": str(store.cache_folder().parent),
        "PYTHONWARNINGS": "ignore",
    }
    try:
        return subprocess.Popen(
            [sys.executable, "-c", code],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
    except OSError:
        return None
