"""Equations as code for the Taylor series of their solution.

The coefficients of a state's series follow from each other: that of order k + 1 is that of order k
of the slope, divided by k + 1. Those of a slope follow from those of its parts by one rule for each
operation, such as Leibniz' for a product. A step then takes one division for each quotient, one
value of each function, and multiplications; it is as long as the last terms allow, and the series
gives the solution anywhere within it. The rules are those of [1]_, section 4, and of [2]_.

References
----------
.. [1] Jorba À, Zou M (2005). A software package for the numerical integration of ODEs by means of
   high-order Taylor methods. Exp Math 14:99. https://doi.org/10.1080/10586458.2005.10128904
.. [2] Griewank A, Walther A (2008). Evaluating Derivatives, 2nd ed., SIAM, table 13.2.
   https://doi.org/10.1137/1.9780898717761
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from cart_pkpd._engine.expression import (
    FUNCTIONS,
    Expression,
    call,
    constant,
    div,
    is_constant,
    mul,
    neg,
    substitute,
    topological,
)
from cart_pkpd._engine.program import TIME

PEAK_SHARE, TINY = 1e-12, 1e-290
"""Those of :mod:`cart_pkpd._engine.patient`, which compiles when it is imported."""

TERMS = 12
"""Order of the series: at a tolerance of 1e-6 the least work, and near it at others."""
MOST_PRODUCTS = 2_000
"""Code for more than so many is not worth the time that compiling takes."""

_SMOOTH = frozenset(
    ("add", "sub", "mul", "div", "neg", "pow", "exp", "log", "log1p", "expm1", "sqrt", "sin", "cos",
     "tanh", "sigmoid", "where")
)  # fmt: skip


def series(
    rhs: Sequence[Expression],
    states: Sequence[Expression],
    places: Mapping[str, str],
    floors: Sequence[float],
) -> list[list[str]] | None:
    """Return the lines of `series`, `along` and `compare`, or None where there is no series.

    What these functions do, :mod:`cart_pkpd._engine.equations` says. The coefficients of one order
    lie together.

    Parameters
    ----------
    rhs : sequence of Expression
        Slopes of the states.
    states : sequence of Expression
        Their symbols.
    places : mapping
        Where the other symbols are found.
    floors : sequence of float
        Per state: the size below which accuracy does not matter; 0 for none.
    """
    slopes = _factored(rhs, states)
    work = _Series(states, places)
    if not work.has(slopes) or work.products(slopes) > MOST_PRODUCTS:
        return None
    n = len(states)
    return [["def series(t, t_piece, x):", *work.lines(slopes)], _along(n), _compare(n, floors)]


def _along(n: int) -> list[str]:
    lines = [f"    s{i} = x[SERIES + {TERMS * n + i}]" for i in range(n)]
    lines += [
        f"    s{i} = x[SERIES + {k * n + i}] + c * s{i}"
        for k in reversed(range(TERMS))
        for i in range(n)
    ]
    return ["def along(c, x):", *lines, *(f"    x[AT + {i}] = s{i}" for i in range(n))]


def _compare(n: int, floors: Sequence[float]) -> list[str]:
    """Return the code of the sizes of states; those without a floor need some care near 0."""
    lines = ["def compare(soon, x):"]
    for i in range(n):
        if i < len(floors) and floors[i] > 0.0:
            lines.append(f"    s{i} = max(abs(x[SERIES + {i}]), x[FLOORS + {i}])")
        else:
            lines += _size(i, [f"abs(x[SERIES + {k * n + i}])" for k in range(TERMS + 1)])
    return lines + [f"    x[BEST + {i}] = rough_inverse(s{i})" for i in range(n)]


def _size(i: int, terms: Sequence[str]) -> list[str]:
    """Return the code of a state's size: where it is 0, what its terms say of a little later."""
    first, *others, last = terms
    return [
        f"    x[PEAK + {i}] = max(x[PEAK + {i}], {first})",
        f"    s{i} = max({first}, {PEAK_SHARE!r} * x[PEAK + {i}])",
        f"    r{i} = {last}",
        *(f"    r{i} = {term} + soon * r{i}" for term in reversed(others)),
        f"    s{i} = max(s{i} if s{i} > 0.0 else soon * r{i}, {TINY!r})",
    ]


def _changing(roots: Sequence[Expression], states: Sequence[Expression]) -> set[int]:
    """Return which nodes change within a piece: those of states and time."""
    moving = {id(s) for s in (*states, TIME)}
    for node in topological(roots):
        if any(id(a) in moving for a in node.args):
            moving.add(id(node))
    return moving


def _factored(roots: Sequence[Expression], states: Sequence[Expression]) -> list[Expression]:
    """Return the roots with what does not change at the front of each product and quotient.

    A product of two series is then one of what changes alone, shared wherever it occurs.
    """
    moving = dict.fromkeys((*states, TIME), True)

    def moves(node: Expression) -> bool:
        if node not in moving:
            moving[node] = any([moves(a) for a in node.args])
        return moving[node]

    def split(node: Expression) -> tuple[Expression, Expression]:
        if not moves(node):
            return node, constant(1.0)
        if node.op == "mul" and not moves(node.args[0]):
            return node.args[0], node.args[1]
        return constant(1.0), node

    def replace(node: Expression, args: tuple[Expression, ...]) -> Expression | None:
        if node.op == "pow" and moves(args[1]):
            return call("exp", mul(args[1], call("log", args[0])))
        if node.op == "neg":
            factor, rest = split(args[0])
            alone = is_constant(factor, 1.0) or is_constant(rest, 1.0)
            return None if alone else _product(neg(factor), rest)
        if node.op == "mul":
            (a, u), (b, v) = split(args[0]), split(args[1])
            return _product(mul(a, b), mul(*sorted((u, v), key=repr)))
        if node.op == "div":
            (a, u), (b, v) = split(args[0]), split(args[1])
            return _product(div(a, b), div(u, v))
        return None

    return substitute(list(roots), replace)


def _product(factor: Expression, rest: Expression) -> Expression:
    """Return a product whose first factor does not change."""
    if is_constant(factor, 1.0):
        return rest
    return factor if is_constant(rest, 1.0) else call("mul", factor, rest)


Coefficients = list[str | None]
"""Names of numbers, lowest order first; None for 0."""


class _Series:
    """Coefficients of every node, order by order, as lines of code."""

    def __init__(self, states: Sequence[Expression], places: Mapping[str, str]) -> None:
        self.states, self.places = list(states), places
        self.out: list[str] = []
        self.known: dict[int, Coefficients] = {}
        self.times: dict[tuple[int, int], str | None] = {}
        self.fixed: dict[str, str] = {}

    # --- whether there is one --------------------------------------------------------------

    def has(self, roots: Sequence[Expression]) -> bool:
        """Return True if every operation on what changes has a rule."""
        moving = _changing(roots, self.states)
        for node in topological(roots):
            if id(node) in moving and node.args:
                if node.op not in _SMOOTH:
                    return False
                if node.op == "where" and id(node.args[0]) in moving:
                    return False
        return True

    def products(self, roots: Sequence[Expression]) -> int:
        """Return nearly how many multiplications a step takes."""
        moving = _changing(roots, self.states)
        each = {"add": 1, "sub": 1, "neg": 1, "where": 1}
        total = 0
        for node in topological(roots):
            if id(node) in moving and node.args:
                both = sum(id(a) in moving for a in node.args) == 2
                linear = node.op in each or (node.op in ("mul", "div") and not both)
                total += TERMS if linear else TERMS * TERMS // 2
        return total

    # --- code ------------------------------------------------------------------------------

    def lines(self, roots: Sequence[Expression]) -> list[str]:
        """Return the code that writes all coefficients of the states."""
        slopes, n = [*roots], len(self.states)
        # Sine and cosine follow from each other.
        partner = {"sin": "cos", "cos": "sin"}
        both = [call(partner[v.op], v.args[0]) for v in topological(roots) if v.op in partner]
        order = topological([*slopes, *both])
        moving = _changing([*slopes, *both], self.states)
        for i, state in enumerate(self.states):
            self.known[id(state)] = [self.named(f"x[SERIES + {i}]")]
        for k in range(TERMS):
            for node in order:
                if id(node) in moving:
                    self.changing(node, k)
                else:
                    self.still(node, k)
            for i, (state, slope) in enumerate(zip(self.states, slopes, strict=True)):
                given = self.known[id(slope)][k]
                name = None if given is None else self.named(f"{1.0 / (k + 1)!r} * {given}")
                self.known[id(state)].append(name)
                self.out.append(f"    x[SERIES + {(k + 1) * n + i}] = {name or '0.0'}")
        return self.out

    def changing(self, node: Expression, k: int) -> None:
        """Write the coefficient of order `k` of what changes; states have theirs already."""
        found = self.known.setdefault(id(node), [])
        if node is TIME:
            found.append("t" if k == 0 else self.number(1.0) if k == 1 else None)
        elif node.args:
            found.append(self.named(_RULES[node.op](self, node, k)))

    def still(self, node: Expression, k: int) -> None:
        """Write what does not change, once."""
        if k:
            self.known[id(node)].append(None)
        elif is_constant(node, 0.0):
            self.known[id(node)] = [None]
        elif node.op == "const":
            self.known[id(node)] = [self.number(float(node.value))]
        elif node.op == "symbol":
            name = str(node.value)
            self.known[id(node)] = [self.named(self.places.get(name, name))]
        else:
            given = (self.known[id(a)][0] or "0.0" for a in node.args)
            self.known[id(node)] = [self.named(FUNCTIONS[node.op].code.format(*given))]

    def number(self, value: float) -> str:
        return f"({value!r})"

    def named(self, code: str | None) -> str | None:
        """Return the name of a line's value; None for 0."""
        if code is None:
            return None
        name = f"v{len(self.out)}"
        self.out.append(f"    {name} = {code}")
        return name

    def once(self, code: str) -> str:
        """Return the name of what several orders use."""
        if code not in self.fixed:
            self.fixed[code] = self.named(code) or "0.0"
        return self.fixed[code]

    def of(self, node: Expression, place: int = 0) -> Coefficients:
        return self.known[id(node.args[place])]

    def by_order(self, node: Expression, j: int) -> str | None:
        """Return j times the coefficient of order j."""
        key = id(node), j
        if key not in self.times:
            given = self.known[id(node)][j]
            self.times[key] = self.named(None if given is None else f"{float(j)!r} * {given}")
        return self.times[key]


def _sum(products: Sequence[tuple[str | None, str | None]]) -> str | None:
    """Return a sum of products, those of what is known last at the end."""
    terms = [f"{a} * {b}" for a, b in products if a is not None and b is not None]
    return " + ".join(terms) if terms else None


def _inside_first(k: int, begin: int, end: int) -> list[int]:
    """Return orders from `begin` to `end`, those furthest from 0 and k first."""
    return sorted(range(begin, end + 1), key=lambda j: -min(j, k - j))


def _minus(a: str | None, b: str | None) -> str | None:
    if b is None:
        return a
    return f"-({b})" if a is None else f"{a} - ({b})"


def _times(factor: str, a: str | None) -> str | None:
    return None if a is None else f"{factor} * ({a})"


def _add(s: _Series, node: Expression, k: int) -> str | None:
    given = [v for v in (s.of(node)[k], s.of(node, 1)[k]) if v is not None]
    return " + ".join(given) if given else None


def _sub(s: _Series, node: Expression, k: int) -> str | None:
    return _minus(s.of(node)[k], s.of(node, 1)[k])


def _neg(s: _Series, node: Expression, k: int) -> str | None:
    return _minus(None, s.of(node)[k])


def _mul(s: _Series, node: Expression, k: int) -> str | None:
    a, b = s.of(node), s.of(node, 1)
    if node.args[0] is node.args[1]:
        pairs = [(a[j], a[k - j]) for j in reversed(range((k + 1) // 2))]
        twice = _times("2.0", _sum(pairs))
        middle = _sum([(a[k // 2], a[k // 2])]) if k % 2 == 0 else None
        both = [v for v in (middle, twice) if v is not None]
        return " + ".join(both) if both else None
    return _sum([(a[j], b[k - j]) for j in _inside_first(k, 0, k)])


def _div(s: _Series, node: Expression, k: int) -> str | None:
    a, b, own = s.of(node), s.of(node, 1), s.known[id(node)]
    inverse = s.once(f"1.0 / {b[0] or '0.0'}")
    rest = _sum([(b[j], own[k - j]) for j in _inside_first(k, 1, k)])
    return _times(inverse, _minus(a[k], rest))


def _where(s: _Series, node: Expression, k: int) -> str | None:
    a, b = s.of(node, 1)[k], s.of(node, 2)[k]
    if a is None and b is None:
        return None
    return f"({a or '0.0'} if {s.of(node)[0]} else {b or '0.0'})"


def _exp(s: _Series, node: Expression, k: int) -> str | None:
    if k == 0:
        return f"math.exp({s.of(node)[0] or '0.0'})"
    return _from_slope(s, node.args[0], s.known[id(node)], k)


def _from_slope(s: _Series, inner: Expression, outer: Coefficients, k: int) -> str | None:
    """Return the coefficient of what has the slope `outer` by `inner`."""
    pairs = [(s.by_order(inner, j), outer[k - j]) for j in _inside_first(k, 1, k)]
    return _times(repr(1.0 / k), _sum(pairs))


def _expm1(s: _Series, node: Expression, k: int) -> str | None:
    own = s.known[id(node)]
    if k == 0:
        return f"math.expm1({s.of(node)[0] or '0.0'})"
    return _from_slope(s, node.args[0], [s.once(f"{own[0]} + 1.0"), *own[1:]], k)


def _log(s: _Series, node: Expression, k: int) -> str | None:
    """Return the logarithm's coefficient, from a l' = a'; for log1p of 1 plus the argument."""
    a = s.of(node)
    if k == 0:
        return f"math.{node.op}({a[0] or '0.0'})"
    first = a[0] or "0.0"
    inverse = s.once(f"1.0 / {first}" if node.op == "log" else f"1.0 / (1.0 + {first})")
    pairs = [(s.by_order(node, j), a[k - j]) for j in _inside_first(k, 1, k - 1)]
    return _times(inverse, _minus(a[k], _times(repr(1.0 / k), _sum(pairs))))


def _sqrt(s: _Series, node: Expression, k: int) -> str | None:
    a, own = s.of(node), s.known[id(node)]
    if k == 0:
        return f"math.sqrt({a[0] or '0.0'})"
    pairs = [(own[j], own[k - j]) for j in _inside_first(k, 1, k - 1)]
    return _times(s.once(f"0.5 / {own[0]}"), _minus(a[k], _sum(pairs)))


def _pow(s: _Series, node: Expression, k: int) -> str | None:
    """Return the coefficient of a power that does not change, from a p' = c a' p."""
    a, own = s.of(node), s.known[id(node)]
    power_of = s.of(node, 1)[0] or "0.0"
    if k == 0:
        return f"{a[0] or '0.0'} ** {power_of}"
    inverse = s.once(f"1.0 / {a[0] or '0.0'}")
    pairs = [
        (s.once(f"{power_of} * {float(j)!r} - {float(k - j)!r}"), _of_two(a[j], own[k - j]))
        for j in _inside_first(k, 1, k)
    ]
    return _times(f"({inverse} * {1.0 / k!r})", _sum(pairs))


def _of_two(a: str | None, b: str | None) -> str | None:
    return None if a is None or b is None else f"({a} * {b})"


def _sin(s: _Series, node: Expression, k: int) -> str | None:
    inner = node.args[0]
    if k == 0:
        return f"math.{node.op}({s.of(node)[0] or '0.0'})"
    other = s.known[id(call("cos" if node.op == "sin" else "sin", inner))]
    found = _from_slope(s, inner, other, k)
    return found if node.op == "sin" else _minus(None, found)


def _tanh(s: _Series, node: Expression, k: int) -> str | None:
    """Return the coefficient of what has the slope 1 - y² (tanh) or y - y² (sigmoid)."""
    inner, own = s.of(node)[0] or "0.0", s.known[id(node)]
    if k == 0:
        whole = node.op == "tanh"
        return f"math.tanh({inner})" if whole else f"0.5 * (1.0 + math.tanh(0.5 * {inner}))"
    slope: Coefficients = []
    for j in range(k):
        square = _sum([(own[i], own[j - i]) for i in _inside_first(j, 0, j)])
        first = own[j] if node.op == "sigmoid" else ("1.0" if j == 0 else None)
        slope.append(s.once(_minus(first, square) or "0.0"))
    return _from_slope(s, node.args[0], slope, k)


_RULES: Mapping[str, Callable[[_Series, Expression, int], str | None]] = MappingProxyType(
    {
        "add": _add, "sub": _sub, "neg": _neg, "mul": _mul, "div": _div, "where": _where,
        "exp": _exp, "expm1": _expm1, "log": _log, "log1p": _log, "sqrt": _sqrt, "pow": _pow,
        "sin": _sin, "cos": _sin, "tanh": _tanh, "sigmoid": _tanh,
    }
)  # fmt: skip
