"""A model's equations as its author would write them on paper."""

from __future__ import annotations

import dis
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType
from typing import TYPE_CHECKING, Any

from cart_pkpd._engine.expression import LOGICAL, Expression, is_constant, topological
from cart_pkpd._engine.latex import Latex, Plain, latex_name, plain_name, symbols
from cart_pkpd._engine.program import TIME, Program, state_symbol, value_symbol
from cart_pkpd._engine.readable import by_case, exponential, pieces, shared_choices, simplified
from cart_pkpd._engine.terms import Symbol, Term, arrange, product
from cart_pkpd.models._trace import Symbols

if TYPE_CHECKING:
    from cart_pkpd.models._declare import Model

_DOSE = "AMT"
_NOT_EQUATIONS = ("cart_pkpd._engine", "cart_pkpd.models.math", "cart_pkpd.models._trace")


@dataclass(frozen=True)
class Equation:
    """One equation of a model.

    Attributes
    ----------
    kind : str
        ``"start"``, ``"rate"``, ``"level"`` (of a closed form), ``"piece"`` (a part of other
        equations), ``"dose"``, ``"observed"`` or ``"switch"``.
    about : str
        The state, endpoint or piece that it is about.
    left : str
        What is given, as LaTeX.
    right : tuple of str
        What it is, as LaTeX, a long sum in several lines.
    text : str
        The equation as plain text.
    """

    kind: str
    about: str
    left: str
    right: tuple[str, ...]
    text: str

    @property
    def latex(self) -> str:
        """The equation as LaTeX."""
        if len(self.right) == 1:
            return f"{self.left} = {self.right[0]}"
        return f"\\begin{{aligned}}\n{self.row}\n\\end{{aligned}}"

    @property
    def is_zero(self) -> bool:
        """True if the right-hand side is 0."""
        return self.right == ("0",)

    @property
    def is_itself(self) -> bool:
        """True if what is observed is a state of that name."""
        return self.kind == "observed" and self.text == f"observed {self.about} = {self.about}"

    @property
    def row(self) -> str:
        """The equation as LaTeX, with marks for alignment at the equals sign."""
        return f"{self.left} &= " + " \\\\\n&\\quad ".join(self.right)


def equations(model: Model) -> tuple[Equation, ...]:
    """Return the equations of a model, pieces after the equations that use them."""
    program = model.program
    kinds, roots = _formulas(program, getattr(model, "dosed", None))
    given = _names_given(model)
    rewritten = simplified([*roots, *given.values()], _positive(model))
    named = {id(n): k for k, n in zip(given, rewritten[len(roots) :], strict=True)}
    shown = rewritten[: len(roots)]
    kept = shared_choices(shown, named)
    shown = [exponential(r) if program.observe_log else by_case(r, kept) for r in shown]
    levels = _levels(kinds, shown, program)
    cut = pieces(shown, {**named, **levels})
    levels = {i: w for i, w in levels.items() if i in cut}
    names = levels | _piece_names({i: n for i, n in cut.items() if i not in levels}, named, program)
    both = Latex(symbols(_symbol_order(program, names))), Plain()
    out = []
    for (kind, about), root in zip(kinds, shown, strict=True):
        whole = id(root) in names and not (kind == "observed" and id(root) in levels)
        term = arrange(root, names, inside=whole)
        out.append(_equation(kind, about, program, term, *both))
    parts = [
        _equation("piece", w, program, arrange(cut[i], names), *both)
        for i, w in names.items()
        if i not in levels
    ]
    order = ("start", "rate", "level", "piece", "dose", "observed", "switch")
    return tuple(e for kind in order for e in [*out, *parts] if e.kind == kind)


def model_symbols(model: Model) -> dict[str, str]:
    """Return LaTeX by name of every state, parameter, covariate and input."""
    program = model.program
    written = symbols(_symbol_order(program, {}))
    return {plain_name(k): v for k, v in written.items() if k != _DOSE}


def _formulas(
    program: Program, dosed: str | None = None
) -> tuple[list[tuple[str, str]], list[Expression]]:
    """Return kind and subject of every formula that says something, and the formulas."""
    rows: list[tuple[str, str, Expression]] = []
    rows += [("start", s, e) for s, e in zip(program.states, program.initial, strict=True)]
    rows += [("rate", s, e) for s, e in zip(program.states, program.rhs, strict=True)]
    rows += [
        ("dose", s, e)
        for s, e in zip(program.states, program.dose_factor, strict=True)
        if s == dosed or not is_constant(e, 1.0)
    ]
    level = "level" if program.observe_log else "observed"
    rows += [(level, n, e) for n, e in zip(program.endpoints, program.observe, strict=True)]
    rows += [("switch", "", e) for e in program.switches]
    return [(kind, about) for kind, about, _ in rows], [e for _, _, e in rows]


def _equation(
    kind: str, about: str, program: Program, term: Term, latex: Latex, plain: Plain
) -> Equation:
    state = str(state_symbol(about).value)
    if kind == "start":
        at = f"{program.start:g}"
        left = f"{latex.name(state)}({at})", f"{plain.name(state)}({at})"
    elif kind == "rate":
        left = latex.rate(state), plain.rate(state)
    elif kind == "dose":
        left = f"\\Delta {latex.name(state)}", f"change of {plain.name(state)}"
        term = product([term, Symbol(_DOSE)])
    elif kind in ("observed", "level"):
        observed = "^{\\mathrm{obs}}" if about in program.states else "(t)"
        left = f"{latex_name(about)}{observed}", f"{kind} {about}".removeprefix("level ")
    elif kind == "piece":
        left = latex.name(about), plain.name(about)
    else:
        left = "t", "t"
    return Equation(
        kind, plain.name(about), left[0], latex.lines(term), f"{left[1]} = {plain(term)}"
    )


def _symbol_order(program: Program, names: Mapping[int, str]) -> list[str]:
    own = [str(state_symbol(s).value) for s in program.states]
    return [str(TIME.value), *own, *(str(value_symbol(v).value) for v in program.values),
            *names.values(), _DOSE]  # fmt: skip


def _piece_names(
    cut: Mapping[int, Expression], named: Mapping[int, str], program: Program
) -> dict[int, str]:
    """Return the symbol of each piece: the author's name for it, or a_1, a_2, …."""
    taken = {*program.states, *program.values, *program.endpoints, "t", _DOSE}
    names: dict[int, str] = {}
    letter = next(c for c in "awqz" if not any(re.match(f"^{c}_?[0-9]", n) for n in taken))
    count = 0
    for i in cut:
        name = named.get(i, "_")
        if name.startswith("_") or name in taken:
            count += 1
            name = f"{letter}_{count}"
        taken.add(name)
        names[i] = f"w_{name}"
    return names


def _levels(
    kinds: list[tuple[str, str]], roots: list[Expression], program: Program
) -> dict[int, str]:
    """Return symbols for what is observed, so that other equations can refer to it."""
    return {
        id(root): f"w_{about}"
        for (kind, about), root in zip(kinds, roots, strict=True)
        if kind == "observed" and about not in (*program.states, *program.values)
    }


def _positive(model: Model) -> frozenset[str]:
    """Return the symbols that are never negative; so is time, from a start at day 0 on."""
    found = {str(value_symbol(k).value) for k, v in model.parameters.items() if v.contains(1e-300)
             and not v.contains(-1e-300)}  # fmt: skip
    return frozenset(found | ({str(TIME.value)} if model.program.start >= 0 else set()))


# --- names of local variables -------------------------------------------------------------------


def _names_given(model: Model) -> dict[str, Expression]:
    """Return the parts of the formulas that the equations' code gives a name to.

    The equations are called with symbols, as when they are read for the engine, while local
    variables of the functions that run are noted; equal formulas are one object, so these are the
    very nodes of the program. A name with two meanings is left out.
    """
    present = {id(n) for n in topological(_formulas(model.program)[1])}
    found: dict[str, Expression] = {}
    unclear: set[str] = set()
    for variables in _locals_of(lambda: _call_equations(model)):
        for name, value in variables.items():
            if not (isinstance(value, Expression) and id(value) in present):
                continue
            if value.args and found.setdefault(name, value) is not value:
                unclear.add(name)
    kept: dict[int, str] = {}
    for name, value in found.items():
        if name not in unclear and value.op not in LOGICAL:
            kept.setdefault(id(value), name)
    return {name: found[name] for name in kept.values()}


def _call_equations(model: Any) -> None:
    program = model.program
    p = Symbols("values", "equations", {k: value_symbol(k) for k in program.values})
    if program.observe_log:
        model.log_level(TIME, p)
        return
    y = Symbols("states", "equations", {k: state_symbol(k) for k in program.states})
    model.rhs(TIME, y, p)
    model.observe(TIME, y, p)
    model.initial(p)


def _locals_of(function: Callable[[], None]) -> list[dict[str, Any]]:
    noted: list[dict[str, Any]] = []

    def note(frame: Any, event: str, _: Any) -> None:
        module = str(frame.f_globals.get("__name__", ""))
        if event == "return" and not module.startswith(_NOT_EQUATIONS):
            once = _assigned_once(frame.f_code)
            noted.append({k: v for k, v in frame.f_locals.items() if k in once})

    with _profiled(note):
        function()
    return noted[::-1]  # the outermost function, called last to return, names things first


@lru_cache(maxsize=1024)
def _assigned_once(code: CodeType) -> frozenset[str]:
    """Return the arguments and the variables that are set once, outside loops."""
    steps = list(dis.get_instructions(code))
    loops = [(int(s.argval), s.offset) for s in steps if s.opname.startswith("JUMP_BACKWARD")]
    counts = Counter(code.co_varnames[: code.co_argcount])
    for s in steps:
        for name in _stored(s):
            inside = any(start <= s.offset <= end for start, end in loops)
            counts[name] += 2 if inside else 1
    return frozenset(name for name, n in counts.items() if n == 1)


def _stored(step: dis.Instruction) -> tuple[str, ...]:
    """Return the local variables that an instruction sets."""
    if not step.opname.startswith("STORE_") or step.opname in ("STORE_ATTR", "STORE_SUBSCR"):
        return ()
    value = step.argval
    if step.opname == "STORE_FAST_LOAD_FAST":
        return (str(value[0]),)
    return tuple(str(v) for v in value) if isinstance(value, tuple) else (str(value),)


@contextmanager
def _profiled(note: Callable[[Any, str, Any], None]) -> Iterator[None]:
    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(before)
