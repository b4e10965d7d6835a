"""The solver as PyTensor operations with gradients, for PyMC models of any kind.

Both are registered with PyTensor's Numba linker, so that they run inside compiled graphs
without Python; data are inputs, so that the same compiled graph serves other data. The name
of the kernel identifies the code in PyTensor's cache on disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from numba import njit
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import register_funcify_default_op_cache_key

from cart_pkpd._engine.compiling import addresses
from cart_pkpd._engine.kernel import LOGLIK, PREDICT, kernel
from cart_pkpd._engine.program import Program
from cart_pkpd._engine.schedule import NAMES
from cart_pkpd._engine.source import Likelihood
from cart_pkpd._engine.symbols import entry

_INT = frozenset(("ev_kind", "ev_index", "ev_start", "ob_endpoint", "ob_start", "code"))
RECORDS = ("code", "dv", "low")
SETTINGS = ("floors", "options")


def _dtype(name: str) -> str:
    if name == "ob_before":
        return "bool"
    return "int64" if name in _INT else "float64"


class _KernelOp(Op):
    """An operation whose first inputs are differentiable and the rest are data."""

    __props__ = ("kernel", "n_parameters", "n_sigmas")
    differentiable: int
    names: tuple[str, ...]

    def __init__(self, kernel: str, n_parameters: int, n_sigmas: int) -> None:
        self.kernel = kernel
        self.n_parameters = n_parameters
        self.n_sigmas = n_sigmas

    def _data(self, data: Sequence[Any]) -> list[Any]:
        return [
            pt.as_tensor_variable(d if hasattr(d, "type") else np.asarray(d, dtype=_dtype(n)))
            for n, d in zip(self.names, data, strict=True)
        ]

    def connection_pattern(self, node: Any) -> list[list[bool]]:
        return [[i < self.differentiable] * len(node.outputs) for i in range(len(node.inputs))]

    def _disconnected(self, inputs: Sequence[Any]) -> list[Any]:
        return [DisconnectedType()() for _ in inputs[self.differentiable :]]


class LevelsOp(_KernelOp):
    """Levels of every observation from the parameters of every patient.

    Inputs: parameters (k, m) on the natural scale, all values (k, v), then the schedule and
    settings. Outputs: levels (n,) in the schedule's order, NaN where there is no solution, and
    their derivatives (n, m).
    """

    differentiable = 1
    names = ("base", *NAMES, *SETTINGS)

    def make_node(self, given: Any, *data: Any) -> Apply:
        inputs = [pt.as_tensor_variable(given, dtype="float64"), *self._data(data)]
        return Apply(self, inputs, [pt.dvector(), pt.dmatrix()])

    def perform(self, node: Apply, inputs: Sequence[Any], outputs: Any) -> None:
        outputs[0][0], outputs[1][0] = _levels(self.kernel, self.n_parameters)(*inputs)

    def infer_shape(self, node: Any, shapes: Any) -> list[tuple[Any, ...]]:
        n = shapes[1 + self.names.index("ob_time")][0]
        return [(n,), (n, shapes[0][1])]

    def pullback(self, inputs: Sequence[Any], outputs: Any, cotangents: Any) -> list[Any]:
        if not isinstance(cotangents[1].type, DisconnectedType):
            raise NotImplementedError("second derivatives of a solution are not available")
        starts = inputs[1 + self.names.index("ob_start")]
        who = pt.repeat(pt.arange(starts.shape[0] - 1), starts[1:] - starts[:-1])
        share = cotangents[0][:, None] * outputs[1]
        slope = pt.inc_subtensor(pt.zeros_like(inputs[0])[who], share)
        return [slope, *self._disconnected(inputs)]


class LoglikOp(_KernelOp):
    """Log-likelihood of every patient from free parameters and residual parameters.

    Inputs: parameters (k, m) on the free scale, residual parameters (s,), all values (k, v),
    then schedule, records and settings. Outputs: log-likelihoods (k,), NaN where there is no
    solution, and their derivatives (k, m) and (k, s).
    """

    differentiable = 2
    names = ("base", *NAMES, *RECORDS, *SETTINGS)

    def make_node(self, free: Any, sigmas: Any, *data: Any) -> Apply:
        first = [pt.as_tensor_variable(x, dtype="float64") for x in (free, sigmas)]
        return Apply(self, [*first, *self._data(data)], [pt.dvector(), pt.dmatrix(), pt.dmatrix()])

    def compiled(self) -> Any:
        """Return the compiled function from the inputs to the outputs."""
        return _loglik(self.kernel, self.n_parameters, self.n_sigmas)

    def perform(self, node: Apply, inputs: Sequence[Any], outputs: Any) -> None:
        for storage, value in zip(outputs, self.compiled()(*inputs), strict=True):
            storage[0] = value

    def infer_shape(self, node: Any, shapes: Any) -> list[tuple[Any, ...]]:
        k = shapes[0][0]
        return [(k,), (k, shapes[0][1]), (k, shapes[1][0])]

    def pullback(self, inputs: Sequence[Any], outputs: Any, cotangents: Any) -> list[Any]:
        if any(not isinstance(c.type, DisconnectedType) for c in cotangents[1:]):
            raise NotImplementedError("second derivatives of a likelihood are not available")
        weight = cotangents[0][:, None]
        slopes = [weight * outputs[1], (weight * outputs[2]).sum(axis=0)]
        return [*slopes, *self._disconnected(inputs)]


@lru_cache(maxsize=128)
def _levels(kernel: str, m: int) -> Any:
    addresses(kernel, (PREDICT,))  # from now on, the name is known to compiled code
    predict, width = entry(f"{kernel}_{PREDICT}"), max(m, 1)

    @njit
    def levels(
        given, base, ev_time, ev_kind, ev_index, ev_value, ev_start, ob_time, ob_endpoint,
        ob_before, ob_start, floors, options,
    ):  # fmt: skip
        k, n = base.shape[0], ob_time.shape[0]
        values, sens = np.empty(n), np.empty((n, width))
        arrays = (
            np.ascontiguousarray(given), np.ascontiguousarray(base),
            np.ascontiguousarray(ev_time), np.ascontiguousarray(ev_kind),
            np.ascontiguousarray(ev_index), np.ascontiguousarray(ev_value),
            np.ascontiguousarray(ev_start), np.ascontiguousarray(ob_time),
            np.ascontiguousarray(ob_endpoint), np.ascontiguousarray(ob_before),
            np.ascontiguousarray(ob_start), np.ascontiguousarray(floors),
            np.ascontiguousarray(options), values, sens, np.empty(k, dtype=np.int64),
        )  # fmt: skip
        predict(0, k, arrays)
        return values, sens

    return levels


@lru_cache(maxsize=128)
def _loglik(kernel: str, m: int, s: int) -> Any:
    addresses(kernel, (LOGLIK,))
    loglik, width, residual = entry(f"{kernel}_{LOGLIK}"), max(m, 1), max(s, 1)

    @njit
    def total(
        free, sigmas, base, ev_time, ev_kind, ev_index, ev_value, ev_start, ob_time, ob_endpoint,
        ob_before, ob_start, code, dv, low, floors, options,
    ):  # fmt: skip
        k, n = base.shape[0], dv.shape[0]
        value, slope, by_sigma = np.empty(k), np.empty((k, width)), np.empty((k, residual))
        arrays = (
            np.ascontiguousarray(free), np.ascontiguousarray(sigmas),
            np.ascontiguousarray(base), np.ascontiguousarray(ev_time),
            np.ascontiguousarray(ev_kind), np.ascontiguousarray(ev_index),
            np.ascontiguousarray(ev_value), np.ascontiguousarray(ev_start),
            np.ascontiguousarray(ob_time), np.ascontiguousarray(ob_endpoint),
            np.ascontiguousarray(ob_before), np.ascontiguousarray(ob_start),
            np.ascontiguousarray(code), np.ascontiguousarray(dv), np.ascontiguousarray(low),
            np.ascontiguousarray(floors), np.ascontiguousarray(options), value, slope, by_sigma,
            np.empty(k, dtype=np.int64), np.empty(n), np.empty((n, width)),
        )  # fmt: skip
        loglik(0, k, arrays)
        return value, slope, by_sigma

    return total


@register_funcify_default_op_cache_key(LevelsOp)
def _funcify_levels(op: LevelsOp, node: Any = None, **kwargs: Any) -> Any:
    return _levels(op.kernel, op.n_parameters)


@register_funcify_default_op_cache_key(LoglikOp)
def _funcify_loglik(op: LoglikOp, node: Any = None, **kwargs: Any) -> Any:
    return op.compiled()


def levels_op(program: Program, wrt: tuple[str, ...]) -> LevelsOp:
    """Return the operation that predicts levels, differentiable by the parameters `wrt`."""
    return LevelsOp(kernel(program, wrt, None).name, len(wrt), 0)


def loglik_op(program: Program, wrt: tuple[str, ...], likelihood: Likelihood) -> LoglikOp:
    """Return the operation that gives log-likelihoods, differentiable by `wrt`."""
    name = kernel(program, wrt, likelihood).name
    return LoglikOp(name, len(wrt), len(likelihood.sigmas))


def shared(name: str, value: Any) -> Any:
    """Return data as a shared variable that a compiled graph reads anew at each call."""
    return pytensor.shared(np.asarray(value, dtype=_dtype(name)), name=name, shape=None)
