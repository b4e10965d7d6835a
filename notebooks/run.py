"""Run the notebooks and store what they show: ``python notebooks/run.py [NAME ...]``.

The ``.py`` files are the source. Each is run in a kernel of its own, in a folder of its own, and
written beside its source as ``.ipynb``. Without names, all are run.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

FOLDER = Path(__file__).resolve().parent
COLOURS = 128  # of a stored figure: a third of the bytes, no difference to the eye
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def names() -> list[str]:
    """Return the notebooks, in the order in which they are read."""
    return sorted(path.stem for path in FOLDER.glob("[0-9][0-9]_*.py"))


def read(name: str) -> NotebookNode:
    """Return the source of a notebook: cells without outputs."""
    return jupytext.read(FOLDER / f"{name}.py")


def with_parameters(notebook: NotebookNode, values: str) -> NotebookNode:
    """Return a copy whose cell tagged ``parameters`` holds `values` in place of its own.

    Parameters
    ----------
    notebook : NotebookNode
        As `read` gives it.
    values : str
        Python code.

    Raises
    ------
    ValueError
        Without such a cell.
    """
    copy = nbformat.from_dict(notebook)
    cells = [cell for cell in copy.cells if "parameters" in cell.metadata.get("tags", [])]
    if not cells:
        raise ValueError("the notebook has no cell tagged 'parameters'")
    cells[0].source = values
    return copy


def execute(notebook: NotebookNode, timeout: int = 3600) -> NotebookNode:
    """Run all cells in a new kernel, in an empty folder, and return the notebook with outputs."""
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=timeout,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
        )
        return client.execute()


def tidy(notebook: NotebookNode) -> NotebookNode:
    """Return it with nothing that depends on where and when it ran, and small figures."""
    notebook.metadata = NotebookNode(
        kernelspec=NotebookNode(KERNEL),
        language_info=NotebookNode(name="python"),
        jupytext=NotebookNode(formats="ipynb,py:percent"),
    )
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02d}"
        tags = cell.metadata.get("tags")
        cell.metadata = NotebookNode(tags=tags) if tags else NotebookNode()
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not _bar(output)]
        for output in cell.get("outputs", []):
            output.get("metadata", {}).clear()
            _shrink(output.get("data", {}))
    return notebook


def _bar(output: NotebookNode) -> bool:
    """Whether it is a progress bar: shown while a cell runs, and no figure."""
    return output.output_type == "display_data" and "image/png" not in output.data


def _shrink(data: NotebookNode) -> None:
    if " at 0x" in data.get("text/plain", "") and len(data) > 1:
        data.pop("text/plain")  # the address of an object, which differs in every run
    if "image/png" not in data:
        return
    image = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    out = io.BytesIO()
    _few(image).save(out, format="png", optimize=True)
    data["image/png"] = base64.b64encode(out.getvalue()).decode()


def _few(image: Image.Image) -> Image.Image:
    """Return a figure in few colours; rare ones, such as a thin line's, keep their hue."""
    return image.convert("RGB").quantize(
        COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Run the notebooks named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="such as 01_data_and_nca; all by default")
    for name in parser.parse_args(argv).names or names():
        began = time.perf_counter()
        notebook = tidy(execute(read(Path(name).stem)))
        target = FOLDER / f"{Path(name).stem}.ipynb"
        nbformat.write(notebook, target)
        size = os.path.getsize(target) / 1000
        print(f"{target.name}: {time.perf_counter() - began:.0f} s, {size:.0f} kB")


if __name__ == "__main__":
    main()
