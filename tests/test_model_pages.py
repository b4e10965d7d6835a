"""What models say about themselves: equations as LaTeX, tables, citations, and the pages in docs.

Expected LaTeX is written by hand from the formulas, as they would be printed.
"""

import functools
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
from cart_pkpd._engine.expression import evaluate
from cart_pkpd.models import Fixed, OdeModel, ParameterSet, Positive, Reference, State, math

ROOT = Path(__file__).parents[1]
NAMES = models.names()
ALL = [*NAMES, *ode_models.ALL]


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


@pytest.fixture(scope="module")
def typeset():
    """Read a formula by matplotlib's parser; what models have in common is read once."""
    return functools.cache(MathTextParser("path").parse)


LONGEST = pytest.param("park2025", marks=pytest.mark.slow)  # seconds, and nothing the others lack


@pytest.mark.parametrize("model", [LONGEST, *(m for m in ALL if m != "park2025")], ids=str)
def test_the_latex_can_be_typeset(model, typeset):
    """Matplotlib's parser reads every part of every formula, braces and brackets close."""
    made = models.describe(model)
    for equation in made.equations:
        source = equation.latex
        assert source.count("{") == source.count("}")
        assert source.count("\\left") == source.count("\\right")
        assert source.count("\\begin") == source.count("\\end")
        for part in typeset_parts(equation):
            typeset(f"${part}$")
    for symbol_ in made.parameters["symbol"]:
        typeset(f"${symbol_}$")


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
