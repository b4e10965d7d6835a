"""What compiled code knows only by name until it is linked, and memory that it reads and writes.

A model's counts and places are external constants, its equations external functions. Once
linked, the constants are numbers and the functions are inlined, as if all had been compiled
together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from cart_pkpd._engine.linking import PREFIX

_INT, _POINTER = ir.IntType(64), cgutils.voidptr_t


def constant(name: str) -> Any:
    """Return a function of compiled code without arguments: the model's count or place."""

    @intrinsic
    def read(typing_context: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            place = builder.module.globals.get(PREFIX + name)
            if place is None:
                place = ir.GlobalVariable(builder.module, _INT, PREFIX + name)
                place.global_constant = True
            return builder.load(place)

        return types.int64(), generate

    return read


def function(name: str, signature: Any) -> Any:
    """Return a function of compiled code that is called by name."""

    def generate(context: Any, builder: Any, called: Any, arguments: Any) -> Any:
        kind = context.call_conv.get_function_type(called.return_type, called.args)
        callee = cgutils.get_or_insert_function(builder.module, kind, PREFIX + name)
        _, result = context.call_conv.call_function(
            builder, callee, called.return_type, called.args, arguments
        )
        return context.get_dummy_value() if called.return_type is types.none else result

    return _of_arity(len(signature.args), lambda *given: (signature, generate))


def entry(name: str) -> Any:
    """Return a function of compiled code, ``(first, last, arrays)``, that calls a loaded kernel.

    The kernel gets the addresses of the arrays in a tuple. It is found by name when the caller
    is compiled or loaded: it must have been loaded before.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first, last, arrays = arguments
        kinds = signature.args[2].types
        table = cgutils.alloca_once(builder, _INT, size=len(kinds))
        for at, kind in enumerate(kinds):
            value = builder.extract_value(arrays, at)
            data = context.make_array(kind)(context, builder, value).data
            builder.store(builder.ptrtoint(data, _INT), builder.gep(table, [_INT(at)]))
        kind = ir.FunctionType(_INT, [_INT, _INT, _POINTER])
        callee = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.call(callee, [first, last, builder.bitcast(table, _POINTER)])

    return _of_arity(
        3, lambda first, last, arrays: (types.int64(types.int64, types.int64, arrays), generate)
    )


def _of_arity(count: int, typing: Callable[..., Any]) -> Any:
    """Return an intrinsic with so many arguments; Numba reads their names from the function."""
    names = ", ".join(f"a{i}" for i in range(count))
    scope = {"typing": typing}
    exec(f"def call(typing_context, {names}): return typing({names})", scope)
    return intrinsic(scope["call"])


def _at_address(kind: Any) -> Any:
    @intrinsic
    def pointer(typing_context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            target = context.get_value_type(signature.return_type)
            return builder.inttoptr(arguments[0], target)

        return kind(types.int64), generate

    return pointer


pointer_at = _at_address(types.voidptr)
"""A whole number as the pointer that it is."""
floats = _at_address(types.CPointer(types.float64))
integers = _at_address(types.CPointer(types.int64))
truths = _at_address(types.CPointer(types.uint8))


@intrinsic
def room(typing_context: Any, count: Any) -> Any:
    """Return memory for so many numbers, all 0; :func:`release` gives it back."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(_POINTER, [_INT, _INT])
        callee = cgutils.get_or_insert_function(builder.module, kind, "calloc")
        target = context.get_value_type(signature.return_type)
        return builder.bitcast(builder.call(callee, [arguments[0], _INT(8)]), target)

    return types.CPointer(types.float64)(types.int64), generate


@intrinsic
def release(typing_context: Any, memory: Any) -> Any:
    """Give back what :func:`room` returned."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [_POINTER])
        callee = cgutils.get_or_insert_function(builder.module, kind, "free")
        builder.call(callee, [builder.bitcast(arguments[0], _POINTER)])
        return context.get_dummy_value()

    return types.none(memory), generate


@intrinsic
def address_of(typing_context: Any, pointer: Any) -> Any:
    """Return where a pointer points, as a whole number."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ptrtoint(arguments[0], _INT)

    return types.int64(pointer), generate


@intrinsic
def density_at(
    typing_context: Any, address: Any, size: Any, x: Any, gradient: Any, value: Any, table: Any
) -> Any:
    """Call the posterior at an address; pointers are whole numbers."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(_INT, [_INT, *[_POINTER] * 4]).as_pointer()
        callee = builder.inttoptr(arguments[0], kind)
        pointers = [builder.inttoptr(a, _POINTER) for a in arguments[2:]]
        return builder.call(callee, [arguments[1], *pointers])

    whole = types.int64
    return whole(*[whole] * 6), generate


@intrinsic
def call_at(typing_context: Any, address: Any, first: Any, last: Any, table: Any) -> Any:
    """Call the kernel at an address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(_INT, [_INT, _INT, _POINTER]).as_pointer()
        callee = builder.inttoptr(arguments[0], kind)
        table = builder.bitcast(arguments[3], _POINTER)
        return builder.call(callee, [arguments[1], arguments[2], table])

    whole = types.int64
    return whole(whole, whole, whole, table), generate
