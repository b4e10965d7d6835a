"""Elementary functions that take numbers, arrays, PyTensor variables and formulas alike.

Equations are written once with these and then serve simulation, least squares and sampling.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from cart_pkpd._engine.expression import Expression, call
from cart_pkpd._engine.expression import where as _where

# A number, an array or a symbolic variable: whatever the caller computes with.
type Value = Any


def is_symbolic(value: Value) -> bool:
    """Return True for a PyTensor variable, without importing PyTensor."""
    return any(base.__module__.startswith("pytensor") for base in type(value).__mro__[:-1])


_NUMBERS = (float, np.ndarray, np.generic, int)


def _either(numpy_function: Callable[..., Value], tensor_name: str) -> Callable[..., Value]:
    """Return a function that computes, or builds a formula, by the type of its arguments."""

    def function(*args: Value) -> Value:
        if all(isinstance(a, _NUMBERS) for a in args):  # most calls, and cheap ones
            return numpy_function(*args)
        if any(isinstance(a, Expression) for a in args):
            return _where(*args) if tensor_name == "where" else call(tensor_name, *args)
        if any(is_symbolic(a) for a in args):
            import pytensor.tensor as pt

            return getattr(pt, tensor_name)(*args)
        return numpy_function(*args)

    function.__name__ = tensor_name
    function.__doc__ = f"Return {tensor_name} of numbers, arrays, PyTensor variables or formulas."
    return function


exp = _either(np.exp, "exp")
log = _either(np.log, "log")
log1p = _either(np.log1p, "log1p")
expm1 = _either(np.expm1, "expm1")
sqrt = _either(np.sqrt, "sqrt")
absolute = _either(np.abs, "abs")
sin = _either(np.sin, "sin")
cos = _either(np.cos, "cos")
tanh = _either(np.tanh, "tanh")
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


def _tensor_log_ndtr(z: Value) -> Value:
    import pytensor.tensor as pt

    # Far below 0 through erfcx, so that neither the value nor its gradient underflows.
    low = z < -1.0
    below = pt.log(pt.erfcx(-where(low, z, -1.0) / np.sqrt(2.0)) / 2.0) - 0.5 * z * z
    above = pt.log1p(-pt.erfc(where(low, -1.0, z) / np.sqrt(2.0)) / 2.0)
    return where(low, below, above)


def log_ndtr(z: Value) -> Value:
    """Return ln of the standard normal probability below `z`."""
    if isinstance(z, Expression):
        return call("log_ndtr", z)
    return _tensor_log_ndtr(z) if is_symbolic(z) else special.log_ndtr(z)


def hill(x: Value, half: Value, steepness: Value = 1.0) -> Value:
    """Return ``x^n / (half^n + x^n)``: 0 at 0, one half at `half`, 1 far above."""
    if isinstance(steepness, (int, float)) and steepness == 1:
        return x / (half + x)
    ratio = (x / half) ** steepness
    return ratio / (1.0 + ratio)


def smooth_step(x: Value, width: Value) -> Value:
    """Return a smooth switch from 0 to 1 at x = 0, nearly done within 3 widths: a gate.

    ``smooth_step(t - p.tmax, 0.5)`` replaces ``where(t < p.tmax, 0, 1)`` where a soft
    transition is wanted; it needs no entry in ``switches``.
    """
    return expit(x / width)
