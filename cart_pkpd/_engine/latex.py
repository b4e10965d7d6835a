r"""Formulas as LaTeX, and as plain text where there is no typesetting.

The LaTeX is what KaTeX and MathJax both read. ``rho`` becomes ``\rho``, ``kout`` ``k_{out}`` and
``il6`` ``\mathrm{IL6}``; other words stand upright.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from cart_pkpd._core.names import ENDPOINTS
from cart_pkpd._engine.terms import (
    Call,
    Cases,
    Number,
    Power,
    Product,
    Ratio,
    Relation,
    Sum,
    Symbol,
    Term,
    width,
)

_GREEK = frozenset(
    (
        "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa",
        "lambda", "mu", "nu", "xi", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi",
        "omega", "Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Upsilon", "Phi", "Psi",
        "Omega",
    )
)  # fmt: skip
_MEASURED = frozenset(k for k, e in ENDPOINTS.items() if e.kind in ("cytokine", "marker"))
_WHOLE: Mapping[str, str] = MappingProxyType({"car_cells": "\\mathrm{CAR\\ cells}"})
_INDICES = (
    "max|min|in|out|on|off|el|deg|inf|ss|lag|end|half|exp|kill|prod|loss|death|growth|syn|tot|ref|"
    "base|peak|dis|abs|cl|crit|inv|bar|neg|pos"
)
_KNOWN: Mapping[str, str] = MappingProxyType(
    {
        "cmax": "C_{max}", "vmax": "V_{max}", "emax": "E_{max}", "imax": "I_{max}", "fb": "F_{B}",
        "lag": "t_{lag}", "lam": "\\lambda", "eps": "\\varepsilon",
    }
)  # fmt: skip
_LETTER_INDEX = re.compile(rf"^([A-Za-z])({_INDICES})(\d*)$")
# "mub" is mu of b, but "pip" and "nut" are words.
_GREEK_INDEX = re.compile(
    f"^({'|'.join(sorted(_GREEK - {'nu', 'xi', 'pi'}))})([A-Za-z]|{_INDICES})$"
)
_SHORT = re.compile(r"^([A-Za-z])([A-Za-z])$|^(k)([A-Za-z]{2})$")
_TWO_LETTER_WORDS = frozenset(
    ("as", "at", "by", "do", "in", "is", "no", "of", "on", "so", "to", "up")
)
_CONCENTRATIONS = frozenset(("ec", "ic", "kc", "ed", "ld"))
_MARKER = re.compile(r"^(cd\d+|muc1|msln|s?bcma|asct)$")
_HALF = re.compile(r"^([a-z]{2})(\d+)([a-z]+)$")
_DIGITS = re.compile(r"^(.*?[A-Za-z])(\d+)$")
_WIDEST_EXPONENT = 26.0
_WIDEST_LINE = 92.0


def latex_name(name: str) -> str:
    r"""Return a name as LaTeX.

    Examples
    --------
    >>> latex_name("kout"), latex_name("il6_base"), latex_name("alpha"), latex_name("predator0")
    ('k_{out}', '\\mathrm{base}_{\\mathrm{IL6}}', '\\alpha', '\\mathrm{predator}_{0}')
    """
    if name in _WHOLE:
        return _WHOLE[name]
    head, *rest = [part for part in name.split("_") if part] or [name]
    owned = head in _MEASURED and rest and not rest[0].isdigit()
    if owned or (rest and _is_word_name(head) and _is_symbol_name(rest[0])):
        head, *rest = *rest, head  # "il6_base" is the base of IL-6, "toci_vmax" the Vmax of toci
    base, index = _head(head)
    indices = [*([index] if index else []), *(_index(part) for part in rest)]
    return f"{base}_{{{','.join(indices)}}}" if indices else base


def _is_word_name(word: str) -> bool:
    return len(word) > 2 and _head(word)[0].startswith("\\mathrm")


def _is_symbol_name(word: str) -> bool:
    """Return True for ``kout``, ``vmax``, ``km``, ``k`` and the like, not for words or indices."""
    if word in ("k", "q"):
        return True
    symbolic = len(word) > 1 and not word.isdigit() and word not in _INDICES.split("|")
    base, index = _head(word) if symbolic else ("", "")
    return bool(index) and (len(base) == 1 or word[:2] in _CONCENTRATIONS or word in _KNOWN)


def _head(word: str) -> tuple[str, str]:
    """Return the symbol and its index."""
    if word in _KNOWN:
        base, _, index = _KNOWN[word].partition("_")
        return base, index.strip("{}")
    if word in _MEASURED or _MARKER.match(word):
        return _index(word), ""
    if word in _GREEK:
        return f"\\{word}", ""
    if len(word) == 1:
        return word, ""
    if found := _LETTER_INDEX.match(word):
        return found[1], found[2] + (f",{found[3]}" if found[3] else "")
    if (found := _HALF.match(word)) and found[1] in _CONCENTRATIONS:
        return f"\\mathrm{{{found[1].upper()}}}", f"{found[2]},{_index(found[3])}"
    if found := _DIGITS.match(word):
        if found[1] in _CONCENTRATIONS:
            return f"\\mathrm{{{found[1].upper()}}}", found[2]
        inner, index = _head(found[1])
        return inner, f"{index},{found[2]}" if index else found[2]
    if found := _GREEK_INDEX.match(word):
        return f"\\{found[1]}", found[2]
    if (
        found := _SHORT.match(word)
    ) and word not in _TWO_LETTER_WORDS:  # "re" is r_e, "kex" is k_ex
        return found[1] or found[3], found[2] or found[4]
    return f"\\mathrm{{{word}}}", ""


def _index(word: str) -> str:
    """Return a word as an index: upright if it is one, italic for a letter."""
    if word in _MEASURED:
        label = ENDPOINTS[word].label.replace("-", "")
        for letter, command in (("γ", "gamma"), ("α", "alpha")):
            label = label.replace(letter, f"}}\\{command}\\mathrm{{")
        return f"\\mathrm{{{label}}}".replace("\\mathrm{}", "")
    if word in _GREEK:
        return f"\\{word}"
    if _MARKER.match(word):
        return f"\\mathrm{{{word.upper()}}}"
    if (found := _DIGITS.match(word)) and len(found[1]) > 1:
        return f"{_index(found[1])},{found[2]}"
    plain = len(word) == 1 or word.isdigit() or word in _INDICES.split("|")
    return word if plain else f"\\mathrm{{{word}}}"


def symbols(names: Iterable[str]) -> dict[str, str]:
    """Return LaTeX for each program symbol; names that would look alike are written out."""
    out: dict[str, str] = {}
    for name in names:
        plain = plain_name(name)
        made = latex_name(plain)
        if made in out.values():
            made = "\\mathrm{" + plain.replace("_", "\\_") + "}"
        out[name] = made
    return out


def _length(symbol: str) -> float:
    """Return about how wide a symbol is; what follows the first word is set small."""
    head, *rest = plain_name(symbol).split("_")
    return len(head) + 0.7 * sum(len(r) for r in rest)


def plain_name(symbol: str) -> str:
    """Return the name that the author gave to a program's symbol."""
    return re.sub(r"^[pyw]_", "", symbol)


@dataclass(frozen=True)
class Latex:
    """Writes terms as LaTeX.

    Attributes
    ----------
    symbols : mapping of str to str
        LaTeX of each symbol of the program.
    """

    symbols: Mapping[str, str] = field(default_factory=dict)

    def name(self, symbol: str) -> str:
        """Return a symbol."""
        return self.symbols.get(symbol) or latex_name(plain_name(symbol))

    def rate(self, state: str) -> str:
        """Return the time derivative of a state."""
        name = self.name(state)
        return (
            f"\\frac{{\\mathrm{{d}}{name if len(name) == 1 else f'\\,{name}'}}}{{\\mathrm{{d}}t}}"
        )

    def lines(self, term: Term) -> tuple[str, ...]:
        """Return a right-hand side, a long sum over several lines."""
        if not isinstance(term, Sum) or self._width(term) <= _WIDEST_LINE:
            return (self(term),)
        lines, used = [""], 0.0
        for i, (minus, part) in enumerate(term.terms):
            wide = self._width(part) + 3.0
            if i and used + wide > _WIDEST_LINE:
                lines.append("{}")
                used = 0.0
            lines[-1] += self._signed(i == 0, minus, part)
            used += wide
        return tuple(lines)

    def _width(self, term: Term) -> float:
        return width(term, {k: _length(k) for k in self.symbols})

    def __call__(self, term: Term) -> str:
        """Return a term."""
        if isinstance(term, Number):
            return latex_number(term.value)
        if isinstance(term, Symbol):
            return self.name(term.name)
        if isinstance(term, Sum):
            return "".join(self._signed(i == 0, m, t) for i, (m, t) in enumerate(term.terms))
        if isinstance(term, Product):
            return self._product(term)
        if isinstance(term, Ratio):
            return f"\\frac{{{self(term.top)}}}{{{self(term.bottom)}}}"
        if isinstance(term, Power):
            return self._power(term)
        if isinstance(term, Relation):
            return self._relation(term)
        if isinstance(term, Cases):
            return self._cases(term)
        return self._call(term)

    def _signed(self, first: bool, minus: bool, term: Term) -> str:
        inner = self(term)
        if isinstance(term, Sum | Relation):
            inner = _parenthesised(inner)
        if first:
            return f"-{inner}" if minus else inner
        return f" {'-' if minus else '+'} {inner}"

    def _product(self, term: Product) -> str:
        written = [self._factor(f) for f in term.factors]
        out = written[0]
        for before, after, left, right in zip(
            term.factors, term.factors[1:], written, written[1:], strict=False
        ):
            clear = isinstance(after, Number) or (_is_word(before, left) and _is_word(after, right))
            apart = left.endswith("\\right)") or right.startswith("\\left(")  # spaced already
            out += (" \\cdot " if clear else "" if apart else "\\,") + right
        return out

    def _factor(self, term: Term) -> str:
        inner = self(term)
        loose = isinstance(term, Sum | Relation | Cases)
        return _parenthesised(inner) if loose else inner

    def _power(self, term: Power) -> str:
        base = self(term.base)
        if not isinstance(term.base, Symbol | Number):
            base = _parenthesised(base)
        elif "_" in base or "{" in base:
            base = f"{{{base}}}"
        return f"{base}^{{{self(term.exponent)}}}"

    def _relation(self, term: Relation) -> str:
        if term.op in ("and", "or"):
            return f"{self(term.left)}\\ \\text{{{term.op}}}\\ {self(term.right)}"
        sign = {"<": "<", "≤": "\\leq", ">": ">", "≥": "\\geq"}[term.op]
        return f"{self(term.left)} {sign} {self(term.right)}"

    def _cases(self, term: Cases) -> str:
        rows = [
            f"{self(value)} & {'\\text{otherwise}' if when is None else self(when)}"
            for value, when in term.branches
        ]
        return "\\begin{cases}\n" + " \\\\\n".join(rows) + "\n\\end{cases}"

    def _call(self, term: Call) -> str:
        args = [self(a) for a in term.args]
        if term.name == "exp":
            low = not _has_fraction(term.args[0]) and self._width(term.args[0]) <= _WIDEST_EXPONENT
            return f"e^{{{args[0]}}}" if low else f"\\exp{_parenthesised(args[0])}"
        if term.name == "sqrt":
            return f"\\sqrt{{{args[0]}}}"
        if term.name == "abs":
            return f"\\left|{args[0]}\\right|"
        if term.name == "ln" and isinstance(term.args[0], Symbol):
            return f"\\ln {args[0]}"
        known = {"ln", "sin", "cos", "tanh", "min", "max"}
        word = {"Φ": "\\Phi", "not": "\\text{not}"}.get(term.name, f"\\mathrm{{{term.name}}}")
        return (
            f"\\{term.name}" * (term.name in known)
            + word * (term.name not in known)
            + _parenthesised(",\\ ".join(args))
        )


def _parenthesised(inner: str) -> str:
    return f"\\left({inner}\\right)"


def _is_word(term: Term, written: str) -> bool:
    """Return True for a symbol in upright letters, which must not touch another one."""
    core = term.base if isinstance(term, Power) else term
    return isinstance(core, Symbol) and written.lstrip("{").startswith("\\mathrm")


def _has_fraction(term: Term) -> bool:
    if isinstance(term, Ratio | Cases):
        return True
    if isinstance(term, Sum):
        return any(_has_fraction(t) for _, t in term.terms)
    if isinstance(term, Product):
        return any(_has_fraction(f) for f in term.factors)
    if isinstance(term, Power):
        return _has_fraction(term.base) or _has_fraction(term.exponent)
    return isinstance(term, Call) and any(_has_fraction(a) for a in term.args)


def latex_number(value: float) -> str:
    r"""Return a number: ``0.16``, ``2.5\times 10^{9}``, ``\ln 2``."""
    if math.isclose(value, math.log(2.0), rel_tol=1e-12):
        return "\\ln 2"
    lead, power = _scientific(value)
    if power is None:
        third = round(3.0 * value)  # 1/3 as an exponent of a volume
        exact = third % 3 and value < 1 and math.isclose(3.0 * value, third, rel_tol=1e-12)
        return f"{third}/3" if exact else lead
    return f"10^{{{power}}}" if lead == "1" else f"{lead}\\times 10^{{{power}}}"


def _scientific(value: float) -> tuple[str, int | None]:
    """Return digits and the power of ten, None where a plain number reads better."""
    if value == 0 or 1e-4 <= abs(value) < 1e6:
        return f"{value:.10g}", None
    lead, power = f"{value:.9e}".split("e")
    return f"{float(lead):.10g}", int(power)


@dataclass(frozen=True)
class Plain(Latex):
    """Writes terms as plain text, names as in the code."""

    def name(self, symbol: str) -> str:
        """Return a symbol."""
        return plain_name(symbol)

    def rate(self, state: str) -> str:
        """Return the time derivative of a state."""
        return f"d {self.name(state)} / dt"

    def lines(self, term: Term) -> tuple[str, ...]:
        """Return a right-hand side in one line."""
        return (self(term),)

    def __call__(self, term: Term) -> str:
        """Return a term."""
        if isinstance(term, Number):
            return "ln(2)" if latex_number(term.value) == "\\ln 2" else f"{term.value:.10g}"
        if isinstance(term, Ratio):
            return f"{self._factor(term.top)} / {self._under(term.bottom)}"
        return super().__call__(term)

    def _under(self, term: Term) -> str:
        inner = self(term)
        return f"({inner})" if isinstance(term, Sum | Product | Ratio | Cases) else inner

    def _signed(self, first: bool, minus: bool, term: Term) -> str:
        inner = f"({self(term)})" if isinstance(term, Sum | Relation | Cases) else self(term)
        if first:
            return f"-{inner}" if minus else inner
        return f" {'-' if minus else '+'} {inner}"

    def _product(self, term: Product) -> str:
        return " * ".join(self._factor(f, i) for i, f in enumerate(term.factors))

    def _factor(self, term: Term, place: int = 0) -> str:
        loose = isinstance(term, Sum | Relation | Cases) or (place and isinstance(term, Ratio))
        return f"({self(term)})" if loose else self(term)

    def _power(self, term: Power) -> str:
        base = self(term.base) if isinstance(term.base, Symbol | Number) else f"({self(term.base)})"
        simple = isinstance(term.exponent, Symbol | Number)
        return f"{base}^{self(term.exponent) if simple else f'({self(term.exponent)})'}"

    def _relation(self, term: Relation) -> str:
        return f"{self(term.left)} {term.op} {self(term.right)}"

    def _cases(self, term: Cases) -> str:
        rows = [
            f"{self(value)} {'otherwise' if when is None else f'if {self(when)}'}"
            for value, when in term.branches
        ]
        return "; ".join(rows)

    def _call(self, term: Call) -> str:
        return f"{term.name}({', '.join(self(a) for a in term.args)})"
