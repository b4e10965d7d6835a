"""Equations as data: expressions that can be evaluated, differentiated and printed as code.

A model's equations are ordinary Python. Called with :class:`Expression` values instead of
numbers they return expressions; from these come the derivatives and the compiled code.
Equal expressions are one object, so that a sub-expression is computed only once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from scipy import special

from cart_pkpd._core.errors import ModelError

_INTERNED: WeakValueDictionary[tuple[Any, ...], Expression] = WeakValueDictionary()
_LARGEST_PRODUCT = 4
COMPARISONS = frozenset(("lt", "le"))
LOGICAL = frozenset((*COMPARISONS, "and", "or", "not"))


class Expression:
    """A node of a formula: an operation and its arguments, a symbol or a number.

    Attributes
    ----------
    op : str
        ``"const"``, ``"symbol"`` or a key of `FUNCTIONS`.
    args : tuple of Expression
        Arguments, empty for symbols and numbers.
    value : float or str
        The number or the symbol's name; empty for operations.
    """

    __slots__ = ("__weakref__", "args", "op", "value")

    op: str
    args: tuple[Expression, ...]
    value: float | str

    def __repr__(self) -> str:
        return text(self)

    # Equal expressions are the same object; comparing values would silently give False.
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        raise ModelError(
            f"equations cannot compare with == ({self!r}); use < or <= inside where(...)."
        )

    def __bool__(self) -> bool:
        raise ModelError(
            f"equations cannot branch on {self!r} with if, and, or, min or max; use "
            "models.math.where(condition, a, b), minimum(a, b) or maximum(a, b)."
        )

    def __float__(self) -> float:
        raise ModelError(
            f"{self!r} has no value while equations are read; use functions of models.math "
            "(exp, log, sqrt …) or NumPy instead of Python's math module."
        )

    __int__ = __index__ = __float__

    def __iter__(self) -> Any:
        raise ModelError(f"{self!r} is one number, not a sequence.")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        name = _UFUNCS.get(ufunc.__name__)
        if method != "__call__" or kwargs or name is None:
            raise ModelError(
                f"numpy.{ufunc.__name__} cannot be used in equations; known are: "
                f"{', '.join(sorted(_UFUNCS))}."
            )
        return name(*inputs)

    def __add__(self, other: Any) -> Expression:
        return add(self, other)

    def __radd__(self, other: Any) -> Expression:
        return add(other, self)

    def __sub__(self, other: Any) -> Expression:
        return sub(self, other)

    def __rsub__(self, other: Any) -> Expression:
        return sub(other, self)

    def __mul__(self, other: Any) -> Expression:
        return mul(self, other)

    def __rmul__(self, other: Any) -> Expression:
        return mul(other, self)

    def __truediv__(self, other: Any) -> Expression:
        return div(self, other)

    def __rtruediv__(self, other: Any) -> Expression:
        return div(other, self)

    def __pow__(self, other: Any) -> Expression:
        return power(self, other)

    def __rpow__(self, other: Any) -> Expression:
        return power(other, self)

    def __neg__(self) -> Expression:
        return neg(self)

    def __pos__(self) -> Expression:
        return self

    def __abs__(self) -> Expression:
        return call("abs", self)

    def __mod__(self, other: Any) -> Expression:
        raise ModelError(
            f"equations cannot take remainders or whole parts ({self!r}): these jump at times "
            "that are not declared. Give a periodic change as a models.Input."
        )

    __rmod__ = __floordiv__ = __rfloordiv__ = __divmod__ = __mod__

    def __lt__(self, other: Any) -> Expression:
        return call("lt", self, other)

    def __le__(self, other: Any) -> Expression:
        return call("le", self, other)

    def __gt__(self, other: Any) -> Expression:
        return call("lt", other, self)

    def __ge__(self, other: Any) -> Expression:
        return call("le", other, self)

    def __and__(self, other: Any) -> Expression:
        return call("and", self, other)

    def __or__(self, other: Any) -> Expression:
        return call("or", self, other)

    def __invert__(self) -> Expression:
        return call("not", self)


def _node(op: str, args: tuple[Expression, ...], value: float | str = "") -> Expression:
    key = (op, value, *(id(a) for a in args))
    found = _INTERNED.get(key)
    if found is None:
        found = object.__new__(Expression)
        found.op, found.args, found.value = op, args, value
        _INTERNED[key] = found
    return found


def constant(value: float) -> Expression:
    """Return a number as an expression."""
    return _node("const", (), float(value) + 0.0)  # -0.0 and 0.0 are one number


def symbol(name: str) -> Expression:
    """Return the symbol called `name`."""
    return _node("symbol", (), name)


def as_expression(value: Any) -> Expression:
    """Return a number or expression as an expression.

    Raises
    ------
    ModelError
        For anything else, or a number that is not finite.
    """
    if isinstance(value, Expression):
        return value
    if isinstance(value, (bool, np.bool_)):
        return constant(float(value))
    if isinstance(value, (int, float, np.integer, np.floating)):
        if not np.isfinite(value):
            raise ModelError(f"an equation contains {value!r}, which is not a finite number.")
        return constant(float(value))
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return as_expression(value.item())
    raise ModelError(
        f"an equation gave {value!r} ({type(value).__name__}) where a number or a formula of "
        "states and parameters is needed."
    )


def is_constant(x: Expression, value: float | None = None) -> bool:
    """Return True for a number, or for this number."""
    return x.op == "const" and (value is None or x.value == value)


def _number(x: Expression) -> float:
    return float(x.value)


def _folded(op: str, args: tuple[Expression, ...]) -> Expression | None:
    """Return the number that an operation on numbers gives, unless it is not finite."""
    if not all(a.op == "const" for a in args):
        return None
    with np.errstate(all="ignore"):
        value = float(FUNCTIONS[op].evaluate(*(_number(a) for a in args)))
    return constant(value) if np.isfinite(value) else None


def call(op: str, *args: Any) -> Expression:
    """Return the operation `op` of `FUNCTIONS` on the arguments."""
    given = tuple(as_expression(a) for a in args)
    folded = _folded(op, given)
    return _node(op, given) if folded is None else folded


def add(a: Any, b: Any) -> Expression:
    """Return a + b."""
    a, b = as_expression(a), as_expression(b)
    if is_constant(a, 0.0):
        return b
    if is_constant(b, 0.0):
        return a
    if b.op == "neg":
        return sub(a, b.args[0])
    return call("add", a, b)


def sub(a: Any, b: Any) -> Expression:
    """Return a - b."""
    a, b = as_expression(a), as_expression(b)
    if is_constant(b, 0.0):
        return a
    if is_constant(a, 0.0):
        return neg(b)
    if a is b:
        return constant(0.0)
    if b.op == "neg":
        return add(a, b.args[0])
    return call("sub", a, b)


def mul(a: Any, b: Any) -> Expression:
    """Return a * b."""
    a, b = as_expression(a), as_expression(b)
    for one, other in ((a, b), (b, a)):
        if is_constant(one, 0.0):
            return one
        if is_constant(one, 1.0):
            return other
        if is_constant(one, -1.0):
            return neg(other)
        if one.op == "neg":
            return neg(mul(one.args[0], other))
    return call("mul", a, b)


def div(a: Any, b: Any) -> Expression:
    """Return a / b."""
    a, b = as_expression(a), as_expression(b)
    if is_constant(b, 0.0):
        raise ModelError(f"an equation divides {a!r} by zero.")
    if is_constant(a, 0.0) or is_constant(b, 1.0):
        return a
    if a.op == "neg":
        return neg(div(a.args[0], b))
    return call("div", a, b)


def neg(a: Any) -> Expression:
    """Return -a."""
    a = as_expression(a)
    return a.args[0] if a.op == "neg" else call("neg", a)


def power(a: Any, b: Any) -> Expression:
    """Return a ** b; small whole powers become products."""
    a, b = as_expression(a), as_expression(b)
    if b.op == "const" and _number(b).is_integer() and abs(_number(b)) <= _LARGEST_PRODUCT:
        n = int(_number(b))
        if n == 0:
            return constant(1.0)
        product = a
        for _ in range(abs(n) - 1):
            product = mul(product, a)
        return product if n > 0 else div(1.0, product)
    return call("pow", a, b)


def where(condition: Any, a: Any, b: Any) -> Expression:
    """Return `a` where the condition holds, else `b`."""
    condition, a, b = (as_expression(x) for x in (condition, a, b))
    if condition.op == "const":
        return a if _number(condition) else b
    if condition.op not in LOGICAL:
        raise ModelError(f"the condition of where(...) is {condition!r}; give a comparison.")
    return a if a is b else _node("where", (condition, a, b))


@dataclass(frozen=True)
class Function:
    """An operation: how to compute it, its derivatives and its code.

    Attributes
    ----------
    evaluate : callable
        On numbers and arrays.
    code : str
        Python with ``{0}``, ``{1}`` … for the arguments.
    slopes : tuple of callable
        For each argument, from the operation itself to the derivative; None where it is 0.
    """

    evaluate: Callable[..., Any]
    code: str
    slopes: tuple[Callable[[Expression], Expression] | None, ...] = ()


def _one(value: float) -> Callable[[Expression], Expression]:
    return lambda f: constant(value)


def _power_by_base(f: Expression) -> Expression:
    base, exponent = f.args
    slope = mul(exponent, power(base, sub(exponent, 1.0)))
    if exponent.op == "const" and _number(exponent).is_integer():
        return slope
    # At 0 the slope of a power below 1 is infinite; times a sensitivity of 0 that would be NaN.
    return where(call("lt", 0.0, base), slope, 0.0)


def _power_by_exponent(f: Expression) -> Expression:
    base = f.args[0]
    positive = call("lt", 0.0, base)
    return where(positive, mul(f, call("log", where(positive, base, 1.0))), 0.0)


FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        "add": Function(np.add, "({0} + {1})", (_one(1.0), _one(1.0))),
        "sub": Function(np.subtract, "({0} - {1})", (_one(1.0), _one(-1.0))),
        "mul": Function(np.multiply, "({0} * {1})", (lambda f: f.args[1], lambda f: f.args[0])),
        "div": Function(
            np.divide,
            "({0} / {1})",
            (lambda f: div(1.0, f.args[1]), lambda f: neg(div(f, f.args[1]))),
        ),
        "neg": Function(np.negative, "(-{0})", (_one(-1.0),)),
        "pow": Function(
            np.power,
            "({0} ** {1})",
            (_power_by_base, _power_by_exponent),
        ),
        "exp": Function(np.exp, "math.exp({0})", (lambda f: f,)),
        "log": Function(np.log, "math.log({0})", (lambda f: div(1.0, f.args[0]),)),
        "log1p": Function(np.log1p, "math.log1p({0})", (lambda f: div(1.0, add(1.0, f.args[0])),)),
        "expm1": Function(np.expm1, "math.expm1({0})", (lambda f: call("exp", f.args[0]),)),
        "sqrt": Function(np.sqrt, "math.sqrt({0})", (lambda f: div(0.5, f),)),
        "abs": Function(
            np.abs, "abs({0})", (lambda f: where(call("le", 0.0, f.args[0]), 1.0, -1.0),)
        ),
        "sin": Function(np.sin, "math.sin({0})", (lambda f: call("cos", f.args[0]),)),
        "cos": Function(np.cos, "math.cos({0})", (lambda f: neg(call("sin", f.args[0])),)),
        "tanh": Function(np.tanh, "math.tanh({0})", (lambda f: sub(1.0, mul(f, f)),)),
        "sigmoid": Function(
            special.expit, "(0.5 * (1.0 + math.tanh(0.5 * {0})))", (lambda f: mul(f, sub(1.0, f)),)
        ),
        "log_ndtr": Function(
            special.log_ndtr, "log_ndtr({0})", (lambda f: call("mills", f.args[0]),)
        ),
        "mills": Function(
            lambda x: np.sqrt(2.0 / np.pi) / special.erfcx(-np.asarray(x) / np.sqrt(2.0)),
            "mills({0})",
            (lambda f: neg(mul(f, add(f.args[0], f))),),
        ),
        "minimum": Function(
            np.minimum,
            "min({0}, {1})",
            (
                lambda f: where(call("le", f.args[0], f.args[1]), 1.0, 0.0),
                lambda f: where(call("le", f.args[0], f.args[1]), 0.0, 1.0),
            ),
        ),
        "maximum": Function(
            np.maximum,
            "max({0}, {1})",
            (
                lambda f: where(call("le", f.args[1], f.args[0]), 1.0, 0.0),
                lambda f: where(call("le", f.args[1], f.args[0]), 0.0, 1.0),
            ),
        ),
        "where": Function(
            np.where,
            "({1} if {0} else {2})",
            (
                None,
                lambda f: where(f.args[0], 1.0, 0.0),
                lambda f: where(f.args[0], 0.0, 1.0),
            ),
        ),
        "lt": Function(np.less, "({0} < {1})", (None, None)),
        "le": Function(np.less_equal, "({0} <= {1})", (None, None)),
        "and": Function(np.logical_and, "({0} and {1})", (None, None)),
        "or": Function(np.logical_or, "({0} or {1})", (None, None)),
        "not": Function(np.logical_not, "(not {0})", (None,)),
    }
)

_UFUNCS: Mapping[str, Callable[..., Expression]] = MappingProxyType(
    {
        "add": add, "subtract": sub, "multiply": mul, "divide": div, "true_divide": div,
        "power": power, "negative": neg, "less": lambda a, b: call("lt", a, b),
        "less_equal": lambda a, b: call("le", a, b), "greater": lambda a, b: call("lt", b, a),
        "greater_equal": lambda a, b: call("le", b, a), "absolute": lambda a: call("abs", a),
        "square": lambda a: mul(a, a), "expit": lambda a: call("sigmoid", a),
        "logical_and": lambda a, b: call("and", a, b),
        "logical_or": lambda a, b: call("or", a, b), "logical_not": lambda a: call("not", a),
        **{
            name: (lambda op: lambda *a: call(op, *a))(name)
            for name in (
                "exp", "log", "log1p", "expm1", "sqrt", "sin", "cos", "tanh", "minimum", "maximum",
            )
        },
    }
)  # fmt: skip


def topological(roots: Iterable[Expression]) -> list[Expression]:
    """Return every node below the roots, arguments before what uses them."""
    order: list[Expression] = []
    seen: set[int] = set()
    stack = [(r, False) for r in reversed(list(roots))]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((a, False) for a in reversed(node.args) if id(a) not in seen)
    return order


def evaluate(roots: Sequence[Expression], values: Mapping[str, Any]) -> list[Any]:
    """Return the values of the roots.

    Parameters
    ----------
    roots : sequence of Expression
        What to compute.
    values : mapping of str to float or ndarray
        A value for every symbol, broadcast against each other.
    """
    found: dict[int, Any] = {}
    with np.errstate(all="ignore"):
        for node in topological(roots):
            if node.op == "const":
                found[id(node)] = node.value
            elif node.op == "symbol":
                found[id(node)] = values[str(node.value)]
            else:
                arguments = (found[id(a)] for a in node.args)
                found[id(node)] = FUNCTIONS[node.op].evaluate(*arguments)
    return [found[id(r)] for r in roots]


def symbols_of(roots: Iterable[Expression]) -> set[str]:
    """Return the names of the symbols that the roots depend on."""
    return {str(n.value) for n in topological(roots) if n.op == "symbol"}


def substitute(
    roots: Sequence[Expression], replace: Callable[[Expression, tuple[Expression, ...]], Any]
) -> list[Expression]:
    """Return the roots rebuilt with `replace(node, new arguments)`; None keeps the operation."""
    made: dict[int, Expression] = {}
    for node in topological(roots):
        args = tuple(made[id(a)] for a in node.args)
        new = replace(node, args)
        if new is None:
            same = all(a is b for a, b in zip(args, node.args, strict=True))
            new = node if same else rebuild(node.op, args)
        made[id(node)] = new
    return [made[id(r)] for r in roots]


_SIMPLIFYING: Mapping[str, Callable[..., Expression]] = MappingProxyType(
    {"add": add, "sub": sub, "mul": mul, "div": div, "neg": neg, "pow": power, "where": where}
)


def rebuild(op: str, args: tuple[Expression, ...]) -> Expression:
    """Return the operation on other arguments, simplified."""
    return _SIMPLIFYING[op](*args) if op in _SIMPLIFYING else call(op, *args)


def derivative(root: Expression, by: Expression) -> Expression:
    """Return d root / d by.

    A branch's derivative is taken within the branch; what a jump between branches adds is
    the solver's business (see the jump terms of the sensitivities at switches).
    """
    return directional([root], {str(by.value): constant(1.0)})[0]


def directional(roots: Sequence[Expression], along: Mapping[str, Expression]) -> list[Expression]:
    """Return the derivatives of the roots in the direction given by symbol."""
    zero = constant(0.0)
    slope: dict[int, Expression] = {}
    for node in topological(roots):
        if node.op == "symbol":
            slope[id(node)] = along.get(str(node.value), zero)
        elif node.op == "where":
            condition, a, b = node.args
            slope[id(node)] = where(condition, slope[id(a)], slope[id(b)])
        else:
            slope[id(node)] = _chain(node, [slope[id(a)] for a in node.args])
    return [slope[id(r)] for r in roots]


def _chain(node: Expression, inner: Sequence[Expression]) -> Expression:
    total = constant(0.0)
    if node.args:
        for by, slope in zip(FUNCTIONS[node.op].slopes, inner, strict=True):
            if by is not None and not is_constant(slope, 0.0):
                total = add(total, mul(by(node), slope))
    return total


def text(root: Expression) -> str:
    """Return the formula as it would be written, for messages."""
    if root.op == "const":
        return f"{_number(root):g}"
    if root.op == "symbol":
        return str(root.value).replace("p_", "p.", 1).replace("y_", "y.", 1)
    inner = [text(a) for a in root.args]
    written = FUNCTIONS[root.op].code.format(*inner).replace("math.", "")
    if root.op == "sigmoid":
        written = f"expit({inner[0]})"
    if root.op == "where":
        written = f"where({', '.join(inner)})"
    return written if len(written) <= 120 else f"{root.op}(…)"
