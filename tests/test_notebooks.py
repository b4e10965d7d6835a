"""The notebooks run, what is stored is what they say, and nothing in it comes from one machine.

In `make test` the cells of the quick ones run in this process with little sampling; with
``-m slow`` every notebook runs in a kernel, as ``make notebooks`` does, at its own settings.
"""

from __future__ import annotations

import base64
import importlib.util
import os
import re
import warnings
from pathlib import Path

import pytest

pytest.importorskip("jupytext")
pytest.importorskip("nbclient")
import nbformat

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"

# Values of the cell tagged "parameters" that make a notebook quick.
LITTLE = 'sampling = {"draws": 60, "tune": 60, "chains": 2, "cores": 1}\n'
QUICK = {
    "01_data_and_nca": None,
    "02_model_library": None,
    "03_least_squares": "n_patients = 12",
    "05_cytokines_crs": LITTLE,
    "08_endpoints": None,
}
# Minutes. 06 needs fits that converged, because others are not ranked.
LONG = {
    "04_population_bayes": LITTLE,
    "06_comparing_models": None,
    "07_dose_selection": LITTLE + "trials = 50",
    "09_own_model": "starts = 1",
    "10_case_study": LITTLE,
}
REAL = {"10_case_study"}  # patients' data are not part of the repository


def _load():
    spec = importlib.util.spec_from_file_location("run_notebooks", FOLDER / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


run = _load()


def _stored(name: str) -> nbformat.NotebookNode:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def _run_here(name: str, values: str | None) -> None:
    """Run the cells in this process: no kernel to start, compiled code shared with other tests."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    notebook = run.read(name)
    if values is not None:
        notebook = run.with_parameters(notebook, values)
    names: dict[str, object] = {"__name__": "__main__"}
    with warnings.catch_warnings():
        # too few draws to converge, which is what they warn of
        warnings.filterwarnings("ignore", category=_fit_warning())
        warnings.filterwarnings("ignore", message=".*non-interactive.*", category=UserWarning)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                exec(compile(cell.source, f"{name}: {cell.source[:40]!r}", "exec"), names)
    pyplot.close("all")


def _fit_warning() -> type[Warning]:
    from cart_pkpd._core.errors import FitWarning

    return FitWarning


def test_every_notebook_is_tested_and_in_the_index() -> None:
    assert sorted(QUICK | LONG) == run.names()
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"\]\((\d\d_\w+)\.ipynb\)", index) == run.names()


@pytest.mark.parametrize("name", QUICK)
def test_a_notebook_runs(name: str) -> None:
    _run_here(name, QUICK[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
def test_a_long_notebook_runs(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name in REAL:
        monkeypatch.setenv("CART_PKPD_DATA", str(request.getfixturevalue("car22_folder")))
    _run_here(name, LONG[name])


@pytest.mark.slow
def test_a_kernel_gives_what_is_stored() -> None:
    """Of a notebook without sampling: the outputs, figures apart, are those in the repository."""
    made = run.tidy(run.execute(run.read("08_endpoints")))
    assert _texts(made) == _texts(_stored("08_endpoints"))


def _texts(notebook: nbformat.NotebookNode) -> list[str]:
    return [
        output.get("text", "") or output.get("data", {}).get("text/plain", "")
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    ]


@pytest.mark.parametrize("name", run.names())
def test_the_stored_notebook_is_the_source_and_has_run(name: str) -> None:
    source, stored = run.read(name), _stored(name)
    assert [(c.cell_type, c.source) for c in stored.cells] == [
        (c.cell_type, c.source) for c in source.cells
    ], f"run `make notebooks`, or `python notebooks/run.py {name}`"
    counts = [c.execution_count for c in stored.cells if c.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))


@pytest.mark.parametrize("name", run.names())
def test_the_stored_notebook_is_small_and_quiet(name: str) -> None:
    path = FOLDER / f"{name}.ipynb"
    assert os.path.getsize(path) < 300_000
    text = path.read_text(encoding="utf-8")
    places = [f"/{folder}/" for folder in ("home", "root", "tmp", "work")]
    for trace in (*places, "site-packages", " at 0x", "Warning"):
        assert trace not in text, trace
    for cell in _stored(name).cells:
        for output in cell.get("outputs", []):
            assert output.output_type in ("display_data", "execute_result", "stream")
            assert output.get("name", "stdout") == "stdout"
            figure = output.get("data", {}).get("image/png")
            assert figure is None or base64.b64decode(figure).startswith(b"\x89PNG")


@pytest.mark.parametrize("name", sorted(REAL))
def test_no_patient_of_a_real_trial_is_in_a_stored_notebook(name: str, car22_folder: Path) -> None:
    import pandas as pd

    subjects = pd.read_csv(car22_folder / "car22" / "subjects.csv", dtype=str)
    long = [i for i in subjects["ID"] if len(i) >= 4]  # shorter ones are also plain numbers
    shown = "\n".join(
        str(output.get("data", {}).get(kind, output.get("text", "")))
        for cell in _stored(name).cells
        for output in cell.get("outputs", [])
        for kind in ("text/plain", "text/html")
    )
    assert long
    assert not [i for i in long if re.search(rf"(?<![\d.,]){i}(?![\d.,])", shown)]


def test_parameters_need_a_tagged_cell() -> None:
    with pytest.raises(ValueError, match="no cell tagged"):
        run.with_parameters(run.read("08_endpoints"), "x = 1")
    changed = run.with_parameters(run.read("05_cytokines_crs"), "x = 1")
    assert "x = 1" in [cell.source for cell in changed.cells]


def test_nothing_of_the_machine_is_kept() -> None:
    notebook = nbformat.v4.new_notebook(metadata={"papermill": {"x": 1}})
    cell = nbformat.v4.new_code_cell("x", execution_count=1, metadata={"execution": {"a": "b"}})
    data = {"text/plain": "<Thing at 0x7f>", "text/html": "<b>x</b>"}
    cell.outputs = [nbformat.v4.new_output("execute_result", data, execution_count=1)]
    notebook.cells = [cell]
    tidied = run.tidy(notebook)
    assert sorted(tidied.metadata) == ["jupytext", "kernelspec", "language_info"]
    assert tidied.cells[0].metadata == {}
    assert dict(tidied.cells[0].outputs[0].data) == {"text/html": "<b>x</b>"}
