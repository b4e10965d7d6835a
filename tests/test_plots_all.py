"""What holds of every public plot: it takes its result and nothing else, and says so."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cart_pkpd import plots
from cart_pkpd._core.errors import CartError

sys.path.insert(0, str(Path(__file__).parent.parent / "docs"))
import make_gallery as gallery

PLOTS = [name for name in plots.__all__ if inspect.isfunction(getattr(plots, name))]
QUICK = {"trial", "dose", "endpoints", "grades"}  # what needs no fit
SLOW = {"operating_characteristics", "cytokines", "profiles", "nca_profiles"}
WRONG = {
    "nothing": None,
    "text": "vpc",
    "array": np.arange(3.0),
    "another Dataset": xr.Dataset({"x": ("y", [1.0])}),
    "another table": pd.DataFrame({"x": [1.0]}),
}


@pytest.fixture(scope="module")
def prepared():
    return gallery.Prepared()


def required(name: str) -> list[str]:
    """Return the arguments that a plot must be given."""
    signature = inspect.signature(getattr(plots, name))
    return [p.name for p in signature.parameters.values() if p.default is p.empty]


@pytest.mark.parametrize("name", PLOTS)
@pytest.mark.parametrize("what", WRONG)
def test_what_is_not_its_result_is_refused_in_one_sentence(name, what):
    value = WRONG[what]
    given = ["P01" if needed == "patient" else value for needed in required(name)]
    with pytest.raises(CartError) as caught:
        getattr(plots, name)(*given)
    said = str(caught.value)
    assert len(said) < 300
    assert said.endswith(".")
    assert not re.search(r"Traceback|object at 0x|\n", said)


@pytest.mark.parametrize("name", PLOTS)
def test_one_panel_takes_axes_and_several_say_that_they_make_a_figure(name):
    signature = inspect.signature(getattr(plots, name))
    back = str(signature.return_annotation)
    if "ax" in signature.parameters:
        assert "Axes" in back
        assert signature.parameters["ax"].kind is inspect.Parameter.KEYWORD_ONLY
        assert signature.parameters["ax"].default is None
    else:
        doc = inspect.getdoc(getattr(plots, name)) or ""
        assert back in ("Figure", "list[Axes]")
        assert re.search(r"Returns\n-+\n(Figure|list of Axes)", doc)


def test_the_gallery_has_every_plot():
    assert set(gallery.names()) == set(PLOTS)


def drawable() -> list[str]:
    """Return the plots whose entry in the gallery needs no fit and little time."""
    return [n for n, e in gallery.names().items() if set(e.needs) <= QUICK and n not in SLOW]


def with_axes() -> list[str]:
    """Return those of one panel; on both scales, its default, nca_profile makes two."""
    found = [n for n in drawable() if "ax" in inspect.signature(getattr(plots, n)).parameters]
    return [n for n in found if n != "nca_profile"]


@pytest.mark.parametrize("name", with_axes())
def test_axes_of_ones_own_are_drawn_on_and_returned(name, prepared):
    """``ax=`` is added to the last call of the entry; the same Axes come back, labelled."""
    call = prepared.ready(gallery.names()[name])
    figure = Figure(layout="constrained")
    FigureCanvasAgg(figure)
    prepared.space["own"] = own = figure.add_subplot()
    assert eval(f"{call.rstrip()[:-1]}, ax=own)", prepared.space) is own
    assert own.has_data() or own.patches or own.texts
    assert own.get_xlabel() + own.get_ylabel()


def test_both_scales_of_a_profile_make_their_own_figure(prepared):
    entry = gallery.names()["nca_profile"]
    assert isinstance(prepared.draw(entry), Figure)
    own = Figure().add_subplot()
    space = {**prepared.space, "own": own}
    back = eval('plots.nca_profile(trial, params, "F01-026", log=True, ax=own)', space)
    assert back is own
