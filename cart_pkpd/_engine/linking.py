"""Parts of LLVM code linked, optimised as one, and loaded.

What a part leaves open, another defines; a model's constants are plain numbers from here on.
Only the entry points stay visible: everything else is inlined or dropped where that pays.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

import llvmlite.binding as llvm

PREFIX = "cart_"
"""Begins every name that is left open until parts are linked."""

_LOCK = threading.Lock()

ENTRIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "predict": ("i64", "i64", "ptr"),
        "lanes": ("i64", "i64", "ptr"),
        "loglik": ("i64", "i64", "ptr"),
        "records": ("i64", "i64", "ptr"),
        "hazard": ("i64", "i64", "ptr"),
        "exposure": ("i64", "i64", "ptr"),
        "posterior": ("i64", "ptr", "ptr", "ptr", "ptr"),
        "moved": ("i64", "ptr", "ptr", "ptr", "ptr"),
        "copy_point": ("i64", "i64", "ptr", "ptr", "ptr"),
    }
)
"""Functions that others call as C functions, and what they take; all return a whole number."""

_ENTRY = """
define i64 @{outside}({given}) {{
  %result = alloca i64
  %problem = alloca ptr
  store i64 -1, ptr %result
  %status = call i32 @{inside}(ptr %result, ptr %problem, {given})
  %value = load i64, ptr %result
  ret i64 %value
}}
declare i32 @{inside}(ptr, ptr, {kinds})
"""

# Numba counts references to arrays; all memory here belongs to somebody who outlives the call.
_NO_COUNTING = """
define void @NRT_incref(ptr %p) alwaysinline { ret void }
define void @NRT_decref(ptr %p) alwaysinline { ret void }
"""


@cache
def processor() -> str:
    """Return the processor that code is compiled for."""
    return f"{llvm.get_host_cpu_name()} {_features()}"


def _features() -> str:
    try:
        return llvm.get_host_cpu_features().flatten()
    except RuntimeError:
        return ""


def link(
    name: str, parts: Iterable[bytes], constants: Mapping[str, int], entries: Iterable[str]
) -> bytes:
    """Return machine code with the C functions ``<name>_<entry>``.

    Parameters
    ----------
    name : str
        Name of the whole.
    parts : iterable of bytes
        LLVM code with everything that the entries need.
    constants : mapping
        The model's constants.
    entries : iterable of str
        From `ENTRIES`.
    """
    machine = _machine()
    outside = [f"{name}_{entry}" for entry in entries]
    module = llvm.parse_assembly(
        "\n".join(
            [
                _NO_COUNTING,
                *(f"@{PREFIX}{k} = constant i64 {v}" for k, v in constants.items()),
                *(_entry(entry, place) for entry, place in zip(entries, outside, strict=True)),
            ]
        )
    )
    for part in parts:
        module.link_in(llvm.parse_bitcode(part))
    module.triple, module.data_layout = llvm.get_process_triple(), str(machine.target_data)
    _hide(module, outside)
    _optimise(module, machine)
    return machine.emit_object(module)


def _entry(entry: str, outside: str) -> str:
    kinds = ENTRIES[entry]
    return _ENTRY.format(
        outside=outside,
        inside=PREFIX + entry,
        given=", ".join(f"{kind} %a{i}" for i, kind in enumerate(kinds)),
        kinds=", ".join(kinds),
    )


def _hide(module: Any, visible: Iterable[str]) -> None:
    for value in (*module.functions, *module.global_variables):
        if not value.is_declaration and value.name not in visible:
            value.linkage = "internal"


def _optimise(module: Any, machine: Any) -> None:
    options = llvm.create_pipeline_tuning_options(2)
    options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = True
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)


@cache
def _machine() -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=_features(),
        opt=2,
        reloc="static" if target.name.startswith("x86") else "default",
        codemodel="jitdefault",
        jit=True,
    )


@cache
def _engine() -> Any:
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)


def load(name: str, code: bytes, entries: Iterable[str]) -> dict[str, int]:
    """Load machine code into this process; return the addresses of its functions.

    Code that is compiled or loaded later finds them by their names.
    """
    with _LOCK:
        _machine()
        engine = _engine()
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
        found = {entry: engine.get_function_address(f"{name}_{entry}") for entry in entries}
    for entry, address in found.items():
        if not address:
            raise RuntimeError(f"{name} has no function {entry}")
        llvm.add_symbol(f"{name}_{entry}", address)
    return found
