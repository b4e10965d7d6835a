"""Formulas as they are set on a page: sums, products, fractions and cases instead of operations.

:func:`arrange` turns an :class:`Expression` into terms; ``latex.py`` writes them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cart_pkpd._engine.expression import Expression

_LN2 = math.log(2.0)
_FLIPPED = {"<": "≥", "≤": ">"}
_NAMED = {"log": "ln", "sin": "sin", "cos": "cos", "tanh": "tanh", "mills": "mills"}


@dataclass(frozen=True)
class Number:
    """A number."""

    value: float


@dataclass(frozen=True)
class Symbol:
    """A symbol by its name in the program: ``p_rho``, ``y_effector``, ``t``."""

    name: str


@dataclass(frozen=True)
class Sum:
    """Terms, each with True where it is subtracted."""

    terms: tuple[tuple[bool, Term], ...]


@dataclass(frozen=True)
class Product:
    """Factors."""

    factors: tuple[Term, ...]


@dataclass(frozen=True)
class Ratio:
    """A fraction."""

    top: Term
    bottom: Term


@dataclass(frozen=True)
class Power:
    """A base and its exponent."""

    base: Term
    exponent: Term


@dataclass(frozen=True)
class Call:
    """A function and its arguments."""

    name: str
    args: tuple[Term, ...]


@dataclass(frozen=True)
class Relation:
    """A comparison, ``<``, ``≤``, ``>`` or ``≥``; or ``and`` or ``or`` of conditions."""

    op: str
    left: Term
    right: Term


@dataclass(frozen=True)
class Cases:
    """Values with their conditions; None for all that is left."""

    branches: tuple[tuple[Term, Term | None], ...]


type Term = Number | Symbol | Sum | Product | Ratio | Power | Call | Relation | Cases


def arrange(root: Expression, names: Mapping[int, str], *, inside: bool = False) -> Term:
    """Return the formula as terms.

    Parameters
    ----------
    root : Expression
        The formula.
    names : mapping of int to str
        Nodes, by id, that are written as a symbol of this name.
    inside : bool
        False to write out the root itself even if it has a name.
    """
    if inside and id(root) in names:
        return Symbol(names[id(root)])
    if root.op == "const":
        return _number(float(root.value))
    if root.op == "symbol":
        return Symbol(str(root.value))
    if root.op in ("add", "sub", "neg"):
        return _sum(root, names)
    if root.op in ("mul", "div"):
        return _product(root, names)
    if root.op == "where":
        return _cases(root, names)
    args = [arrange(a, names, inside=True) for a in root.args]
    return _call(root, args)


def _number(value: float) -> Term:
    return Number(value) if value >= 0 else Sum(((True, Number(-value)),))


def _sum(root: Expression, names: Mapping[int, str]) -> Term:
    terms: list[tuple[bool, Term]] = []
    for minus, node in signed(root, names):
        term = arrange(node, names, inside=node is not root)
        if isinstance(term, Sum):
            terms += [(minus != m, t) for m, t in term.terms]
        else:
            terms.append((minus, term))
    return total(terms)


def total(terms: Iterable[tuple[bool, Term]]) -> Term:
    """Return the sum of signed terms, one that is added in front if there is one."""
    listed = list(terms)
    first = next((i for i, (minus, _) in enumerate(listed) if not minus), 0)
    listed.insert(0, listed.pop(first))
    if len(listed) == 1 and not listed[0][0]:
        return listed[0][1]
    return Sum(tuple(listed))


def signed(root: Expression, names: Mapping[int, str]) -> list[tuple[bool, Expression]]:
    """Return what a formula adds (False) and subtracts (True), named nodes left whole."""
    out: list[tuple[bool, Expression]] = []
    stack = [(False, root)]
    while stack:
        minus, node = stack.pop()
        whole = node is not root and id(node) in names
        if whole or node.op not in ("add", "sub", "neg"):
            out.append((minus, node))
        elif node.op == "neg":
            stack.append((not minus, node.args[0]))
        else:
            second = (minus != (node.op == "sub"), node.args[1])
            stack += [second, (minus, node.args[0])]
    return out


def _product(root: Expression, names: Mapping[int, str]) -> Term:
    """Return factors in order; a fraction stays where the author wrote it."""
    if root.op == "div":
        return _ratio(root, names)
    factors: list[Term] = []
    minus = False
    for node, count in _repeated(_factors(root, names, "mul")):
        term = arrange(node, names, inside=True)
        if isinstance(term, Sum) and len(term.terms) == 1:
            minus, term = minus != (count % 2 == 1), term.terms[0][1]
        if count > 1:
            factors.append(raised(term, Number(float(count))))
        else:
            factors += term.factors if isinstance(term, Product) else [term]
    made = product(factors)
    return Sum(((True, made),)) if minus else made


def _ratio(root: Expression, names: Mapping[int, str]) -> Term:
    top, bottom = (arrange(a, names, inside=True) for a in root.args)
    minus = False
    if isinstance(top, Sum) and len(top.terms) == 1:
        minus, top = True, top.terms[0][1]
    if isinstance(bottom, Ratio):
        top, bottom = product([top, bottom.bottom]), bottom.top
    over, under = [], [bottom]
    for factor in top.factors if isinstance(top, Product) else [top]:
        if isinstance(factor, Ratio):
            over.append(factor.top)
            under.insert(0, factor.bottom)
        else:
            over.append(factor)
    made = Ratio(product(over), product(under))
    return Sum(((True, made),)) if minus else made


def _factors(root: Expression, names: Mapping[int, str], op: str) -> list[Expression]:
    out, stack = [], [root]
    while stack:
        node = stack.pop()
        if node.op == op and (node is root or id(node) not in names):
            stack += reversed(node.args)
        else:
            out.append(node)
    return out


def _repeated(nodes: Iterable[Expression]) -> list[tuple[Expression, int]]:
    counted: dict[int, list[Expression]] = {}
    for node in nodes:
        counted.setdefault(id(node), []).append(node)
    return [(same[0], len(same)) for same in counted.values()]


def product(factors: Iterable[Term]) -> Term:
    """Return the product: numbers, parameters, what is composed, then states."""
    flat: list[Term] = []
    for factor in factors:
        flat += factor.factors if isinstance(factor, Product) else [factor]
    kept = sorted((f for f in flat if f != Number(1.0)), key=_place)
    under = next((f for f in kept if isinstance(f, Ratio) and f.top == Number(1.0)), None)
    over = [f for f in kept if _place(f) < 2]
    if under is not None and over:  # k (1 / V) is k / V
        rest = [f for f in kept if f is not under and f not in over]
        return product([Ratio(product(over), under.bottom), *rest])
    if not kept:
        return Number(1.0)
    return kept[0] if len(kept) == 1 else Product(tuple(kept))


def _place(factor: Term) -> int:
    core = factor.base if isinstance(factor, Power) else factor
    if isinstance(core, Number):
        return 0
    if isinstance(core, Symbol):
        return 3 if core.name.startswith("y_") else 1
    return 2


def raised(base: Term, exponent: Term) -> Term:
    """Return a power, exponents of powers multiplied."""
    if exponent == Number(1.0):
        return base
    if isinstance(base, Power):
        return Power(base.base, product([base.exponent, exponent]))
    return Power(base, exponent)


def _power_of_e(exponent: Term) -> Term:
    return Number(1.0) if exponent == Number(0.0) else Call("exp", (exponent,))


def _call(root: Expression, args: list[Term]) -> Term:
    op, one = root.op, Number(1.0)
    if op == "pow":
        return raised(args[0], args[1])
    if op == "exp":
        return _exponential(args[0])
    if op == "hill":
        x, half, steepness = args
        above = raised(x, steepness)
        return Ratio(above, total([(False, raised(half, steepness)), (False, above)]))
    if op == "log1p":
        return Call("ln", (_plus_one(args[0]),))
    if op == "expm1":
        return total([(False, Call("exp", (args[0],))), (True, one)])
    if op == "logaddexp":
        return Call("ln", (total([(False, _power_of_e(a)) for a in args]),))
    if op == "sigmoid":
        return Ratio(one, total([(False, one), (False, Call("exp", (negative(args[0]),)))]))
    if op == "log_ndtr":
        return Call("ln", (Call("Φ", (args[0],)),))
    if op in ("minimum", "maximum"):
        name = op[:3]
        flat = [
            b for a in args for b in (a.args if isinstance(a, Call) and a.name == name else [a])
        ]
        return Call(name, tuple(flat))
    if op in ("lt", "le"):
        return _comparison("<" if op == "lt" else "≤", args[0], args[1])
    if op == "not":
        return opposite(args[0]) or Call("not", tuple(args))
    if op in ("and", "or"):
        return Relation(op, args[0], args[1])
    return Call(_NAMED.get(op, op), tuple(args))


def _exponential(exponent: Term) -> Term:
    """Return e to a power; 2 to a power where ln 2 is a factor of it."""
    minus = isinstance(exponent, Sum) and len(exponent.terms) == 1
    core = exponent.terms[0][1] if isinstance(exponent, Sum) and minus else exponent
    factors = core.factors if isinstance(core, Product) else ()
    if factors and isinstance(factors[0], Number) and math.isclose(factors[0].value, _LN2):
        rest = product(factors[1:])
        return Power(Number(2.0), negative(rest) if minus else rest)
    return Call("exp", (exponent,))


def _comparison(op: str, left: Term, right: Term) -> Relation:
    """Return the comparison with the time, if it stands alone on a side, on the left."""
    if right == Symbol("t"):
        return Relation({"<": ">", "≤": "≥"}[op], right, left)
    return Relation(op, left, right)


def _plus_one(term: Term) -> Term:
    terms = term.terms if isinstance(term, Sum) else ((False, term),)
    return total([(False, Number(1.0)), *terms])


def negative(term: Term) -> Term:
    """Return minus the term."""
    terms = term.terms if isinstance(term, Sum) else ((False, term),)
    return total([(not minus, t) for minus, t in terms])


def opposite(condition: Term) -> Term | None:
    """Return what holds where a comparison does not; None for joined conditions."""
    back = {**_FLIPPED, **{v: k for k, v in _FLIPPED.items()}}
    if isinstance(condition, Relation) and condition.op in back:
        return Relation(back[condition.op], condition.left, condition.right)
    return None


def _cases(root: Expression, names: Mapping[int, str]) -> Term:
    found: list[tuple[Term, list[tuple[Term, bool]]]] = []
    _branches(root, names, [], found, inside=False)
    branches: list[tuple[Term, Term | None]] = [(v, _condition(c)) for v, c in found[:-1]]
    value, last = found[-1]
    rest = opposite(last[0][0]) if len(last) == 1 else None
    return Cases((*branches, (value, rest)))


def _branches(
    node: Expression,
    names: Mapping[int, str],
    asked: list[tuple[Term, bool]],
    found: list[tuple[Term, list[tuple[Term, bool]]]],
    *,
    inside: bool = True,
) -> None:
    """Collect the values of a choice with the answers to the conditions that lead there."""
    if node.op != "where" or (inside and id(node) in names):
        found.append((arrange(node, names, inside=True), asked))
        return
    condition = arrange(node.args[0], names, inside=True)
    for value, answer in ((node.args[1], True), (node.args[2], False)):
        _branches(value, names, [*asked, (condition, answer)], found)


def _condition(asked: list[tuple[Term, bool]]) -> Term:
    """Return when a case holds; cases are read in order, so what failed before may be left out."""
    held = [c for c, answer in asked if answer]
    if len(asked) == 2:
        both = [c if answer else opposite(c) for c, answer in asked]
        lower = [c for c in both if isinstance(c, Relation) and c.op in (">", "≥")]
        upper = [c for c in both if isinstance(c, Relation) and c.op in ("<", "≤")]
        if lower and upper and lower[0].left == upper[0].left == Symbol("t"):
            back = {">": "<", "≥": "≤"}[lower[0].op]
            first = Relation(back, lower[0].right, lower[0].left)
            return Relation(upper[0].op, first, upper[0].right)
    out = held[0]
    for more in held[1:]:
        out = Relation("and", out, more)
    return out


def width(term: Term, length: Mapping[str, float]) -> float:
    """Return about how many characters wide the term is when set; `length` of each symbol."""
    if isinstance(term, Number):
        return len(f"{term.value:g}")
    if isinstance(term, Symbol):
        return length.get(term.name, len(term.name))
    if isinstance(term, Sum):
        return sum(width(t, length) + 2.5 for _, t in term.terms)
    if isinstance(term, Product):
        return sum(width(f, length) + 1.0 for f in term.factors)
    if isinstance(term, Ratio):
        return max(width(term.top, length), width(term.bottom, length))
    if isinstance(term, Power):
        return width(term.base, length) + 0.6 * width(term.exponent, length)
    if isinstance(term, Relation):
        return width(term.left, length) + 2.0 + width(term.right, length)
    if isinstance(term, Cases):
        return max(
            width(v, length) + (10 if c is None else width(c, length)) for v, c in term.branches
        )
    inner = sum(width(a, length) + 1.0 for a in term.args)
    return 0.6 * inner + 1.0 if term.name == "exp" else inner + len(term.name) + 2.0
