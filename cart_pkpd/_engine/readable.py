"""Formulas as people would write them, before they are set: the work that computing needs undone.

Code writes ``ln(e^a + e^b)`` so that it cannot overflow, and a Hill term so that it cannot
divide by zero; on paper they are short. Long formulas are cut at pieces that have a name.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from cart_pkpd._engine.expression import (
    LOGICAL,
    Expression,
    add,
    call,
    constant,
    div,
    is_constant,
    mul,
    neg,
    sub,
    substitute,
    topological,
    where,
)
from cart_pkpd._engine.terms import signed

_NAMED_TWICE, _NAMED_ONCE, _UNNAMED = 3, 7, 7  # leaves from which a piece stands by itself
_LOGARITHMS = frozenset(("log", "log1p", "logaddexp"))
_TOO_LONG, _CROWDED = 10, 4  # leaves of a term, and of the pieces that are then cut from it
_COPIED = 2  # formulas up to which a choice is written in each of them
_HOISTED = 4  # leaves beside a condition up to which the whole formula is written per case


def simplified(roots: Sequence[Expression], positive: frozenset[str]) -> list[Expression]:
    """Return the roots with ``logaddexp``, ``hill`` and guarded logarithms as one operation.

    Exponentials of logarithms go away, and so do bounds that never act, such as max(x, 0), where
    `positive` symbols make that sure.
    """

    def shorter(node: Expression, args: tuple[Expression, ...]) -> Expression | None:
        for rule in (_hill, _logs):
            found = rule(node, args)
            if found is not None:
                return found
        if node.op == "exp" and any(_has_logarithm(n) for _, n in signed(args[0], {})):
            return exponential(args[0])
        return _bound(node, args, positive)

    return substitute(roots, shorter)


def _has_logarithm(node: Expression) -> bool:
    return node.op in _LOGARITHMS or (node.op == "mul" and any(a.op == "log" for a in node.args))


def _bound(
    node: Expression, args: tuple[Expression, ...], positive: frozenset[str]
) -> Expression | None:
    if node.op in ("minimum", "maximum"):
        for zero, other in (args, args[::-1]):
            if is_constant(zero, 0.0) and _never_negative(other, positive):
                return zero if node.op == "minimum" else other
    return None


def _never_negative(node: Expression, positive: frozenset[str]) -> bool:
    if node.op == "const":
        return float(node.value) >= 0
    if node.op == "symbol":
        return node.value in positive
    if node.op in ("exp", "sigmoid"):
        return True
    closed = node.op in ("add", "mul", "div", "pow", "minimum", "maximum", "hill")
    return closed and all(_never_negative(a, positive) for a in node.args)


def _logs(node: Expression, args: tuple[Expression, ...]) -> Expression | None:
    if node.op == "add" and args[0].op == "maximum":
        a, b = args[0].args
        if args[1] is call("log1p", call("exp", neg(call("abs", sub(a, b))))):
            return call("logaddexp", a, b)
    if node.op == "where" and args[0].op == "lt" and is_constant(args[0].args[0], -math.log(2.0)):
        near, a = args[0], args[0].args[1]
        small = call("log", neg(call("expm1", where(near, a, -1.0))))
        if args[1] is small and args[2] is call("log1p", neg(call("exp", where(near, -1.0, a)))):
            return call("log", sub(1.0, call("exp", a)))
    return None


def _hill(node: Expression, args: tuple[Expression, ...]) -> Expression | None:
    """Return ``x^n / (h^n + x^n)`` for ``r / (1 + r)`` with r = (x / h)^n.

    And ``a / (h b + a)`` for ``r / (h + r)`` with r = a / b.
    """
    if node.op != "div":
        return None
    if args[0].op == "div" and args[1].op == "add" and args[1].args[1] is args[0]:
        (above, below), half = args[0].args, args[1].args[0]
        return div(above, add(mul(half, below), above))
    if args[1] is not add(1.0, args[0]):
        return None
    base, n = _power_of(args[0])
    return call("hill", *base.args, n) if base.op == "div" else None


def _power_of(node: Expression) -> tuple[Expression, Expression]:
    if node.op == "pow":
        return node.args[0], node.args[1]
    factors, stack = [], [node]
    while stack:
        one = stack.pop()
        if one.op == "mul":
            stack += one.args
        else:
            factors.append(one)
    same = all(f is factors[0] for f in factors)
    return (factors[0], constant(float(len(factors)))) if same else (node, constant(1.0))


def exponential(root: Expression) -> Expression:
    """Return exp(root) with logarithms taken away: ``exp(ln a - b)`` is ``a exp(-b)``."""
    result, exponent = constant(1.0), constant(0.0)
    for minus, node in signed(root, {}):
        factor = _antilog(node)
        if factor is None:
            exponent = sub(exponent, node) if minus else add(exponent, node)
        elif minus and factor.op == "pow" and factor.args[0].op == "div":
            (above, below), power = factor.args[0].args, factor.args[1]
            result = mul(result, call("pow", div(below, above), power))
        else:
            result = div(result, factor) if minus else mul(result, factor)
    return result if is_constant(exponent, 0.0) else mul(result, call("exp", exponent))


def _antilog(node: Expression) -> Expression | None:
    if node.op == "log":
        return node.args[0]
    if node.op == "log1p":
        return add(1.0, node.args[0])
    if node.op == "logaddexp":
        return add(exponential(node.args[0]), exponential(node.args[1]))
    if node.op == "mul":
        for power, logarithm in (node.args, node.args[::-1]):
            if logarithm.op == "log":
                return call("pow", logarithm.args[0], power)
    if node.op == "where":
        return where(node.args[0], exponential(node.args[1]), exponential(node.args[2]))
    return None


def by_case(root: Expression, kept: frozenset[int] = frozenset()) -> Expression:
    """Return a short formula with one condition in it as a choice between two formulas.

    Choices in `kept`, by id, stand by themselves and stay where they are.
    """
    if root.op == "where":
        condition, a, b = root.args
        return where(condition, by_case(a, kept), by_case(b, kept))
    choices = _outermost(root, kept)
    conditions = {id(c.args[0]) for c in choices}
    if len(conditions) != 1 or _leaves(root, frozenset(id(c) for c in choices)) > _HOISTED:
        return root
    condition = choices[0].args[0]

    def branch(i: int) -> Expression:
        taken = substitute([root], lambda n, args: args[i] if _asks(n, condition) else None)
        return by_case(taken[0], kept)

    return where(condition, branch(1), branch(2))


def _asks(node: Expression, condition: Expression) -> bool:
    return node.op == "where" and node.args[0] is condition


def _outermost(root: Expression, kept: frozenset[int]) -> list[Expression]:
    found, stack = [], [root]
    while stack:
        node = stack.pop()
        if id(node) in kept:
            continue
        if node.op == "where":
            found.append(node)
        else:
            stack += node.args
    return found


def shared_choices(roots: Sequence[Expression], named: Mapping[int, str]) -> frozenset[int]:
    """Return the choices with a name, by id, that several formulas use."""
    below = [{id(n): n for n in topological([root])} for root in roots]
    choices = {i for found in below for i, n in found.items() if n.op == "where" and i in named}
    return frozenset(i for i in choices if sum(i in found for found in below) > _COPIED)


def _leaves(root: Expression, closed: frozenset[int]) -> int:
    if id(root) in closed or not root.args:
        return 1
    return sum(_leaves(a, closed) for a in root.args)


def pieces(roots: Sequence[Expression], named: Mapping[int, str]) -> dict[int, Expression]:
    """Return the parts of the formulas that should stand by themselves, arguments first.

    Parameters
    ----------
    roots : sequence of Expression
        All formulas of a model.
    named : mapping of int to str
        Names, by id of a node, that the author gave; other pieces have none.
    """
    found = _cut(roots, named, frozenset())
    crowded = _crowded([*roots, *found.values()], frozenset(found))
    return _cut(roots, named, crowded) if crowded else found


def _cut(
    roots: Sequence[Expression], named: Mapping[int, str], crowded: frozenset[int]
) -> dict[int, Expression]:
    uses = _uses(roots)
    tops = {id(n) for root in roots for n in _chain(root)}
    leaves: dict[int, int] = {}
    found: dict[int, Expression] = {}
    for node in topological(roots):
        size = sum(leaves[id(a)] for a in node.args) if node.args else 1
        key = id(node)
        least = _CROWDED if key in crowded else _UNNAMED
        if node.op not in ("const", "symbol", *LOGICAL) and _stands_alone(
            node, size, uses[key], least, has_name=key in named, top=key in tops
        ):
            found[key] = node
            size = 1
        leaves[key] = size
    return found


def _stands_alone(
    node: Expression, size: int, uses: int, least: int, *, has_name: bool, top: bool
) -> bool:
    if top:  # a formula of its own already, unless others use it as well
        return uses > 1 and size >= _NAMED_TWICE and has_name
    if node.op == "where":
        return True
    if has_name:
        return size >= (_NAMED_TWICE if uses > 1 else _NAMED_ONCE)
    return uses > 1 and size >= least


def _crowded(roots: Sequence[Expression], found: frozenset[int]) -> frozenset[int]:
    """Return the nodes, by id, of terms that are too long for a line."""
    inside: set[int] = set()
    for root in roots:
        for _, term in signed(root, dict.fromkeys(found, "")):
            if _leaves(term, found - {id(term)}) > _TOO_LONG:
                inside |= {id(n) for n in topological([term])}
    return frozenset(inside)


def _chain(root: Expression) -> Iterable[Expression]:
    """Yield the root and, of a choice, the formulas of the cases."""
    yield root
    if root.op == "where":
        yield from _chain(root.args[1])
        yield from _chain(root.args[2])


def _uses(roots: Sequence[Expression]) -> dict[int, int]:
    uses: dict[int, int] = {}
    for node in topological(roots):
        uses.setdefault(id(node), 0)
        for a in node.args:
            uses[id(a)] = uses.get(id(a), 0) + 1
    for root in roots:
        uses[id(root)] += 1
    return uses
