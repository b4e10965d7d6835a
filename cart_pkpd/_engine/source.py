"""A program as Python source that Numba compiles: one module per program and estimated set."""

from __future__ import annotations

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
    symbol,
    symbols_of,
    topological,
)
from cart_pkpd._engine.program import (
    PIECE,
    TIME,
    Program,
    by_piece,
    jacobian,
    state_symbol,
    value_symbol,
)

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
        return self.n + state * self.m

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

    def places(self, states: str) -> dict[str, str]:
        """Return where each symbol is found, the states from the place `states` on."""
        program = self.program
        found = {
            str(state_symbol(s).value): f"x[{states} + {i}]" for i, s in enumerate(program.states)
        }
        found |= {str(value_symbol(v).value): f"x[Q + {i}]" for i, v in enumerate(program.values)}
        found |= {str(r.value): f"x[RATES + {i}]" for i, r in enumerate(self.rates())}
        return found


def generate(program: Program, wrt: Sequence[str], likelihood: Likelihood | None) -> str:
    """Return the source of the functions of a program.

    Parameters
    ----------
    program : Program
        The equations.
    wrt : sequence of str
        Parameters that derivatives are taken by.
    likelihood : Likelihood or None
        Record likelihoods, if the module is to compute those.

    Returns
    -------
    str
        The constants and functions of :mod:`cart_pkpd._engine.equations`; `record` only with
        a likelihood.
    """
    eq = _Equations(program, tuple(wrt))
    second, parts = _linearise(eq)
    blocks = [
        _filled(eq, "def initial(x):", "Z", f"Z + {eq.n}", program.initial),
        _rhs(eq),
        *parts,
        _filled(eq, "def gain(x):", "GAIN", "DGAIN", program.dose_factor),
        _filled(eq, "def switch_times(x):", "TIMES", "DTIMES", program.switches),
        _observe(eq),
        _weigh(eq),
        _natural(eq),
    ]
    if likelihood is not None:
        blocks.append(_record(likelihood))
    functions = ("@njit(**FAST)\n" + "\n".join(b) for b in blocks)
    sigmas = 0 if likelihood is None else len(likelihood.sigmas)
    return "\n\n\n".join([_layout(eq, second, sigmas), *functions]) + "\n\n\n"


_VECTORS = (
    "Z", "NEW", "WORK", "SLOPE", "ERR", "FT", "AT", "K1", "K2", "K3", "K4", "K5", "K6", "K7",
    "U1", "U2", "U3", "U4", "U5", "U6", "U7", "U8",
)  # fmt: skip


def _layout(eq: _Equations, second: int, sigmas: int) -> str:
    """Return the constants: counts, and where everything lies in the one array."""
    n, m, k = eq.n, eq.m, len(eq.program.switches)
    counts = {"N": n, "M": m, "S": sigmas, "SIZE": n * (1 + m), "SWITCHES": k}
    counts["VALUES"] = len(eq.program.values)
    lengths = dict.fromkeys(_VECTORS, counts["SIZE"])
    lengths |= {"JAC": n * n, "LU": n * n, "PIVOT": n, "HESSIAN": second, "PEAK": n, "BEST": n}
    lengths |= {"FLOORS": n, "COLUMN": m, "TIMES": k, "DTIMES": k * m, "ORDER": k, "GAIN": n}
    lengths |= {"DGAIN": n * m, "Q": counts["VALUES"], "RATES": n, "GIVEN": m, "PER": m}
    lengths |= {"CHAIN": m, "SIGMA": sigmas}
    places, at = {}, 0
    for name, length in lengths.items():
        places[name] = at
        at += length
    return "\n".join(f"{k} = {v}" for k, v in {**counts, **places, "TOTAL": at + 1}.items())


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
    return [f"    for j in range({eq.m}):", *body] if body else []


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
    filled += [(f"x[FT + {i}]", derivative(f, TIME)) for i, f in enumerate(rhs)]
    slope_y, slope_p = (_time_slopes(by_y), _time_slopes(by_p)) if m else ({}, {})
    filled += [(f"a_{i}_{k}", e) for (i, k), e in slope_y.items()]
    filled += [(f"b_{i}_{j}", e) for (i, j), e in slope_p.items()]
    lines = ["def linearise(t, t_piece, x):", *_lines(eq.places("Z"), filled)]
    lines += _sensitivity_loop(eq, "Z", "FT", list(slope_y), "a")
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


def _filled(
    eq: _Equations,
    head: str,
    place: str,
    slopes: str,
    formulas: Sequence[Expression],
    known: str = "Q",
) -> list[str]:
    """Return a function that writes formulas and their derivatives by the parameters."""
    named = [(f"x[{place} + {i}]", e) for i, e in enumerate(formulas)]
    by_p = jacobian(formulas, eq.p)
    named += [(f"x[{slopes} + {i * eq.m + j}]", e) for (i, j), e in by_p.items()]
    lines = [head]
    if eq.m and formulas:
        lines += [f"    for i in range({len(formulas) * eq.m}):", f"        x[{slopes} + i] = 0.0"]
    lines += _lines(eq.places(known), named)
    return lines + _nothing(lines)


def _observe(eq: _Equations) -> list[str]:
    lines = ["def observe(endpoint, t, t_piece, x):"]
    for e, level in enumerate(by_piece(eq.program.observe)):
        by_y = {k: d for (_, k), d in jacobian([level], eq.y).items()}
        by_p = {j: d for (_, j), d in jacobian([level], eq.p).items()}
        named = [("level", level)]
        if eq.m:
            named += [(f"a_{k}", d) for k, d in by_y.items()]
            named += [(f"b_{j}", d) for j, d in by_p.items()]
        body = _lines(eq.places("AT"), named)
        if eq.m:
            terms = [f"a_{k} * x[AT + {eq.at(k)} + j]" for k in by_y]
            body += [f"    for j in range({eq.m}):", f"        x[COLUMN + j] = {_sum(terms)}"]
            body += [f"    x[COLUMN + {j}] += b_{j}" for j in by_p]
        lines += [f"    if endpoint == {e}:", *("    " + b for b in [*body, "    return level"])]
    return [*lines, "    return math.nan"]


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


def _record(likelihood: Likelihood) -> list[str]:
    places = {str(sigma_symbol(s).value): f"sigmas[{i}]" for i, s in enumerate(likelihood.sigmas)}
    lines = ["def record(endpoint, code, dv, low, f, sigmas, x):"]
    for e, codes in enumerate(likelihood.by_endpoint):
        for code, value in enumerate(codes):
            named = [("value", value), ("by_level", derivative(value, LEVEL))]
            present = symbols_of([value])
            adding = []
            for i, s in enumerate(likelihood.sigmas):
                if str(sigma_symbol(s).value) in present:
                    named.append((f"by_{i}", derivative(value, sigma_symbol(s))))
                    adding.append(f"    x[SIGMA + {i}] += by_{i}")
            body = [*_lines(places, named), *adding, "    return value, by_level"]
            lines += [
                f"    if endpoint == {e} and code == {code}:",
                *("    " + b for b in body),
            ]
    return [*lines, "    return math.nan, math.nan"]


__all__ = ["DV", "LEVEL", "LOW", "PIECE", "Likelihood", "generate", "sigma_symbol"]
