"""A program as Python source that Numba compiles: one module per program and estimated set."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cart_pkpd._engine.expression import (
    FUNCTIONS,
    Expression,
    add,
    constant,
    derivative,
    is_constant,
    mul,
    substitute,
    symbol,
    symbols_of,
    topological,
)
from cart_pkpd._engine.keeping import kept, per_sigma
from cart_pkpd._engine.program import (
    PIECE,
    TIME,
    Program,
    by_piece,
    jacobian,
    state_symbol,
    value_symbol,
)
from cart_pkpd._engine.series import TERMS, series

_PLACE = re.compile(r"x\[([A-Z]\w*)((?: \+ \d+)+)")

_TOGETHER = 4
"""Numbers of double precision in a register of most processors."""

_FEW = 8
"""Most states for which a triangular system is written out: its text grows with their square."""

LEVEL, DV, LOW = symbol("f"), symbol("dv"), symbol("low")


@dataclass(frozen=True, eq=False)
class Likelihood:
    """Log-likelihoods of one record as expressions of LEVEL, DV, LOW and residual parameters.

    Attributes
    ----------
    by_endpoint : tuple of tuple of Expression
        Per endpoint of the program and censoring code.
    sigmas : tuple of str
        Names of the residual parameters; symbol ``s_<name>`` each.
    """

    by_endpoint: tuple[tuple[Expression, ...], ...]
    sigmas: tuple[str, ...]


def sigma_symbol(name: str) -> Expression:
    """Return the symbol of a residual parameter."""
    return symbol(f"s_{name}")


def _filled_up(length: int, parameters: int) -> int:
    """Return a length as a multiple of what a processor works on at a time.

    With rows that begin anywhere, reading takes parts of two things just written, which waits
    until both are in memory: a fifth of the time of a solve. With one parameter or two,
    zeros would be most of the work.
    """
    return length if parameters < 3 else -(-length // _TOGETHER) * _TOGETHER


@dataclass(frozen=True, eq=False)
class _Equations:
    """A program with everything differentiated that the solver needs."""

    program: Program
    wrt: tuple[str, ...]

    @property
    def n(self) -> int:
        return len(self.program.states)

    @property
    def m(self) -> int:
        return len(self.wrt)

    def at(self, state: int) -> int:
        """Return where the sensitivities of a state begin within a vector of states."""
        return _filled_up(self.n, self.m) + state * self.row

    @property
    def row(self) -> int:
        """Return the length of a row of sensitivities, with what fills it up."""
        return _filled_up(self.m, self.m)

    @property
    def y(self) -> list[Expression]:
        return [state_symbol(s) for s in self.program.states]

    @property
    def p(self) -> list[Expression]:
        return [value_symbol(v) for v in self.wrt]

    def rates(self) -> list[Expression]:
        return [symbol(f"r_{s}") for s in self.program.states]

    def rhs(self) -> list[Expression]:
        """Return the right-hand side with the infusions that run."""
        program = self.program
        full = [
            add(f, mul(r, g))
            for f, r, g in zip(program.rhs, self.rates(), program.dose_factor, strict=True)
        ]
        return by_piece(full)

    @property
    def timed(self) -> bool:
        """Return True if the slopes depend on time within a piece."""
        return any(not is_constant(derivative(f, TIME), 0.0) for f in self.rhs())

    def places(self, states: str) -> dict[str, str]:
        """Return where each symbol is found, the states from the place `states` on."""
        program = self.program
        found = {
            str(state_symbol(s).value): f"x[{states} + {i}]" for i, s in enumerate(program.states)
        }
        found |= {str(value_symbol(v).value): f"x[Q + {i}]" for i, v in enumerate(program.values)}
        found |= {str(r.value): f"x[RATES + {i}]" for i, r in enumerate(self.rates())}
        return found


def generate(
    program: Program,
    wrt: Sequence[str],
    likelihood: Likelihood | None,
    side_by_side: bool = False,
    with_series: bool = False,
) -> str:
    """Return the source of the functions of a program.

    Parameters
    ----------
    program : Program
        The equations.
    wrt : sequence of str
        Parameters that derivatives are taken by.
    likelihood : Likelihood or None
        Record likelihoods, if the module is to compute those.
    side_by_side : bool
        For :mod:`cart_pkpd._engine.records`: what is the same for all records of a patient is
        computed once, by ``keep``, and `record` is given logarithms too.
    with_series : bool
        Write the Taylor series of the solution too, where there is one.

    Returns
    -------
    str
        The constants and functions of :mod:`cart_pkpd._engine.equations`; `record` only with
        a likelihood.
    """
    eq = _Equations(program, tuple(wrt))
    second, parts = _linearise(eq)
    kept_count, observing = _observe(eq, side_by_side)
    blocks = [
        _filled(eq, "def initial(x):", "Z", f"Z + {eq.at(0)}", program.initial, eq.row),
        _rhs(eq),
        *parts,
        _substitute(eq),
        _filled(eq, "def gain(x):", "GAIN", "DGAIN", program.dose_factor, eq.m),
        _filled(eq, "def switch_times(x):", "TIMES", "DTIMES", program.switches, eq.m),
        *observing,
        _weigh(eq),
        _natural(eq),
    ]
    if likelihood is not None:
        blocks.append(_record(likelihood, side_by_side))
    taylor = series(eq.rhs(), eq.y, eq.places("Z"), program.floors) if with_series else None
    blocks += taylor or []
    functions = ("\n".join(b) for b in blocks)
    sigmas = 0 if likelihood is None else len(likelihood.sigmas)
    layout = _layout(eq, second, sigmas, kept_count, 0 if taylor is None else TERMS)
    listed = "\n".join(f"{k} = {v}" for k, v in layout.items())
    return "\n\n\n".join([listed, *(_resolved(f, layout) for f in functions)]) + "\n\n\n"


def _resolved(text: str, layout: Mapping[str, int]) -> str:
    """Return the code with places as plain numbers, which compile faster than sums of names."""
    return _PLACE.sub(lambda m: f"x[{layout[m[1]] + sum(map(int, m[2].split('+')[1:]))}", text)


_VECTORS = (
    "Z", "NEW", "WORK", "SLOPE", "ERR", "FT", "AT", "K1", "K2", "K3", "K4", "K5", "K6", "K7",
    "U1", "U2", "U3", "U4", "U5", "U6", "U7", "U8",
)  # fmt: skip


def _layout(
    eq: _Equations, second: int, sigmas: int, kept_count: int, terms: int
) -> dict[str, int]:
    """Return the constants: counts, and where everything lies in the one array."""
    n, m, k = eq.n, eq.m, len(eq.program.switches)
    counts = {"N": n, "M": m, "S": sigmas, "SENS": eq.at(0), "ROW": eq.row}
    counts |= {"SIZE": eq.at(n), "SWITCHES": k, "FEW": int(n <= _FEW), "TIMED": int(eq.timed)}
    counts |= {"VALUES": len(eq.program.values), "KEPTS": kept_count, "TERMS": terms}
    lengths = dict.fromkeys(_VECTORS, counts["SIZE"])
    lengths |= {"JAC": n * n, "LU": n * n, "PIVOT": n + 1, "HESSIAN": second, "PEAK": n, "BEST": n}
    lengths |= {"FLOORS": n, "COLUMN": eq.row, "TIMES": k, "DTIMES": k * m, "ORDER": k, "GAIN": n}
    lengths |= {"DGAIN": n * m, "Q": counts["VALUES"], "RATES": n, "GIVEN": m, "PER": eq.row}
    lengths |= {"CHAIN": m, "SIGMA": sigmas, "KEPT": kept_count}
    lengths |= {"SERIES": (terms + 1) * n if terms else 0, "LEVELS": len(eq.program.endpoints)}
    places, at = {}, 0
    for name, length in lengths.items():
        places[name] = at
        at += length
    return {**counts, **places, "TOTAL": at + 1}


def _lines(places: Mapping[str, str], targets: Sequence[tuple[str, Expression]]) -> list[str]:
    """Return assignments, shared parts first, so that each is computed once."""
    order = topological([e for _, e in targets])
    uses = Counter(id(a) for node in order for a in node.args)
    uses.update(id(e) for _, e in targets)
    written: dict[int, str] = {}
    out = []
    for node in order:
        if node.op == "const":
            written[id(node)] = f"({node.value!r})"
        elif node.op == "symbol":
            name = str(node.value)
            if name in places:
                out.append(f"    {name} = {places[name]}")
            written[id(node)] = name
        else:
            code = FUNCTIONS[node.op].code.format(*(written[id(a)] for a in node.args))
            if uses[id(node)] > 1:
                out.append(f"    x{len(written)} = {code}")
                code = f"x{len(written)}"
            written[id(node)] = code
    return out + [f"    {target} = {written[id(e)]}" for target, e in targets]


def _sum(terms: Sequence[str]) -> str:
    return " + ".join(terms) if terms else "0.0"


def _sensitivity_loop(
    eq: _Equations,
    source: str,
    target: str,
    keys: Sequence[tuple[int, int]],
    prefix: str,
    sign: str = "=",
) -> list[str]:
    """Return the loop over parameters of matrix times sensitivities, a row per state."""
    if eq.m == 0:
        return []
    body = []
    for i in range(eq.n):
        terms = [f"{prefix}_{i}_{k} * x[{source} + {eq.at(k)} + j]" for r, k in keys if r == i]
        if terms or sign == "=":
            body.append(f"        x[{target} + {eq.at(i)} + j] {sign} {_sum(terms)}")
    return [f"    for j in range({eq.row}):", *body] if body else []


def _rhs(eq: _Equations) -> list[str]:
    rhs = eq.rhs()
    by_y, by_p = jacobian(rhs, eq.y), jacobian(rhs, eq.p)
    named: list[tuple[str, Expression]] = [(f"x[SLOPE + {i}]", e) for i, e in enumerate(rhs)]
    if eq.m:
        named += [(f"a_{i}_{k}", e) for (i, k), e in by_y.items()]
        named += [(f"b_{i}_{j}", e) for (i, j), e in by_p.items()]
    lines = ["def rhs(t, t_piece, x):", *_lines(eq.places("WORK"), named)]
    lines += _sensitivity_loop(eq, "WORK", "SLOPE", list(by_y), "a")
    if eq.m:
        lines += [f"    x[SLOPE + {eq.at(i)} + {j}] += b_{i}_{j}" for i, j in by_p]
    return lines + _nothing(lines)


def _nothing(lines: Sequence[str]) -> list[str]:
    return ["    return"] if len(lines) == 1 else []


def _linearise(eq: _Equations) -> tuple[int, list[list[str]]]:
    """Return the number of second derivatives, and the functions for the implicit method."""
    n, m = eq.n, eq.m
    rhs = eq.rhs()
    by_y, by_p = jacobian(rhs, eq.y), jacobian(rhs, eq.p) if m else {}
    by_yy, by_py = (_second(by_y, eq), _second(by_p, eq)) if m else ({}, {})
    filled = [
        (f"x[JAC + {i * n + k}]", by_y.get((i, k), constant(0.0)))
        for i in range(n)
        for k in range(n)
    ]
    seconds = [*by_yy.values(), *by_py.values()]
    filled += [(f"x[HESSIAN + {at}]", e) for at, e in enumerate(seconds)]
    slope_y, slope_p = (_time_slopes(by_y), _time_slopes(by_p)) if m else ({}, {})
    if eq.timed:
        filled += [(f"x[FT + {i}]", derivative(f, TIME)) for i, f in enumerate(rhs)]
    filled += [(f"a_{i}_{k}", e) for (i, k), e in slope_y.items()]
    filled += [(f"b_{i}_{j}", e) for (i, j), e in slope_p.items()]
    lines = ["def linearise(t, t_piece, x):", *_lines(eq.places("Z"), filled)]
    lines += _sensitivity_loop(eq, "Z", "FT", list(slope_y), "a") if eq.timed else []
    lines += [f"    x[FT + {eq.at(i)} + {j}] += b_{i}_{j}" for i, j in slope_p]
    lines += _nothing(lines)
    return len(seconds), [lines, _curvature(eq, list(by_yy), list(by_py))]


def _time_slopes(
    entries: Mapping[tuple[int, int], Expression],
) -> dict[tuple[int, int], Expression]:
    found = {k: derivative(e, TIME) for k, e in entries.items()}
    return {k: e for k, e in found.items() if not is_constant(e, 0.0)}


def _second(
    entries: Mapping[tuple[int, int], Expression], eq: _Equations
) -> dict[tuple[int, int, int], Expression]:
    found = {}
    for (i, k), entry in entries.items():
        for (_, along), second in jacobian([entry], eq.y).items():
            found[i, k, along] = second
    return found


def _curvature(
    eq: _Equations, by_yy: Sequence[tuple[int, int, int]], by_py: Sequence[tuple[int, int, int]]
) -> list[str]:
    """Add to the sensitivities in SLOPE what the Jacobian's change along its states adds."""
    lines = ["def curvature(x):"]
    terms: dict[tuple[int, int], list[str]] = {}
    for at, (i, k, by) in enumerate(by_yy):
        terms.setdefault((i, k), []).append(f"x[HESSIAN + {at}] * x[SLOPE + {by}]")
    lines += [f"    g_{i}_{k} = {_sum(t)}" for (i, k), t in terms.items()]
    lines += _sensitivity_loop(eq, "Z", "SLOPE", list(terms), "g", "+=")
    for at, (i, j, by) in enumerate(by_py, start=len(by_yy)):
        lines.append(f"    x[SLOPE + {eq.at(i)} + {j}] += x[HESSIAN + {at}] * x[SLOPE + {by}]")
    return lines + _nothing(lines)


def _substitute(eq: _Equations) -> list[str]:
    """Return the solution of triangular systems, a column of sensitivities at a time.

    Written out, the numbers between stay in registers; in loops, each waits for memory.
    """
    lines, n = ["def substitute(x):"], eq.n
    if not eq.m or not n or n > _FEW:
        return [*lines, "    return"]
    lines += [f"    w_{i}_{k} = x[LU + {i * n + k}]" for i in range(n) for k in range(n)]
    lines.append(f"    for j in range({eq.row}):")
    for i in range(n):
        known = "".join(f" - w_{i}_{k} * s_{k}" for k in range(i))
        lines.append(f"        s_{i} = x[SLOPE + {eq.at(i)} + j]{known}")
    for i in reversed(range(n)):
        known = "".join(f" - w_{i}_{k} * s_{k}" for k in range(i + 1, n))
        lines.append(f"        s_{i} = (s_{i}{known}) * w_{i}_{i}")
        lines.append(f"        x[SLOPE + {eq.at(i)} + j] = s_{i}")
    return lines


def _filled(
    eq: _Equations,
    head: str,
    place: str,
    slopes: str,
    formulas: Sequence[Expression],
    row: int,
    known: str = "Q",
) -> list[str]:
    """Return a function that writes formulas and their derivatives by the parameters."""
    named = [(f"x[{place} + {i}]", e) for i, e in enumerate(formulas)]
    by_p = jacobian(formulas, eq.p)
    named += [(f"x[{slopes} + {i * row + j}]", e) for (i, j), e in by_p.items()]
    lines = [head]
    if eq.m and formulas:
        lines += [f"    for i in range({len(formulas) * row}):", f"        x[{slopes} + i] = 0.0"]
    lines += _lines(eq.places(known), named)
    return lines + _nothing(lines)


def _observe(eq: _Equations, side_by_side: bool) -> tuple[int, list[list[str]]]:
    """Return how many numbers are kept for all records of a patient, and the functions."""
    named = [_observed(eq, level) for level in by_piece(eq.program.observe)]
    places, blocks = eq.places("AT"), []
    parts: list[Expression] = []
    if side_by_side:
        known = {str(value_symbol(v).value) for v in eq.program.values}
        roots, parts = kept([e for targets in named for _, e in targets], known)
        rest = iter(roots)
        named = [[(name, next(rest)) for name, _ in targets] for targets in named]
        keep = _lines(places, [(f"x[KEPT + {i}]", e) for i, e in enumerate(parts)])
        blocks.append(["def keep(x):", *keep, *([] if parts else ["    return"])])
        places |= {f"kept_{i}": f"x[KEPT + {i}]" for i in range(len(parts))}
    lines = ["def observe(endpoint, t, t_piece, x):"]
    for e, targets in enumerate(named):
        body = _lines(places, targets)
        if eq.m:
            terms = [f"{n} * x[AT + {eq.at(int(n[2:]))} + j]" for n, _ in targets if n[0] == "a"]
            body += [f"    for j in range({eq.row}):", f"        x[COLUMN + j] = {_sum(terms)}"]
            body += [f"    x[COLUMN + {n[2:]}] += {n}" for n, _ in targets if n[0] == "b"]
        lines += [f"    if endpoint == {e}:", *("    " + b for b in [*body, "    return level"])]
    return len(parts), [*blocks, [*lines, "    return math.nan"]]


def _observed(eq: _Equations, level: Expression) -> list[tuple[str, Expression]]:
    """Return a level and, by name, its derivatives by states, ``a``, and parameters, ``b``."""
    named = [("level", level)]
    if eq.m:
        named += [(f"a_{k}", d) for (_, k), d in jacobian([level], eq.y).items()]
        named += [(f"b_{j}", d) for (_, j), d in jacobian([level], eq.p).items()]
    return named


def _weigh(eq: _Equations) -> list[str]:
    """Put natural values in place; PER is the change per unit of the free scale."""
    lines = ["def weigh(x):"]
    for j, name in enumerate(eq.wrt):
        kind, width = eq.program.scales[name]
        per = {"log": f"abs(v{j})", "logit": f"abs(v{j} * (1.0 - v{j}))"}
        lines.append(f"    v{j} = x[GIVEN + {j}]")
        lines.append(f"    x[Q + {eq.program.values.index(name)}] = v{j}")
        lines.append(f"    x[PER + {j}] = {per.get(kind, repr(width))}")
    return lines + _nothing(lines)


def _natural(eq: _Equations) -> list[str]:
    """Put values of the free scale in place; CHAIN is d natural / d free."""
    lines = ["def natural(x):"]
    for j, name in enumerate(eq.wrt):
        kind, width = eq.program.scales[name]
        at = eq.program.values.index(name)
        lines.append(f"    f{j} = x[GIVEN + {j}]")
        if kind == "log":
            lines += [f"    v{j} = math.exp(f{j})", f"    d{j} = v{j}"]
        elif kind == "logit":
            lines += [f"    v{j} = 1.0 / (1.0 + math.exp(-f{j}))"]
            lines += [f"    d{j} = v{j} * (1.0 - v{j})"]
        else:
            lines += [f"    v{j} = f{j}", f"    d{j} = 1.0"]
        width_of = f"d{j}" if kind != "identity" else repr(width)
        lines += [f"    x[Q + {at}] = v{j}", f"    x[CHAIN + {j}] = d{j}"]
        lines.append(f"    x[PER + {j}] = {width_of}")
    return lines + _nothing(lines)


def _record(likelihood: Likelihood, side_by_side: bool) -> list[str]:
    """Return the likelihood of a record; endpoints with the same formulas share their code."""
    shared: dict[tuple[int, ...], tuple[list[Expression], dict[int, tuple[int, ...]]]] = {}
    for e, codes in enumerate(likelihood.by_endpoint):
        formulas, own = _with_local_sigmas(codes, likelihood.sigmas)
        if formulas:
            key = tuple(id(f) for f in formulas)
            shared.setdefault(key, (formulas, {}))[1][e] = own
    logs = "ln_dv, ln_low, " if side_by_side else ""
    lines = [f"def record(endpoint, code, dv, low, {logs}f, sigmas, x):"]
    for formulas, own_of in shared.values():
        chosen = " or ".join(f"endpoint == {e}" for e in own_of)
        lines.append(f"    if {chosen}:")
        for e, own in own_of.items():
            places = [f"            i{n} = {at}" for n, at in enumerate(own)] or [
                "            pass"
            ]
            lines += [f"        if endpoint == {e}:", *places]
        for code, value in enumerate(formulas):
            lines += [
                f"        if code == {code}:",
                *("        " + b for b in _one_code(value, side_by_side)),
            ]
    return [*lines, "    return math.nan, math.nan"]


def _local_sigma(n: int) -> Expression:
    return symbol(f"s_own{n}")


def _with_local_sigmas(
    codes: Sequence[Expression], sigmas: Sequence[str]
) -> tuple[list[Expression], tuple[int, ...]]:
    """Return formulas in terms of an endpoint's own residual parameters, and which those are."""
    used = symbols_of(codes)
    own = tuple(i for i, s in enumerate(sigmas) if str(sigma_symbol(s).value) in used)
    local = {str(sigma_symbol(sigmas[i]).value): _local_sigma(n) for n, i in enumerate(own)}
    return substitute(
        codes, lambda n, _: local.get(str(n.value)) if n.op == "symbol" else None
    ), own


def _one_code(value: Expression, side_by_side: bool) -> list[str]:
    present = symbols_of([value])
    named = [("value", value), ("by_level", derivative(value, LEVEL))]
    places: dict[str, str] = {}
    adding: list[str] = []
    own: dict[str, int] = {}
    while str(_local_sigma(len(own)).value) in present:
        n, sigma = len(own), _local_sigma(len(own))
        own[str(sigma.value)] = n
        places |= {str(sigma.value): f"sigmas[i{n}]", f"ln_own{n}": f"sigmas[S + i{n}]"}
        places[f"per_own{n}"] = f"sigmas[2 * S + i{n}]"
        named.append((f"by_{n}", derivative(value, sigma)))
        adding.append(f"    x[SIGMA + i{n}] += by_{n}")
    if side_by_side:
        formulas = per_sigma([e for _, e in named], own)
        named = [(name, e) for (name, _), e in zip(named, formulas, strict=True)]
    return [*_lines(places, named), *adding, "    return value, by_level"]


__all__ = ["DV", "LEVEL", "LOW", "PIECE", "Likelihood", "generate", "sigma_symbol"]
