"""Elementary functions that take numbers, NumPy arrays and PyTensor variables alike.

Equations are written once with these and then serve simulation, least squares and sampling.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

# A number, an array or a symbolic variable: whatever the caller computes with.
type Value = Any


def is_symbolic(value: Value) -> bool:
    """Return True for a PyTensor variable, without importing PyTensor."""
    return any(base.__module__.startswith("pytensor") for base in type(value).__mro__[:-1])


def _either(numpy_function: Callable[..., Value], tensor_name: str) -> Callable[..., Value]:
    """Return a function that calls NumPy's or PyTensor's version by the type of its arguments."""

    def function(*args: Value) -> Value:
        if any(is_symbolic(a) for a in args):
            import pytensor.tensor as pt

            return getattr(pt, tensor_name)(*args)
        return numpy_function(*args)

    function.__name__ = tensor_name
    function.__doc__ = f"Return {tensor_name} of numbers, arrays or PyTensor variables."
    return function


exp = _either(np.exp, "exp")
log = _either(np.log, "log")
log1p = _either(np.log1p, "log1p")
expm1 = _either(np.expm1, "expm1")
sqrt = _either(np.sqrt, "sqrt")
absolute = _either(np.abs, "abs")
minimum = _either(np.minimum, "minimum")
maximum = _either(np.maximum, "maximum")
where = _either(np.where, "where")


def logaddexp(a: Value, b: Value) -> Value:
    """Return ``log(exp(a) + exp(b))`` without overflow."""
    larger = maximum(a, b)
    return larger + log1p(exp(-absolute(a - b)))


def log1mexp(a: Value) -> Value:
    """Return ``log(1 - exp(a))`` for a < 0, exact near 0 and far below it.

    Mächler (2012), "Accurately computing log(1 - exp(-|a|))", R package Rmpfr.
    """
    near = a > -np.log(2.0)
    # Each branch sees only arguments for which it is finite, so its gradient is too.
    return where(near, log(-expm1(where(near, a, -1.0))), log1p(-exp(where(near, -1.0, a))))


expit = _either(special.expit, "sigmoid")


def logit(p: Value) -> Value:
    """Return ``log(p / (1 - p))``."""
    return log(p) - log1p(-p)
