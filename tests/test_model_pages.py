"""What models say about themselves: equations as LaTeX, tables, citations, and the pages in docs.

Expected LaTeX is written by hand from the formulas, as they would be printed.
"""

import importlib.util
import re
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path
from types import MappingProxyType

import numpy as np
import ode_models
import pytest
from matplotlib.mathtext import MathTextParser

from cart_pkpd import __version__, models
from cart_pkpd._engine.expression import constant, evaluate, symbol, where
from cart_pkpd._engine.latex import Latex, Plain, latex_name, latex_number, symbols
from cart_pkpd._engine.readable import by_case, exponential, pieces, simplified
from cart_pkpd._engine.terms import arrange
from cart_pkpd.models import Fixed, OdeModel, ParameterSet, Positive, Reference, State, math

ROOT = Path(__file__).parents[1]
NAMES = models.names()
ALL = [*NAMES, *ode_models.ALL]

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


# --- formulas -------------------------------------------------------------------------------------


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


# --- the record of a model ------------------------------------------------------------------------


def test_the_authors_own_names_are_kept():
    """Local variables of the equations name the pieces; everything else is as declared."""
    made = {(e.kind, e.about): e for e in models.describe(ode_models.AntigenDriven()).equations}
    assert made["rate", "effector"].latex == (
        r"\frac{\mathrm{d}\,\mathrm{effector}}{\mathrm{d}t} = "
        r"\left(\mathrm{growing} - \mathrm{death}\right)\mathrm{effector} - "
        r"\mathrm{turn} \cdot \mathrm{effector}"
    )
    assert made["piece", "growing"].latex == (
        r"\mathrm{growing} = \mathrm{growth}\left(1 - \mathrm{block} \cdot \mathrm{toci}\right)"
        r"\frac{\mathrm{antigen}}{\mathrm{half} + \mathrm{antigen}}"
    )
    assert made["dose", "effector"].latex == (
        r"\Delta \mathrm{effector} = \mathrm{gain} \cdot \mathrm{AMT}"
    )
    assert made["start", "antigen"].text == "antigen(0) = burden"
    assert made["observed", "transgene"].text == "observed transgene = effector + memory"


def test_reading_names_leaves_profiling_as_it_was():
    before = sys.getprofile()
    models.describe(ode_models.PredatorPrey)
    assert sys.getprofile() is before


def test_equations_of_a_model_with_a_switch():
    made = models.describe(ode_models.EffectorMemory)
    rate = next(e for e in made.equations if (e.kind, e.about) == ("rate", "effector"))
    assert rate.right == (
        "\\begin{cases}\n\\rho\\,\\mathrm{effector} & t < t_{max} \\\\\n"
        "-\\alpha\\,\\mathrm{effector} & t \\geq t_{max}\n\\end{cases}",
    )
    assert [e.latex for e in made.equations if e.kind == "switch"] == ["t = t_{max}"]


def test_a_choice_with_a_name_that_many_use_is_written_once():
    class Chain(OdeModel):
        x, y, z = State("1"), State("1"), State("1")
        k = Positive(0.5, "1/day")
        lag = Positive(2.0, "day")

        def initial(self, p):
            return {"x": 1.0, "y": 0.0, "z": 0.0}

        def switches(self, p):
            return (p.lag,)

        def rhs(self, t, y, p):
            rate = math.where(t < p.lag, 0.0, p.k)
            return {"x": -rate * y.x, "y": rate * (y.x - y.y), "z": rate * y.y}

        def observe(self, t, y, p):
            return {"transgene": y.z}

    made = {(e.kind, e.about): e.text for e in models.describe(Chain()).equations}
    assert made["rate", "y"] == "d y / dt = rate * (x - y)"
    assert made["piece", "rate"] == "rate = 0 if t < lag; k if t ≥ lag"


def test_a_description_of_ones_own_model():
    made = models.describe(ode_models.AntigenDriven().with_(death=Fixed(0.3)))
    assert made.name == made.title == "AntigenDriven"
    assert made.about.startswith("Dosed cells that multiply on antigen")
    assert (made.dosed, made.dose_unit) == ("effector", "cells")
    assert dict(made.endpoints) == {"transgene": "copies/µg", "il6": "pg/mL"}
    death = made.parameters.loc["death"]
    assert (death["typical"], death["unit"], death["fixed"]) == (0.3, "1/day", True)
    assert death["meaning"] == "death of effector cells"
    assert made.parameters.loc["ec50", "symbol"] == r"\mathrm{EC}_{50}"
    assert made.covariates.loc["burden", "typical"] == 400.0
    assert made.inputs.loc["toci", "meaning"] == "tocilizumab: 1 while it acts"
    assert list(made.states.index) == ["effector", "memory", "antigen", "il6"]
    with pytest.raises(FrozenInstanceError):
        made.name = "other"


def test_the_record_of_a_publication():
    class Published(ode_models.PredatorPrey):
        """Cells feed on the tumour [1]_.

        More about ``cells``, :math:`x` and their limits.

        References
        ----------
        .. [1] Not shown.
        """

        label = "Feeding (Nobody 2020)"
        population = "3 patients"
        structure = "transcribed"
        reference = Reference("Nobody A, Else BC, et al.", 2020, "On & on", "J Cells 3(2):10-20",
                              "10.1/x_y")  # fmt: skip
        deviations = ("One thing | another.",)
        errata = ("A sign.",)
        sources = ("A file.",)
        parameter_sets = MappingProxyType(
            {"UPN1": ParameterSet("patient 1", {"kill": 0.2}, source="Table 2")}
        )

    made = models.describe(Published)
    page = made.to_markdown()
    assert made.about == "Cells feed on the tumour.\n\nMore about `cells`, `x` and their limits."
    for said in (
        "# Feeding (Nobody 2020)", "3 patients", "transcribed: read in code or a model file",
        "https://doi.org/10.1/x_y", "- One thing | another.", "- A sign.", "- A file.",
        "| `UPN1` | patient 1 | kill = 0.2 | Table 2 | published |", "does not enter",
    ):  # fmt: skip
        assert said in page
    text = str(made)
    for said in ("Feeding (Nobody 2020)", "d prey / dt = (growth - kill * predator) * prey", "UPN1",
                 "Mistakes in print"):  # fmt: skip
        assert said in text
    assert max(map(len, text.splitlines())) <= 110
    assert made._repr_markdown_() == page
    assert "```math" in made.to_markdown(math="github")
    assert "$$" not in made.to_markdown(math="github")


@pytest.mark.parametrize("model", ALL, ids=str)
def test_every_model_describes_itself(model):
    made = models.describe(model)
    assert all(made.parameters["symbol"].str.len() > 0)
    assert made.parameters["symbol"].is_unique
    page, text = made.to_markdown(), str(made)
    for name, p in (models.get(model) if isinstance(model, str) else model()).parameters.items():
        assert f"| `{name}` |" in page
        assert re.search(rf"^  {name} ", text, re.MULTILINE)
        assert p.about in page
    assert {e.about for e in made.equations if e.kind in ("observed", "level")} == set(
        made.endpoints
    )
    assert {e.about for e in made.equations if e.kind == "rate"} == set(made.states.index)
    assert models.describe(model).to_markdown() == page


@pytest.mark.parametrize("model", ALL, ids=str)
def test_the_text_of_the_equations_computes_what_the_program_does(model):
    """Read back as Python, pieces first, every equation has the value of the program's formula.

    The same terms are written as LaTeX, so what is shown is what is solved.
    """
    made = models.get(model) if isinstance(model, str) else model()
    program = made.program
    rng = np.random.default_rng(5)
    for _ in range(3):
        names = {k: float(rng.uniform(0.5, 2.0) * v) for k, v in made.typical().items()}
        names |= {k: float(rng.uniform(0.5, 2.0)) for k in (*program.values, *program.states)
                  if k not in names}  # fmt: skip
        names |= {"t": float(rng.uniform(0.0, 20.0)), "AMT": 1.0}
        expected = values_of(program, names)
        found = read_back(models.describe(made).equations, names)
        assert set(found) == set(expected)
        for key, value in expected.items():
            assert found[key] == pytest.approx(value, rel=1e-9, abs=1e-300), key


def values_of(program, names):
    """Return the value of every formula of the program by kind and subject."""
    at = {f"p_{k}": names[k] for k in program.values} | {f"y_{k}": names[k] for k in program.states}
    at["t"] = names["t"]
    rows = [(("rate", s), e) for s, e in zip(program.states, program.rhs, strict=True)]
    rows += [(("start", s), e) for s, e in zip(program.states, program.initial, strict=True)]
    rows += [(("observed", n), e) for n, e in zip(program.endpoints, program.observe, strict=True)]
    values = evaluate([e for _, e in rows], at)
    out = {key: float(v) for (key, _), v in zip(rows, values, strict=True)}
    if program.observe_log:
        out = {("level", about): float(np.exp(v)) for (_, about), v in out.items()}
    return out


def read_back(equations, names):
    """Return the value of every equation's text; other levels and pieces are found when needed."""
    texts = {(e.kind, e.about): e.text.split(" = ", 1)[1] for e in equations}
    texts = {k: v for k, v in texts.items() if k[0] not in ("dose", "switch")}

    class Names(dict):
        def __missing__(self, name):
            kind = next(k for k in ("piece", "observed", "level") if (k, name) in texts)
            return value(texts[kind, name])

    known = Names(names)
    functions = {"exp": np.exp, "ln": np.log, "sqrt": np.sqrt, "min": min, "max": max, "abs": abs,
                 "tanh": np.tanh, "sin": np.sin, "cos": np.cos}  # fmt: skip

    def value(text):
        if ";" in text:
            for branch in text.split("; "):
                what, _, when = branch.removesuffix(" otherwise").partition(" if ")
                if not when or compute(when):
                    return value(what)
        return compute(text)

    def compute(text):
        written = text.replace("^", "**").replace("≤", "<=").replace("≥", ">=")
        return float(eval(written, {"__builtins__": {}}, Names(functions | known)))

    return {k: value(v) for k, v in texts.items() if k[0] != "piece"}


@pytest.mark.parametrize("model", ALL, ids=str)
def test_the_latex_can_be_typeset(model):
    """Matplotlib's parser reads every part of every formula, braces and brackets close."""
    parser = MathTextParser("path")
    made = models.describe(model)
    for equation in made.equations:
        source = equation.latex
        assert source.count("{") == source.count("}")
        assert source.count("\\left") == source.count("\\right")
        assert source.count("\\begin") == source.count("\\end")
        for part in typeset_parts(equation):
            parser.parse(f"${part}$")
    for symbol_ in made.parameters["symbol"]:
        parser.parse(f"${symbol_}$")


def typeset_parts(equation):
    """Return what stands between the marks of environments, which matplotlib does not know."""
    rest = [equation.left, *equation.right]
    parts = [p for r in rest for p in re.split(r"\\begin\{cases\}|\\end\{cases\}|\\\\|&", r)]
    kept = [p.strip().removeprefix("{}") for p in parts]
    return [p for p in kept if p and len(p) < 300]  # matplotlib takes seconds for a long one


def test_a_model_of_parts():
    """The level of the closed form drives the cytokine: written once, and referred to."""
    joint = models.get("stein2019") + models.cytokines(["il6"])
    made = {(e.kind, e.about): e for e in models.describe(joint).equations}
    assert made["rate", "il6"].latex.startswith(
        r"\frac{\mathrm{d}\,\mathrm{IL6}}{\mathrm{d}t} = "
        r"k_{out,\mathrm{IL6}}\left(\mathrm{base}_{\mathrm{IL6}}"
    )
    assert r"\mathrm{transgene}" in made["rate", "il6"].latex
    assert made["observed", "transgene"].text == (
        "observed transgene = cmax * ((1 - fb) * exp(-alpha * since) + fb * exp(-beta * since)) * "
        "exp(-rho * max(tmax - t, 0))"
    )
    assert made["piece", "since"].text == "since = max(t - tmax, 0)"
    assert "10.1002/psp4.12388" in joint.cite()
    assert "The cart_pkpd developers" in joint.cite()


def test_names_that_are_set_in_loops_are_not_taken():
    class Looped(OdeModel):
        x = State("1")
        a = Positive(0.5, "1/day")
        b = Positive(0.5, "1/day")

        def initial(self, p):
            return {"x": 1.0}

        def rhs(self, t, y, p):
            for rate in (p.a, p.b):
                flow = rate * y.x / (1.0 + y.x)
            lost = p.b * y.x / (2.0 + y.x)
            return {"x": (flow - lost) * (flow + 2.0 * lost) / p.a}

        def observe(self, t, y, p):
            return {"transgene": y.x}

    found = {e.about for e in models.describe(Looped()).equations if e.kind == "piece"}
    assert found == {"lost", "a_1"}


def test_the_table_lists_every_model():
    table = models.table()
    assert list(table.index) == models.names()
    assert table.loc["stein2019", "n_states"] == 0
    assert not table.loc["stein2019", "dosed"]
    assert table.loc["stein2019", "endpoints"] == "transgene"
    assert "10.1002/psp4.12388" in table.loc["stein2019", "reference"]


# --- citations ------------------------------------------------------------------------------------


def test_a_citation_is_one_line():
    said = models.cite("stein2019")
    assert said == models.get("stein2019").cite()
    assert "\n" not in said
    assert said.endswith("https://doi.org/10.1002/psp4.12388")


def test_bibtex_has_the_fields_of_the_reference():
    """Ogasawara 2021 as printed: Clin Pharmacokinet volume 60, page 1621."""
    fields = read_bibtex(models.cite("ogasawara2021", "bibtex"))
    assert fields["entry"] == "article{ogasawara2021"
    assert fields["author"].startswith("Ogasawara, K. and Dodds, M. and Mack, T. and Lymp, J.")
    assert fields["journal"] == "Clin Pharmacokinet"
    assert (fields["volume"], fields["year"]) == ("60", "2021")
    assert fields["pages"].startswith("1621")
    assert fields["doi"] == "10.1007/s40262-021-01039-5"


def read_bibtex(entry):
    found = dict(re.findall(r"^  (\w+) += \{(.*)\},$", entry, re.MULTILINE))
    return {"entry": entry.splitlines()[0].strip("@,"), **found}


def test_bibtex_of_incomplete_and_awkward_references():
    class Awkward(ode_models.PredatorPrey):
        reference = Reference("Smith-Jones AB, de Vries C, et al.", 2020, "50% & more",
                              "J Cells 3(2):10–20", "")  # fmt: skip

    fields = read_bibtex(models.cite(Awkward, "bibtex"))
    assert fields["entry"] == "article{smithjones2020"
    assert fields["author"] == "Smith-Jones, A. B. and de Vries, C. and others"
    assert fields["title"] == r"{50\% \& more}"
    assert (fields["number"], fields["pages"]) == ("2", "10--20")
    assert "doi" not in fields
    assert models.cite(Awkward) == (
        "Smith-Jones AB, de Vries C, et al. (2020). 50% & more. J Cells 3(2):10–20."
    )


def test_a_model_without_publication_cites_the_package():
    """The package's citation is that of CITATION.cff."""
    cff = dict(re.findall(r'^\W*(\w+): "?([^"\n]+)"?$', (ROOT / "CITATION.cff").read_text(), re.M))
    said = models.cite(ode_models.BlowUp)
    for part in (cff["title"], cff["name"], cff["version"], "BlowUp"):
        assert part in said
    assert cff["version"] == __version__
    entry = models.cite(ode_models.BlowUp, "bibtex")
    assert entry.startswith("@software{cart_pkpd,")
    assert f"version = {{{__version__}}}" in entry


def test_a_model_of_this_project_cites_what_it_is_built_from():
    class Built(ode_models.PredatorPrey):
        """Put together.

        References
        ----------
        .. [1] Nobody A (2020). One.
           https://doi.org/10.1/a
        .. [2] Else B (2021). Two.
        """

    assert (
        Built()
        .cite()
        .endswith(" Built from: Nobody A (2020). One. https://doi.org/10.1/a; Else B (2021). Two.")
    )
    entries = Built().cite("bibtex").split("\n\n")
    assert [e.splitlines()[0] for e in entries] == [
        "@misc{Built_1,", "@misc{Built_2,", "@software{cart_pkpd,",
    ]  # fmt: skip
    assert "  doi     = {10.1/a}," in entries[0]


def test_a_model_of_parts_cites_the_parts():
    joint = models.get("stein2019") + models.cytokines(["il6"]) + models.tocilizumab()
    said, entries = joint.cite(), joint.cite("bibtex")
    for doi in ("10.1002/psp4.12388", "10.1111/cts.12636", "10.1182/blood.2021011898"):
        assert said.count(doi) == entries.count(doi) == 1
    assert "Frey N" in said
    keys = re.findall(r"^@\w+\{(\w+),$", entries, re.M)
    assert (keys[0], keys[-1], len(keys)) == ("stein2019", "cart_pkpd", 6)


def test_an_unknown_style_is_refused():
    with pytest.raises(ValueError, match="bibtex"):
        models.cite("stein2019", "apa")


# --- the pages in docs ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pages():
    path = ROOT / "docs" / "make_model_pages.py"
    spec = importlib.util.spec_from_file_location("make_model_pages", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", NAMES)
def test_pages_are_up_to_date(pages, name):
    assert (pages.PAGES / f"{name}.md").read_text(encoding="utf-8") == pages.page(name), (
        "run `make docs-models`"
    )
    assert (pages.FIGURES / f"{name}.png").stat().st_size < 60_000


def test_the_overview_is_up_to_date(pages):
    assert (pages.PAGES / "README.md").read_text(encoding="utf-8") == pages.overview(), (
        "run `make docs-models`"
    )
    assert {p.stem for p in pages.PAGES.glob("*.md")} == {"README", *NAMES}


def test_a_figure_of_a_closed_form(pages):
    figure = pages.draw(models.get("stein2019"))
    assert len(figure.axes) == 1
    assert figure.axes[0].get_yscale() == "log"
