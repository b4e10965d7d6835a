"""Python functions as LLVM code, by Numba, with what they need from elsewhere left open."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import llvmlite.binding as llvm
import numba
from numba import types

from cart_pkpd._engine.linking import PREFIX
from cart_pkpd._engine.symbols import constant, function

_FLOAT, _INT, _NONE = types.float64, types.int64, types.none
_FLOATS, _INTS = types.CPointer(types.float64), types.CPointer(types.int64)
_TRUTHS = types.CPointer(types.uint8)

SIGNATURES: Mapping[str, Any] = MappingProxyType(
    {
        "initial": _NONE(_FLOATS),
        "rhs": _NONE(_FLOAT, _FLOAT, _FLOATS),
        "linearise": _NONE(_FLOAT, _FLOAT, _FLOATS),
        "curvature": _NONE(_FLOATS),
        "substitute": _NONE(_FLOATS),
        "gain": _NONE(_FLOATS),
        "switch_times": _NONE(_FLOATS),
        "observe": _FLOAT(_INT, _FLOAT, _FLOAT, _FLOATS),
        "weigh": _NONE(_FLOATS),
        "natural": _NONE(_FLOATS),
        "record": types.UniTuple(_FLOAT, 2)(
            _INT, _INT, _FLOAT, _FLOAT, _FLOAT, _FLOATS, _FLOATS
        ),
        "log_ndtr": _FLOAT(_FLOAT),
        "mills": _FLOAT(_FLOAT),
        "solve": _INT(
            _FLOAT, _FLOATS, _FLOAT, _INT, _FLOATS, _FLOATS, _INTS, _INTS, _FLOATS, _INT, _INT,
            _FLOATS, _INTS, _TRUTHS, _INT, _INT, _INT, _FLOATS, _FLOATS,
        ),
        "predict": _INT(_INT, _INT, _INTS),
        "lanes": _INT(_INT, _INT, _INTS),
        "wide_advance": _FLOAT(_FLOATS, _FLOATS),
        "wide_between": _NONE(_FLOATS, _FLOATS),
        "wide_show": _NONE(_INT, _FLOATS, _FLOATS),
        "wide_natural": _NONE(_FLOATS),
        "wide_keep": _NONE(_FLOATS),
        "wide_level": _NONE(_INT, _FLOATS, _FLOATS),
        "wide_weighed": _NONE(_INT, _INT, _FLOATS, _FLOATS, _FLOATS),
        "wide_summed": _NONE(_FLOATS, _FLOATS),
        "wide_towards": _NONE(_INT, _INT, *[_FLOATS] * 11),
        "wide_back": _NONE(_INT, _INT, *[_FLOATS] * 13),
        "loglik": _INT(_INT, _INT, _INTS),
        "records": _INT(_INT, _INT, _INTS),
        "posterior": _INT(_INT, _FLOATS, _FLOATS, _FLOATS, types.voidptr),
        "moved": _INT(_INT, _FLOATS, _FLOATS, _FLOATS, types.voidptr),
        "hazard": _INT(_INT, _INT, _INTS),
        "exposure": _INT(_INT, _INT, _INTS),
        "copy_point": _INT(_INT, _INT, _FLOATS, _FLOATS, types.voidptr),
    }
)  # fmt: skip
"""Functions that are compiled apart and meet when they are linked."""

_OPTIONS = MappingProxyType(
    {
        "error_model": "numpy",
        "fastmath": {"contract", "nsz", "arcp", "reassoc"},
        "no_cpython_wrapper": True,
        "no_cfunc_wrapper": True,
    }
)


def open_names(constants: tuple[str, ...]) -> dict[str, Any]:
    """Return what stands for a model's constants and for the functions of other parts."""
    return {
        **{name: constant(name) for name in constants},
        **{name: function(name, signature) for name, signature in SIGNATURES.items()},
    }


def lowered(name: str, python: Callable[..., Any], constants: tuple[str, ...] = ()) -> bytes:
    """Return the LLVM code of one of the functions in `SIGNATURES`."""
    _pretend((*constants, *SIGNATURES))
    signature = SIGNATURES[name]
    dispatcher = numba.njit(signature, **_OPTIONS)(python)
    result = dispatcher.overloads[signature.args]
    module = llvm.parse_bitcode(result.library._final_module.as_bitcode())
    module.get_function(result.fndesc.llvm_func_name).name = PREFIX + name
    return module.as_bitcode()


def _pretend(names: tuple[str, ...]) -> None:
    """Give open names an address: Numba loads what it compiles, though nobody will call it."""
    for name in names:
        llvm.add_symbol(PREFIX + name, ctypes.addressof(_NOWHERE))


_NOWHERE = ctypes.c_int64(0)
