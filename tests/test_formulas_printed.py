"""Formulas as LaTeX and as plain text, and how symbols get their names.

Expected LaTeX is written by hand from the formulas, as they would be printed.
"""

import re

import numpy as np
import pytest

from cart_pkpd import models
from cart_pkpd._engine.expression import constant, evaluate, symbol, where
from cart_pkpd._engine.latex import Latex, Plain, latex_name, latex_number, symbols
from cart_pkpd._engine.readable import by_case, exponential, pieces, simplified
from cart_pkpd._engine.terms import arrange
from cart_pkpd.models import OdeModel, Positive, State, math

a, b, c, k = (symbol(f"p_{n}") for n in "abck")
rho, kout, tmax, base = (symbol(f"p_{n}") for n in ("rho", "kout", "tmax", "base"))
E, T, cells = symbol("y_E"), symbol("y_T"), symbol("y_cells")
t = symbol("t")
POSITIVE = frozenset(("p_a", "p_b", "p_c", "p_k", "p_rho", "p_kout", "p_tmax"))


def latex(root):
    """Return a formula as LaTeX, without pieces."""
    return Latex()(arrange(simplified([root], POSITIVE)[0], {}))


def plain(root):
    return Plain()(arrange(simplified([root], POSITIVE)[0], {}))


def hill(x, half, n=1.0):
    return math.hill(x, half, n)


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        (lambda: a - b - c, r"a - b - c"),
        (lambda: a - (b - c), r"a - b + c"),
        (lambda: a + -1.0 * b, r"a - b"),
        (lambda: -a + b, r"b - a"),
        (lambda: a + -2.5, r"a - 2.5"),
        (lambda: -(a + b), r"-a - b"),
        (lambda: E * rho * 2.0, r"2\,\rho\,E"),
        (lambda: E * (a - b), r"\left(a - b\right)E"),
        (lambda: -a * E - -b * T, r"b\,T - a\,E"),
        (lambda: cells * base, r"\mathrm{base} \cdot \mathrm{cells}"),
        (lambda: a * a * b, r"a^{2}\,b"),
        (lambda: (a + b) ** 2, r"\left(a + b\right)^{2}"),
        (lambda: a**-2, r"\frac{1}{a^{2}}"),
        (lambda: kout**b, r"{k_{out}}^{b}"),
        (lambda: a / b * E, r"\frac{a}{b}\,E"),
        (lambda: a / b / c, r"\frac{a}{b\,c}"),
        (lambda: a / (b / c), r"\frac{a\,c}{b}"),
        (lambda: -(a / b) * E, r"-\frac{a}{b}\,E"),
        (lambda: E * (1.0 / b) * a, r"\frac{a}{b}\,E"),
        (lambda: a * hill(E, k), r"a\,\frac{E}{k + E}"),
        (lambda: hill(E, k, c), r"\frac{E^{c}}{k^{c} + E^{c}}"),
        (lambda: hill(E, k, 2.0), r"\frac{E^{2}}{k^{2} + E^{2}}"),
        (lambda: hill(E / T, k), r"\frac{E}{k\,T + E}"),
        (lambda: math.exp(-rho * t), r"e^{-\rho\,t}"),
        (lambda: math.exp(a / b), r"\exp\left(\frac{a}{b}\right)"),
        (lambda: math.log(E), r"\ln E"),
        (lambda: math.log1p(-a), r"\ln\left(1 - a\right)"),
        (lambda: math.expm1(a), r"e^{a} - 1"),
        (lambda: math.sqrt(a), r"\sqrt{a}"),
        (lambda: abs(a - b), r"\left|a - b\right|"),
        (lambda: math.logaddexp(a, b), r"\ln\left(e^{a} + e^{b}\right)"),
        (lambda: math.log1mexp(-a * t), r"\ln\left(1 - e^{-a\,t}\right)"),
        (lambda: math.expit(a), r"\frac{1}{1 + e^{-a}}"),
        (lambda: math.minimum(math.minimum(a, b), c), r"\min\left(a,\ b,\ c\right)"),
        (lambda: math.maximum(a * b, 0.0), r"a\,b"),  # both are above 0
        (lambda: math.maximum(a - b, 0.0), r"\max\left(a - b,\ 0\right)"),
        (lambda: E * 2.5e9, r"2.5\times 10^{9}\,E"),
        (lambda: E * 1e-6, r"10^{-6}\,E"),
        (lambda: math.exp(a * math.log(b / c)), r"\left(\frac{b}{c}\right)^{a}"),
        (lambda: math.exp(-a * math.log(b / c) + k), r"\left(\frac{c}{b}\right)^{a}\,e^{k}"),
        (lambda: math.exp(np.log(2.0) * a), "2^{a}"),
        (lambda: math.exp(-np.log(2.0) * a), "2^{-a}"),
        (lambda: np.log(2.0) / a, r"\frac{\ln 2}{a}"),
    ],
)
def test_formulas_are_written_as_they_are_printed(formula, expected):
    assert latex(formula()) == expected


def test_a_choice_is_written_as_cases():
    made = by_case(where(t < tmax, rho, -a) * E)
    assert latex(made) == (
        "\\begin{cases}\n\\rho\\,E & t < t_{max} \\\\\n-a\\,E & t \\geq t_{max}\n\\end{cases}"
    )
    assert plain(made) == "rho * E if t < tmax; -a * E if t ≥ tmax"


def test_three_phases_are_written_as_intervals():
    made = by_case(where(t < tmax, where(t < k, 0.0, rho), -a) * E)
    rows = latex(made).splitlines()[1:-1]
    assert rows == [
        r"0 & t < t_{max}\ \text{and}\ t < k \\",
        r"\rho\,E & k \leq t < t_{max} \\",
        r"-a\,E & t \geq t_{max}",
    ]


def test_a_chain_of_choices_ends_with_otherwise():
    made = where(t < k, a, where(t < tmax, b, c))
    assert r"b & k \leq t < t_{max} \\" in latex(made)
    assert r"c & \text{otherwise}" in latex(made)


def test_the_exponential_takes_logarithms_away():
    """exp(ln a - ρt + ln(e^b + e^c)) is a (e^b + e^c) e^(-ρt)."""
    level = math.log(a) - rho * t + math.logaddexp(b, c)
    made = exponential(simplified([level], POSITIVE)[0])
    assert latex(made) == r"a\left(e^{b} + e^{c}\right)e^{-\rho\,t}"
    assert latex(exponential(math.log1p(-a) - b * t)) == r"\left(1 - a\right)e^{-b\,t}"
    assert latex(exponential(a - math.log(b))) == r"\frac{1}{b}\,e^{a}"
    assert (
        latex(*simplified([math.logaddexp(0.0, t - k)], POSITIVE))
        == r"\ln\left(1 + e^{t - k}\right)"
    )


def test_plain_text_says_the_same():
    assert (
        plain(a / (b * c) * E) == "a / (b * c) * E" or plain(a / (b * c) * E) == "(a / (b * c)) * E"
    )
    assert plain(a / b) == "a / b"
    assert plain(a * (b / c)) == "a * (b / c)"
    assert plain((a + b) ** 2 * E) == "(a + b)^2 * E"
    assert plain(math.exp(-rho * t)) == "exp(-rho * t)"


@pytest.mark.parametrize("seed", range(3))
def test_plain_text_computes_the_formula(seed):
    """Read back as Python, the text of every formula has the value of the formula."""
    formulas = [
        a - (b - c) / (a * b), -(a + b) * E / (T * (k + E)), hill(E / T, k), hill(E, k, c), a**-2,
        hill(E, k, 3.0) * rho, (a / b) / (c / k), -(a / b) * -(c / k), a / b * (c / k) * E,
        math.exp(-(a - b) * t) * (a - b - (c - a)), (a + b) ** c, ((a + b) ** c) ** k, 1.0 / a / b,
        math.log1p(a) * math.sqrt(b), math.minimum(a, b - c) * math.expit(a / b), E * (1.0 / b) * a,
        math.exp(a) ** 2, math.expm1(a) * 2.0, (a * E) ** 2, -((a - b) ** 2), (a / b) ** 2,
    ]  # fmt: skip
    rng = np.random.default_rng(seed)
    values = {f"p_{n}": rng.uniform(0.5, 2) for n in ("a", "b", "c", "k", "rho", "kout", "tmax")}
    values |= {"y_E": 1.3, "y_T": 0.7, "t": 2.0}
    names = {re.sub("^[py]_", "", n): v for n, v in values.items()}
    functions = {"exp": np.exp, "ln": np.log, "sqrt": np.sqrt, "min": min, "max": max}
    for formula, expected in zip(formulas, evaluate(formulas, values), strict=True):
        written = plain(formula).replace("^", "**")
        assert eval(written, functions, names) == pytest.approx(float(expected), rel=1e-12), written


def test_pieces_are_cut_where_they_are_used_twice_or_have_a_name():
    shared = a * E / (b + E) + c * E / (k + E)  # 8 leaves, used twice
    roots = [shared - T, shared * rho]
    assert list(pieces(roots, {})) == [id(shared)]
    named = a * E / b  # 3 leaves: short, but the author gave it a name and uses it twice
    assert list(pieces([named - T, named * rho], {id(named): "flow"})) == [id(named)]
    assert not pieces([named - T, named * rho], {})
    assert not pieces([named - T], {id(named): "flow"})


def test_a_shared_formula_is_written_once():
    class Chain(OdeModel):
        x = State("1")
        r = Positive(0.5, "1/day")
        s = Positive(0.5, "1/day")

        def initial(self, p):
            return {"x": 1.0}

        def rhs(self, t, y, p):
            level = y.x
            for _ in range(12):  # 2^12 copies if it were written out
                level = level / (1.0 + level * level + level)
            return {"x": p.r * level - p.s * y.x}

        def observe(self, t, y, p):
            return {"transgene": y.x}

    made = models.describe(Chain()).equations
    assert sum(len(e.latex) for e in made) < 3000
    assert any(e.about == "a_1" for e in made)


def test_pieces_without_a_name_are_not_called_like_a_parameter():
    class Numbered(OdeModel):
        x = State("1")
        a1 = Positive(0.5, "1/day")

        def initial(self, p):
            return {"x": 1.0}

        def rhs(self, t, y, p):
            def shared():
                return p.a1 * y.x / (1.0 + y.x / (2.0 + y.x / (3.0 + y.x)))

            return {"x": shared() - shared() * y.x}

        def observe(self, t, y, p):
            return {"transgene": y.x}

    made = models.describe(Numbered()).equations
    assert {e.about for e in made if e.kind == "piece"} == {"w_1"}


def test_long_sums_take_several_lines():
    long = constant(0.0)
    for i in range(12):
        long = long + symbol(f"p_rate_of_number_{i}") * symbol("y_cells")
    lines = Latex({f"p_rate_of_number_{i}": "x" for i in range(12)}).lines(arrange(long, {}))
    assert len(lines) > 1
    assert all(line.startswith("{} + ") for line in lines[1:])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rho", r"\rho"),
        ("kout", "k_{out}"),
        ("tmax", "t_{max}"),
        ("cmax", "C_{max}"),
        ("il6", r"\mathrm{IL6}"),
        ("ifng", r"\mathrm{IFN}\gamma"),
        ("il6_kout", r"k_{out,\mathrm{IL6}}"),
        ("kout_il6", r"k_{out,\mathrm{IL6}}"),
        ("il6_0", r"\mathrm{IL6}_{0}"),
        ("k12", "k_{12}"),
        ("ec50", r"\mathrm{EC}_{50}"),
        ("alpha_e", r"\alpha_{e}"),
        ("tumour0", r"\mathrm{tumour}_{0}"),
        ("re", "r_{e}"),
        ("kex", "k_{ex}"),
        ("mub", r"\mu_{b}"),
        ("kappainv", r"\kappa_{inv}"),
        ("ec50rho", r"\mathrm{EC}_{50,\rho}"),
        ("to_memory", r"\mathrm{to}_{\mathrm{memory}}"),
        ("b_cells0", r"b_{\mathrm{cells},0}"),
        ("cd4_cd8", r"\mathrm{CD4}_{\mathrm{CD8}}"),
        ("effector_tissue", r"\mathrm{effector}_{\mathrm{tissue}}"),
        ("toci_vmax", r"V_{max,\mathrm{toci}}"),
        ("cells_ec50", r"\mathrm{EC}_{50,\mathrm{cells}}"),
        ("steroid_k", r"k_{\mathrm{steroid}}"),
        ("effector_in", r"\mathrm{effector}_{in}"),
        ("car_t", r"\mathrm{car}_{t}"),
        ("kel_e", "k_{el,e}"),
        ("muc1_positive", r"\mathrm{MUC1}_{\mathrm{positive}}"),
        ("E", "E"),
    ],
)
def test_names_become_symbols(name, expected):
    assert latex_name(name) == expected


def test_names_that_would_look_alike_are_written_out():
    made = symbols(["p_kout", "p_k_out", "y_E"])
    assert len(set(made.values())) == 3
    assert made["p_k_out"] == r"\mathrm{k\_out}"


def test_numbers():
    assert [latex_number(v) for v in (0.16, 3.0, 24000.0, 1e6, 3.2e-5, 1 / 3)] == [
        "0.16", "3", "24000", "10^{6}", r"3.2\times 10^{-5}", "1/3",
    ]  # fmt: skip
