"""Compiled functions of generated modules: compiled once per machine, loaded in a moment.

The first time, a process of its own compiles and leaves the result on disk; everybody,
the first caller too, then runs what was loaded from there. Compiling in place would give code
that rounds differently from what later processes load, and so other draws from the same seed.
It also leaves the caller free to do something else meanwhile.
"""

from __future__ import annotations

import atexit
import logging
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from cart_pkpd._core.errors import ModelError
from cart_pkpd._engine.kernel import cache_folder, loaded, reload

PREDICT, DENSITY = "predict", "density"

_LOG = logging.getLogger("cart_pkpd")
_POINT_TO_VALUE = "int64(uint64, CPointer(double), CPointer(double), CPointer(double), voidptr)"
_POINT_TO_POINT = "int64(uint64, uint64, CPointer(double), CPointer(double), voidptr)"
_RUNNING: dict[str, subprocess.Popen[bytes]] = {}


def predict_of(kernel: ModuleType) -> Any:
    """Return the compiled function that predicts levels and their derivatives."""
    return _entry(kernel.__name__, PREDICT)


def density_of(kernel: ModuleType) -> Any:
    """Return the compiled C function of a whole posterior."""
    return _entry(kernel.__name__, DENSITY)


def start(kernel: ModuleType) -> None:
    """Begin to compile a module that will be needed soon; do not wait for it."""
    name = kernel.__name__
    if not _marker(name).is_file() and name not in _RUNNING:
        process = _launch(name)
        if process is not None:
            _RUNNING[name] = process


@atexit.register
def _stop_waiting() -> None:
    """End what still compiles when nobody is left to use it."""
    for process in _RUNNING.values():
        process.terminate()
        process.communicate()


@cache
def copy_point() -> Any:
    """Return the C function that hands a point on unchanged."""
    from numba import cfunc

    from cart_pkpd._engine import density

    return cfunc(_POINT_TO_POINT, cache=True, error_model="numpy")(density.copy_point)


@cache
def _entry(name: str, entry: str) -> Any:
    """Return a compiled function of a module, from disk; compile it first where needed."""
    _ensure(name)
    try:
        return _compiled(loaded(name), entry)
    except Exception as problem:
        _LOG.warning("compiled code of %s is damaged (%s); compiling it anew.", name, problem)
        _discard(name)
        _ensure(name)
        return _compiled(reload(name), entry)


def _compiled(kernel: Any, entry: str) -> Any:
    if entry == DENSITY:
        from numba import cfunc

        keep = not _has_threads(kernel)
        return cfunc(_POINT_TO_VALUE, cache=keep, error_model="numpy")(kernel.log_density)
    _call_with_nothing(kernel)
    return kernel.predict


def _call_with_nothing(kernel: Any) -> None:
    """Predict for no patients, so that the function is compiled, or loaded, now."""
    f, i, none = np.zeros(0), np.zeros(0, dtype=np.int64), np.zeros(1, dtype=np.int64)
    floors, options = np.zeros(max(kernel.N, 1)), np.array([1e-6, 1.0, 0.0, 1.0])
    kernel.predict(
        0, 0, np.zeros((0, kernel.M)), np.zeros((0, kernel.VALUES)), f, i, i, f, none, f, i,
        np.zeros(0, dtype=np.bool_), none, floors, options, f, np.zeros((0, max(kernel.M, 1))), i,
    )  # fmt: skip


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


def compile_here(name: str) -> None:
    """Compile what a module is for in this process, and mark it as done."""
    kernel: Any = loaded(name)
    _compiled(kernel, DENSITY if hasattr(kernel, "log_density") else PREDICT)
    _marker(name).touch()


def _marker(name: str) -> Path:
    return cache_folder() / f"{name}.compiled"


def _ensure(name: str) -> None:
    """Return when the compiled code of a module is on disk, if it can be kept there."""
    if _marker(name).is_file() or _has_threads(loaded(name)):
        return
    process = _RUNNING.pop(name, None) or _launch(name)
    if process is not None:
        _, said = process.communicate()
        if process.returncode == 0:
            return
        _LOG.info("compiling %s apart failed: %s", name, said.decode(errors="replace")[-500:])
    compile_here(name)


def _launch(name: str) -> subprocess.Popen[bytes] | None:
    """Start a process that compiles a module; None where no interpreter can be started."""
    if not sys.executable:
        return None
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH")) if p)
    code = f"from cart_pkpd._engine.compiling import compile_here; compile_here({name!r})"
    environment = {
        # One step below the most that LLVM does: a sixth less waiting, and as fast a result.
        "NUMBA_OPT": "2",
        **os.environ,
        "PYTHONPATH": path,
        "CART_PKPD_CACHE": str(cache_folder().parent),
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


def _has_threads(kernel: ModuleType) -> bool:
    """Return True for code with threads, which Numba cannot keep on disk."""
    return hasattr(kernel, "CHUNKS")


def _discard(name: str) -> None:
    _marker(name).unlink(missing_ok=True)
    for stale in (cache_folder() / "__pycache__").glob(f"{name}.*"):
        stale.unlink(missing_ok=True)
