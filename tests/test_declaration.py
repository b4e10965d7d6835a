"""Declaring models by equations: what is refused, with which words, and what works.

Nothing is compiled here but in the last section: models are read as formulas when they are made.
"""

import copy
import math
import pickle

import numpy as np
import ode_models as own
import pytest
from numpy.testing import assert_allclose

from cart_pkpd import models
from cart_pkpd._core.errors import ModelError, UnitError
from cart_pkpd.models import Covariate, Fixed, Fraction, Input, OdeModel, Positive, Real, State
from cart_pkpd.models import math as m


def declared(name="Mine", base=OdeModel, **changes):
    """A small right model with some of its parts changed; None leaves a part out."""
    parts = {
        "cells": State("copies/µg", "cells"),
        "antigen": State("cells/µL", "antigen"),
        "start_level": Positive(100.0, "copies/µg", "cells at the start"),
        "rate": Positive(0.1, "1/day", "rate"),
        "tmax": Positive(9.0, "day", "time of the peak"),
        "burden": Covariate(50.0, "cells/µL", "antigen at the start"),
        "toci": Input(0.0, "1", "tocilizumab"),
        "initial": lambda self, p: {"cells": p.start_level, "antigen": p.burden},
        "rhs": lambda self, t, y, p: {"cells": -p.rate * y.cells, "antigen": -p.rate * y.antigen},
        "observe": lambda self, t, y, p: {"transgene": y.cells},
    }
    parts = {k: v for k, v in {**parts, **changes}.items() if v is not None}
    return type(name, (base,), parts)


def rhs(cells):
    """A right-hand side whose first line is `cells`."""
    return {"rhs": lambda self, t, y, p: {"cells": cells(t, y, p), "antigen": 0.0}}


def refused(words, **changes):
    with pytest.raises(ModelError) as problem:
        declared(**changes)()
    for part in words:
        assert part in str(problem.value)


def test_the_model_that_the_others_change_is_right():
    model = declared()()
    assert model.endpoints == {"transgene": "copies/µg"}
    assert list(model.states) == ["cells", "antigen"]
    assert list(model.parameters) == ["start_level", "rate", "tmax"]
    assert list(model.covariates) == ["burden"]
    assert list(model.inputs) == ["toci"]


# --- names ---------------------------------------------------------------------------------

MISSPELT = {
    "state in rhs": (
        rhs(lambda t, y, p: -p.rate * y.cels),
        ["Mine.rhs", "'cels'", "states", "Did you mean 'cells'?", "cells, antigen"],
    ),
    "parameter in rhs": (
        rhs(lambda t, y, p: -p.rat * y.cells),
        ["Mine.rhs", "'rat'", "parameters, covariates and inputs", "Did you mean 'rate'?"],
    ),
    "covariate in initial": (
        {"initial": lambda self, p: {"cells": p.start_level, "antigen": p.burdn}},
        ["Mine.initial", "'burdn'", "Did you mean 'burden'?"],
    ),
    "state in observe": (
        {"observe": lambda self, t, y, p: {"transgene": y.cell}},
        ["Mine.observe", "'cell'", "Did you mean 'cells'?"],
    ),
    "parameter in switches": (
        {"switches": lambda self, p: (p.tmx,)},
        ["Mine.switches", "'tmx'", "Did you mean 'tmax'?"],
    ),
    "parameter in dose_factor": (
        {"dose_factor": lambda self, p: {"cells": p.gian}},
        ["Mine.dose_factor", "'gian'", "start_level, rate, tmax, burden, toci"],
    ),
    "key of rhs": (
        {"rhs": lambda self, t, y, p: {"cels": 0.0, "antigen": 0.0}},
        ["Mine.rhs", "'cels'", "not a state", "Did you mean 'cells'?"],
    ),
    "key of initial": (
        {"initial": lambda self, p: {"cells": 0.0, "antigen": 0.0, "memory": 0.0}},
        ["Mine.initial", "'memory'", "not a state"],
    ),
    "key of dose_factor": (
        {"dose_factor": lambda self, p: {"cell": 1.0}},
        ["Mine.dose_factor", "'cell'", "Did you mean 'cells'?"],
    ),
    "dosed": ({"dosed": "cels"}, ["Mine.dosed", "'cels'", "Did you mean 'cells'?"]),
    "missing derivative": (
        {"rhs": lambda self, t, y, p: {"cells": 0.0}},
        ["Mine.rhs gives no derivative for antigen", '{"antigen": ...}'],
    ),
    "missing start": (
        {"initial": lambda self, p: {"antigen": 0.0}},
        ["Mine.initial gives no value at the start for cells"],
    ),
    "no state": (
        {"cells": None, "antigen": None},
        ["Mine declares no state", "models.State("],
    ),
    "no endpoint": (
        {"observe": lambda self, t, y, p: {}},
        ["Mine.observe gives no endpoint"],
    ),
    "nothing returned": (
        {"rhs": lambda self, t, y, p: None},
        ["Mine.rhs gave NoneType", "return a dict"],
    ),
    "a tuple returned": (
        {"observe": lambda self, t, y, p: (y.cells,)},
        ["Mine.observe gave tuple", "return a dict"],
    ),
    "text as formula": (
        rhs(lambda t, y, p: "fast"),
        ["Mine.rhs['cells']", "'fast'", "a number or a formula"],
    ),
}


@pytest.mark.parametrize("case", MISSPELT)
def test_wrong_names_are_refused(case):
    changes, words = MISSPELT[case]
    refused(words, **changes)


def test_a_state_with_the_name_of_a_parameter_is_refused():
    """A subclass that takes a name of its parent for something else."""
    with pytest.raises(ModelError, match="declares 'rate' twice"):
        declared(base=declared(), rate=State("1"))()


def test_a_covariate_with_the_name_of_a_parameter_is_refused():
    with pytest.raises(ModelError, match="declares 'rate' twice"):
        declared(base=declared(), rate=Covariate(1.0, "1/day"))()


# --- times and branches --------------------------------------------------------------------

JUMPS = {
    "undeclared switch": (
        rhs(lambda t, y, p: m.where(t < p.tmax, p.rate, -p.rate) * y.cells),
        ["a time that is not declared", "t < p.tmax", "switches(self, p)", "declared: none"],
    ),
    "undeclared switch in observe": (
        {"observe": lambda self, t, y, p: {"transgene": m.where(t < p.tmax, 0.0, y.cells)}},
        ["a time that is not declared", "t < p.tmax"],
    ),
    "another switch declared": (
        {
            **rhs(lambda t, y, p: m.where(t < 2 * p.tmax, 0.0, p.rate) * y.cells),
            "switches": lambda self, p: (p.tmax,),
        },
        ["a time that is not declared", "declared: p.tmax"],
    ),
    "jump in the state": (
        rhs(lambda t, y, p: m.where(y.cells < p.start_level, 0.0, p.rate) * y.cells),
        ["jump when", "y.cells", "smooth", "minimum, maximum or abs"],
    ),
    "jump in another state": (
        rhs(lambda t, y, p: m.where(y.antigen >= 2 * p.burden, 0.0, p.rate) * y.cells),
        ["jump when", "y.antigen"],
    ),
    "jump in what is observed": (
        {"observe": lambda self, t, y, p: {"t": m.where(y.cells < p.start_level, 0.0, y.cells)}},
        ["jump when", "y.cells"],
    ),
    "if": (
        rhs(lambda t, y, p: y.cells * (p.rate if t < p.tmax else 0.0)),
        ["cannot branch", "models.math.where"],
    ),
    "min of Python": (
        rhs(lambda t, y, p: -p.rate * min(y.cells, p.start_level)),
        ["cannot branch", "minimum(a, b)"],
    ),
    "math.exp": (
        rhs(lambda t, y, p: -p.rate * math.exp(-p.rate * t) * y.cells),
        ["has no value while equations are read", "models.math", "math module"],
    ),
    "==": (
        rhs(lambda t, y, p: -p.rate * y.cells * (t == p.tmax)),
        ["cannot compare with ==", "use < or <="],
    ),
    "unknown NumPy function": (
        rhs(lambda t, y, p: -p.rate * np.floor(t / p.tmax) * y.cells),
        ["numpy.floor cannot be used"],
    ),
    "infinite number": (rhs(lambda t, y, p: np.inf * p.rate * y.cells), ["not a finite number"]),
    "division by zero": (rhs(lambda t, y, p: y.cells / 0.0), ["by zero"]),
    "condition that is a number": (
        rhs(lambda t, y, p: m.where(y.cells, 0.0, p.rate) * y.cells),
        ["condition of where", "give a comparison"],
    ),
    "input in switches": (
        {"switches": lambda self, p: (p.tmax * p.toci,)},
        ["Mine.switches", "the input 'toci'"],
    ),
    "switches that are no tuple": (
        {"switches": lambda self, p: {"tmax": p.tmax}},
        ["Mine.switches gave dict", "tuple of times"],
    ),
}


@pytest.mark.parametrize("case", JUMPS)
def test_jumps_and_branches_are_refused(case):
    changes, words = JUMPS[case]
    refused(words, **changes)


@pytest.mark.parametrize("above", [lambda a, b: a > b, lambda a, b: ~(a <= b)], ids=[">", "<="])
def test_jumps_in_the_state_are_refused_whatever_the_sign(above):
    changes = rhs(lambda t, y, p: m.where(above(y.cells, p.start_level), 0.0, p.rate) * y.cells)
    refused(["jump when", "y.cells"], **changes)


SMOOTH = {
    "minimum": rhs(lambda t, y, p: -p.rate * m.minimum(y.cells, p.start_level)),
    "maximum": rhs(lambda t, y, p: -p.rate * m.maximum(y.cells - p.start_level, 0.0)),
    "abs": rhs(lambda t, y, p: -p.rate * abs(y.cells - p.start_level)),
    "NumPy": rhs(lambda t, y, p: -p.rate * np.exp(-p.rate * t) * np.minimum(y.cells, 2 * y.cells)),
    "continuous where": rhs(
        lambda t, y, p: -p.rate * m.where(y.cells < p.start_level, y.cells, p.start_level)
    ),
    "declared": {
        **rhs(lambda t, y, p: m.where(t < p.tmax, p.rate, -p.rate) * y.cells),
        "switches": lambda self, p: (p.tmax,),
    },
    "bend of the time": rhs(lambda t, y, p: -m.maximum(t - p.tmax, 0.0) * p.rate**2 * y.cells),
    "one switch without a tuple": {
        **rhs(lambda t, y, p: m.where(t >= p.tmax, p.rate, -p.rate) * y.cells),
        "switches": lambda self, p: p.tmax,
    },
    "derived switch": {
        **rhs(lambda t, y, p: m.where(p.rate * t < p.rate * (p.tmax + 1 / p.rate), 0.0, -y.cells)
              * p.rate),
        "switches": lambda self, p: (p.tmax + 1 / p.rate,),
    },
    "smooth step": rhs(lambda t, y, p: -p.rate * m.smooth_step(t - p.tmax, 1 / p.rate) * y.cells),
    "branch on a parameter": rhs(
        lambda t, y, p: -m.where(p.rate * p.tmax < 1.0, p.rate, 2 * p.rate) * y.cells
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SMOOTH)
def test_what_does_not_jump_or_is_declared_is_allowed(case):
    declared(**SMOOTH[case])()


COMBINED = {
    "between two switches": {
        **rhs(lambda t, y, p: m.where((t >= p.tmax) & ~(t >= 2 * p.tmax), p.rate, 0.0) * y.cells),
        "switches": lambda self, p: (p.tmax, 2 * p.tmax),
    },
    "comparison as a number": {
        **rhs(lambda t, y, p: (t < p.tmax) * p.rate * y.cells),
        "switches": lambda self, p: (p.tmax,),
    },
}


@pytest.mark.parametrize("case", COMBINED)
def test_conditions_may_be_combined_and_multiplied(case):
    """A comparison is a pure number, 0 or 1, whatever is compared."""
    declared(**COMBINED[case])()


def test_the_start_may_not_depend_on_the_time():
    """`initial` is not given the time; a formula that carries it all the same is refused."""
    kept = []

    def keep(self, t, y, p):
        kept.append(t)
        return {"cells": -p.rate * y.cells, "antigen": -p.rate * y.antigen}

    declared(rhs=keep)()
    late = lambda self, p: {"cells": p.start_level * p.rate * kept[0], "antigen": 0.0}  # noqa: E731
    refused(["Mine.initial depends on the time"], initial=late)


# --- units ---------------------------------------------------------------------------------

WRONG_UNITS = {
    "rate in hours": (
        {"rate": Positive(0.1, "1/h")},
        ["Mine.rate is in 1/h", "times are in days"],
    ),
    "time in hours": (
        {"tmax": Positive(200.0, "h")},
        ["Mine.tmax is in h", "times are in days"],
    ),
    "rate as a time": (
        {"rate": Positive(0.1, "day")},
        ["Mine.rhs['cells']", "copies/µg/day", "p.rate * y.cells", "Check the units"],
    ),
    "copies and cells": (
        {"observe": lambda self, t, y, p: {"transgene": y.cells + y.antigen}},
        ["Mine.observe['transgene']", "y.cells", "y.antigen", "must be the same"],
    ),
    "start of another kind": (
        {"initial": lambda self, p: {"cells": p.burden, "antigen": p.burden}},
        ["Mine.initial['cells']", "should be in copies/µg"],
    ),
    "log of a level": (
        {"observe": lambda self, t, y, p: {"transgene": m.log(y.cells)}},
        ["log of a quantity in", "y.cells", "Divide by a parameter of the same unit"],
    ),
    "exp of a time": (
        rhs(lambda t, y, p: -p.rate * m.exp(-t) * y.cells),
        ["exp of a quantity in day"],
    ),
    "switch that is a rate": (
        {"switches": lambda self, p: (p.rate,)},
        ["Mine.switches", "should be in day"],
    ),
    "power of a level": (
        rhs(lambda t, y, p: -p.rate * y.cells ** (p.rate * p.tmax)),
        ["to a power that is not a fixed number"],
    ),
    "exponent with a unit": (
        rhs(lambda t, y, p: -p.rate * y.cells * 2.0**p.tmax),
        ["the exponent p.tmax is in day"],
    ),
    "number added to a level": (
        rhs(lambda t, y, p: -p.rate * (y.cells + 1.0)),
        ["combines y.cells", "a number with a unit should be a parameter too"],
    ),
    "dose without conversion": (
        {"dosed": "cells"},
        ["doses are in cells", "'cells' is in copies/µg", "dose_factor(self, p)", "dose_unit"],
    ),
    "wrong conversion": (
        {"dosed": "cells", "dose_factor": lambda self, p: {"cells": p.rate}},
        ["Mine.dose_factor['cells']", "copies/µg per cells"],
    ),
}


@pytest.mark.parametrize("case", WRONG_UNITS)
def test_wrong_units_are_refused(case):
    changes, words = WRONG_UNITS[case]
    refused(words, **changes)


def test_units_of_a_model_without_any_are_not_checked():
    class Plain(OdeModel):
        """Levels and rates as pure numbers."""

        level = State()
        rate = Positive(0.1)

        def initial(self, p):
            return {"level": 1.0}

        def rhs(self, t, y, p):
            return {"level": -p.rate * m.log(y.level) * y.level}

        def observe(self, t, y, p):
            return {"transgene": y.level}

    assert Plain().endpoints == {"transgene": "1"}


def test_an_endpoint_has_the_unit_of_its_kind():
    observe = lambda self, t, y, p: {  # noqa: E731
        "transgene": y.cells / 2,
        "target": y.antigen,
        "rate": 3 * p.rate * y.antigen / p.burden,
        "share": y.antigen / p.burden,
    }
    model = declared(observe=observe)()
    assert model.endpoints == {
        "transgene": "copies/µg", "target": "cells/µL", "rate": "1/day", "share": "1",
    }  # fmt: skip


# --- records -------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("record", [Positive, Fraction, Real, Covariate, Input])
def test_a_typical_value_is_a_finite_number(record, number):
    with pytest.raises(ModelError, match="typical value"):
        record(number, "1", "something")


@pytest.mark.parametrize(
    ("record", "number"), [(Positive, 0.0), (Positive, -1.0), (Fraction, 0.0), (Fraction, 1.0)]
)
def test_a_typical_value_lies_in_its_support(record, number):
    with pytest.raises(ModelError, match="outside the support"):
        record(number)


@pytest.mark.parametrize("changes", [{"spread": 0.0}, {"iiv": -0.1}, {"spread": np.nan}])
def test_spreads_are_positive(changes):
    with pytest.raises(ModelError, match="spread and iiv"):
        Positive(1.0, "1", "something", **changes)


@pytest.mark.parametrize("floor", [-1.0, np.nan, np.inf])
def test_a_floor_is_finite_and_not_negative(floor):
    with pytest.raises(ModelError, match="floor"):
        State("copies/µg", "cells", floor=floor)


@pytest.mark.parametrize("record", [State, lambda u: Positive(1.0, u), lambda u: Input(0.0, u)])
def test_an_unknown_unit_is_refused(record):
    with pytest.raises(UnitError, match="unknown unit 'copiez'"):
        record("copiez/µg")


# --- new models from old -------------------------------------------------------------------


def test_a_changed_ode_model_is_a_new_frozen_one():
    model = own.AntigenDriven()
    changed = model.with_(steep=Fixed(2.0), half={"typical": 90.0})
    assert changed != model
    assert "steep" not in changed.estimated
    assert changed.typical()["steep"] == 2.0
    assert changed.parameters["half"].typical == 90.0
    assert model.parameters["half"].typical == 60.0
    assert changed.parameters["half"].unit == "cells/µL"
    with pytest.raises(AttributeError):
        changed.fixed = {}
    with pytest.raises(TypeError):
        changed.fixed["steep"] = 1.0
    with pytest.raises(TypeError):
        type(changed).states["effector"] = State()
    with pytest.raises(AttributeError):
        changed.states["effector"].unit = "1"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steap": Fixed(1.0)}, "no parameter 'steap'. Did you mean 'steep'"),
        ({"block": Fixed(1.0)}, "between 0 and 1"),
        ({"half": {"unt": "1"}}, "unknown field 'unt'. Did you mean 'unit'"),
        ({"half": {"unit": "copies/µg"}}, "must be the same"),
        ({"growth": {"unit": "1/h"}}, "times are in days"),
        ({"burden": Fixed(1.0)}, "no parameter 'burden'"),
    ],
)
def test_impossible_changes_of_an_ode_model_are_refused(change, words):
    with pytest.raises(ModelError, match=words):
        own.AntigenDriven().with_(**change)


@pytest.mark.parametrize("cls", own.ALL, ids=lambda c: c.__name__)
def test_models_survive_pickling_and_copying(cls):
    model = cls()
    model = model.with_(**{model.estimated[0]: Fixed(0.5)})
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), copy.copy(model)):
        assert other == model
        assert hash(other) == hash(model)
        assert other.fixed == model.fixed


def test_a_subclass_adds_to_its_parent():
    class WithMemory(own.PredatorPrey):
        """Predators that also leave memory cells."""

        memory = State("cells/µL", "memory cells")
        turn = Positive(0.05, "1/day", "predator to memory")

        def initial(self, p):
            return {**super().initial(p), "memory": 0.0}

        def rhs(self, t, y, p):
            return {**super().rhs(t, y, p), "memory": p.turn * y.predator}

    model = WithMemory()
    assert list(model.states) == ["prey", "predator", "memory"]
    assert list(own.PredatorPrey.states) == ["prey", "predator"]
    assert model.estimated == (*own.PredatorPrey().estimated, "turn")


def test_a_declaration_prints_its_parameters():
    said = repr(own.FastCytokine().with_(kout=Fixed(60.0)))
    assert "FastCytokine" in said
    assert "loss of IL-6" in said
    assert "fixed at 60" in said


# --- in a notebook -------------------------------------------------------------------------


def in_a_function(slope):
    """Another class of the same name at each call."""

    class BlowUp(OdeModel):
        """A name that another model has too."""

        level = State("copies/µg")
        start_level = Positive(1.0, "copies/µg", "level at the start")
        rate = Positive(0.1, "µg/copies/day", "growth")
        shift = Covariate(0.0, "copies/µg", "background of the assay")

        dosed = "level"
        dose_unit = "copies/µg"

        def initial(self, p):
            return {"level": p.start_level}

        def rhs(self, t, y, p):
            return {"level": slope(y, p)}

        def observe(self, t, y, p):
            return {"transgene": y.level + p.shift}

    return BlowUp()


def test_models_of_one_name_do_not_share_code_and_may_be_made_in_a_function():
    """y' = r y² gives 1 / (1 - r t), y' = -r y² gives 1 / (1 + r t): to 1e-5, and states too."""
    times = np.array([0.0, 2.0, 5.0])
    first = in_a_function(lambda y, p: p.rate * y.level**2)
    second = in_a_function(lambda y, p: -p.rate * y.level**2)
    assert first != second
    out = second.simulate(times, states=True, covariates={"shift": 3.0})
    assert_allclose(out["level"], 1 / (1 + 0.1 * times), rtol=1e-5)
    assert_allclose(out["transgene"], out["level"] + 3.0, rtol=1e-12)
    assert out["level"].attrs["units"] == "copies/µg"
    for model in (first, own.BlowUp()):
        assert_allclose(model.simulate(times)["transgene"], 1 / (1 - 0.1 * times), rtol=1e-5)


def test_a_model_of_ones_own_is_registered_by_its_name_alone():
    known = models.names()
    declared()
    assert models.names() == known
