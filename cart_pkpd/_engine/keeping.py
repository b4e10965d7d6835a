"""Parts of formulas that stay the same for many evaluations, computed once for all of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from cart_pkpd._engine.expression import Expression, mul, substitute, symbol, topological


def kept(
    roots: Sequence[Expression], known: Collection[str]
) -> tuple[list[Expression], list[Expression]]:
    """Return formulas with symbols ``kept_<i>`` for what depends on some symbols alone, and that.

    Parameters
    ----------
    roots : sequence of Expression
        The formulas.
    known : collection of str
        Symbols whose values stay.

    Returns
    -------
    roots : list of Expression
        The formulas in terms of what is kept.
    parts : list of Expression
        What is kept; no part of it depends on another symbol, and it is as large as can be.
    """
    order = topological(roots)
    fixed: dict[int, bool] = {}
    for node in order:
        if node.op == "symbol":
            fixed[id(node)] = str(node.value) in known
        else:
            fixed[id(node)] = all(fixed[id(a)] for a in node.args)
    outside = [a for node in order if not fixed[id(node)] for a in node.args]
    edge = {id(n): n for n in (*outside, *roots) if fixed[id(n)] and n.args}
    names = {key: symbol(f"kept_{i}") for i, key in enumerate(edge)}
    return substitute(roots, lambda node, _: names.get(id(node))), list(edge.values())


def per_sigma(roots: Sequence[Expression], sigmas: Mapping[str, int]) -> list[Expression]:
    """Return formulas with symbols for ln and one over residual parameters, and ln of the records.

    Parameters
    ----------
    roots : sequence of Expression
        Likelihoods of a record and their derivatives.
    sigmas : mapping of str to int
        Number of each residual parameter by its symbol: ``ln_own<n>`` and ``per_own<n>``.

    Returns
    -------
    list of Expression
        In which ``ln_dv`` and ``ln_low`` stand for the logarithms of a record and its lower limit.
    """
    logs = {"dv": symbol("ln_dv"), "low": symbol("ln_low")}
    logs |= {name: symbol(f"ln_own{n}") for name, n in sigmas.items()}

    def replace(node: Expression, args: tuple[Expression, ...]) -> Expression | None:
        last = str(args[-1].value) if args and args[-1].op == "symbol" else ""
        if node.op == "log" and last in logs:
            return logs[last]
        if node.op == "div" and last in sigmas:
            return mul(args[0], symbol(f"per_own{sigmas[last]}"))
        return None

    return substitute(roots, replace)
