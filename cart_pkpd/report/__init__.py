"""Results as one HTML file that opens offline, and every number in it as JSON and CSV.

>>> from cart_pkpd import data, datasets, nca, report
>>> trial = datasets.load("fast01")
>>> params = nca.table(trial, endpoint="transgene")
>>> report.write("out", title="Fast01", trial=trial, nca=params)
PosixPath('out/report.html')
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from cart_pkpd._compare.result import Comparison
from cart_pkpd._compare.searched import Search
from cart_pkpd.report import (
    _clinical,
    _diagnostics,
    _dose,
    _explorer,
    _exposure,
    _fits,
    _opening,
    _operating,
    _search,
    _trial,
    _twin,
)
from cart_pkpd.report._blocks import Attached, Picture, Section, flat, walk
from cart_pkpd.report._endpoints import EndpointFindings as EndpointFindings
from cart_pkpd.report._endpoints import NotDone as NotDone
from cart_pkpd.report._files import write_all
from cart_pkpd.report._findings import DoseFindings as DoseFindings
from cart_pkpd.report._html import page
from cart_pkpd.report._inputs import Fit as Fit
from cart_pkpd.report._inputs import FitLike, Inputs, bundles, by_endpoint, frames, no_trial
from cart_pkpd.report._operating import OperatingFindings as OperatingFindings
from cart_pkpd.report._tables import Table, plain

__all__ = ["DoseFindings", "EndpointFindings", "Fit", "NotDone", "OperatingFindings", "write"]


def __dir__() -> list[str]:
    return sorted(__all__)  # what a notebook offers after a dot


type Progress = Callable[[float, float, str], None]
"""Called with what is done, of how much, and a word for what comes next."""


def write(
    out_dir: str | Path,
    *,
    title: str,
    trial: xr.Dataset | None = None,
    nca: xr.Dataset | Mapping[str, xr.Dataset | Sequence[xr.Dataset]] | None = None,
    nca_summary: pd.DataFrame | Mapping[str, pd.DataFrame] | None = None,
    fits: Mapping[str, Fit | FitLike] | None = None,
    failures: Mapping[str, str] | None = None,
    comparison: Comparison | pd.DataFrame | None = None,
    endpoints: EndpointFindings | NotDone | None = None,
    dose: DoseFindings | None = None,
    operating: OperatingFindings | None = None,
    patients: xr.Dataset | None = None,
    search: Search | None = None,
    notes: Sequence[str] = (),
    methods: Sequence[str] = (),
    references: Sequence[str] = (),
    provenance: Mapping[str, Any] | None = None,
    data_cutoff: str | None = None,
    draft: bool = True,
    generated: datetime | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write ``report.html``, ``numbers.json``, ``tables/*.csv`` and ``figures/*``.

    Parameters
    ----------
    out_dir : str or Path
        Folder, made if need be. Files of an earlier report in it are replaced.
    title : str
        Heading of the report.
    trial : xr.Dataset, optional
        From ``data.read_table``. Without one the report holds decisions from counts and simulated
        trials, and nothing that needs records.
    nca : Dataset or mapping, optional
        From ``nca.table``: endpoint → Dataset, or several of them for several windows.
    nca_summary : DataFrame or mapping, optional
        Endpoint → summary table, shown as it is.
    fits : mapping, optional
        Name → `Fit`, which holds a FitResult with its predictions and predictive check, or a
        bare FitResult.
    failures : mapping, optional
        Name → why there is no fit.
    comparison : Comparison or DataFrame, optional
        From ``compare.models``, or its table.
    endpoints : EndpointFindings or NotDone, optional
        Response, PFS and OS, or why there are none.
    dose : DoseFindings, optional
        Decisions on the dose and what stands beside them.
    operating : OperatingFindings, optional
        What the designs do in simulated trials.
    patients : Dataset, optional
        From ``compare.patients``: each patient left out, by fit.
    search : Search, optional
        From ``compare.search``: what was added and removed, step by step.
    notes : sequence of str
        Sentences for the first page.
    methods : sequence of str
        Paragraphs added to the methods.
    references : sequence of str
        Citations; those of the fits are added.
    provenance : mapping, optional
        Further settings to print, such as seed and configuration hash; may be nested.
    data_cutoff : str, optional
        As it is to be printed.
    draft : bool
        Stamp the report as draft.
    generated : datetime, optional
        When the report was written; now by default.
    progress : callable, optional
        Called with what is done, of how much, and a word for what comes next.

    Returns
    -------
    Path
        The HTML file. It needs no other file and no network.

    Raises
    ------
    DataError
        If the trial holds no patient, or without a trial there is nothing else to report.

    Notes
    -----
    Each file is written whole or not at all; the HTML file comes last, so that where it is
    there, all others are. A part that was not passed leaves one line saying so.
    """
    found = by_endpoint(nca)
    inputs = Inputs(
        title=title,
        trial=no_trial(dose) if trial is None else trial,
        nca=found,
        nca_summary=frames(nca_summary, next(iter(found), "endpoint")),
        fits=bundles(fits),
        failures=dict(failures or {}),
        comparison=comparison.table if isinstance(comparison, Comparison) else comparison,
        endpoints=endpoints,
        dose=dose,
        operating=operating,
        patients=patients,
        search=search,
        notes=tuple(notes),
        methods=tuple(methods),
        references=tuple(references),
        provenance=dict(provenance or {}),
        data_cutoff=data_cutoff,
        draft=draft,
        generated=generated or datetime.now(UTC),
    )
    _opening.check(inputs)
    sections = _sections(inputs, progress)
    folder = Path(out_dir)
    write_all(folder, _contents(inputs, sections))
    return folder / "report.html"


def _sections(inputs: Inputs, progress: Progress | None) -> list[Section]:
    """Return the sections in reading order: the answer first, then the evidence."""
    made: list[Section] = []
    steps = _steps(inputs)
    for i, (what, make) in enumerate(steps):
        if progress is not None:
            progress(i, len(steps), what)
        section = make()
        if section is not None:
            made.append(section)
    if progress is not None:
        progress(len(steps), len(steps), "writing")
    return made


def _steps(inputs: Inputs) -> list[tuple[str, Callable[[], Section | None]]]:
    """Return what makes each section, with a word for the waiting."""
    parts: list[Section] = []

    def fit(name: str) -> Callable[[], None]:
        return lambda: parts.append(_fits.one(inputs, name))

    opening: list[tuple[str, Callable[[], Section | None]]] = [
        ("summary", lambda: _opening.summary(inputs)),
        ("dose", lambda: _dose.section(inputs.dose)),
        ("simulated trials", lambda: _operating.section(inputs.operating)),
    ]
    made = ("provenance", lambda: _opening.provenance(inputs, version("cart-pkpd")))
    if not inputs.has_trial:
        return [*opening, made]
    return [
        *opening,
        ("patients", lambda: _explorer.section(inputs)),
        ("kinetics", lambda: _trial.kinetics(inputs)),
        ("exposure", lambda: _exposure.section(inputs)),
        ("cytokines", lambda: _trial.cytokines(inputs)),
        ("endpoints", lambda: _clinical.section(inputs.endpoints)),
        *((f"fit {name}", fit(name)) for name in inputs.fits),
        ("fits", lambda: _fits.section(inputs, parts)),
        ("exposure from the model", lambda: _twin.section(inputs)),
        ("comparison", lambda: _fits.comparison_section(inputs)),
        ("search", lambda: _search.section(inputs.search)),
        ("sensitivity", lambda: _diagnostics.sensitivity_section(inputs)),
        ("data", lambda: _trial.section(inputs)),
        ("methods", lambda: _opening.methods(inputs)),
        made,
    ]


def _contents(inputs: Inputs, sections: Sequence[Section]) -> dict[str, bytes]:
    """Return every file of the report by its path within the folder, the HTML file last."""
    blocks = list(walk(sections))
    tables = [b for b in blocks if isinstance(b, Table)]
    tables += [b.table for b in blocks if isinstance(b, Attached)]
    pictures = [b for b in blocks if isinstance(b, Picture)]
    files = {f"tables/{t.name}.csv": t.to_csv().encode() for t in tables}
    files |= {f"figures/{p.name}.{p.format}": p.content for p in pictures}
    numbers = _numbers(inputs, tables, [*files])
    text = json.dumps(numbers, ensure_ascii=False, indent=1, allow_nan=False)
    files["numbers.json"] = f"{text}\n".encode()
    html = page(
        sections,
        title=inputs.title,
        subtitle=_opening.subtitle(inputs),
        draft=inputs.draft,
        footer=f"cart_pkpd {version('cart-pkpd')}. Every number on this page is in numbers.json "
        "and in tables/*.csv beside it, in full precision.",
    )
    files["report.html"] = html.encode()
    return files


def _numbers(inputs: Inputs, tables: Sequence[Table], files: Sequence[str]) -> dict[str, Any]:
    """Return everything that the report says as plain data."""
    attrs = inputs.trial.attrs
    return {
        "title": inputs.title,
        "draft": inputs.draft,
        "generated": inputs.generated.isoformat(timespec="seconds"),
        "cart_pkpd": version("cart-pkpd"),
        "source": attrs.get("source"),
        "source_sha256": attrs.get("source_sha256"),
        "data_cutoff": inputs.data_cutoff,
        "fits": {name: _fit_numbers(fit) for name, fit in inputs.fits.items()},
        "failures": dict(inputs.failures),
        "endpoints": {} if inputs.endpoints is None else _plain(inputs.endpoints.numbers()),
        "decisions": {} if inputs.dose is None else inputs.dose.numbers(),
        "operating": {} if inputs.operating is None else inputs.operating.numbers(),
        "provenance": dict(flat(inputs.provenance)),
        "tables": {t.name: t.to_json() for t in tables},
        "files": list(files),
    }


def _plain(value: Any) -> Any:
    """Return nested numbers as strict JSON has them."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else plain(value)


def _fit_numbers(fit: Fit) -> dict[str, Any]:
    result = fit.result
    verdict = {
        key: [plain(v) for v in value] if isinstance(value, tuple) else plain(value)
        for key, value in vars(result.verdict).items()
        if not key.startswith("_")
    }
    return {
        "model": result.model_name,
        "label": result.label,
        "endpoint": ", ".join(result.endpoints),
        "verdict": verdict,
        "provenance": dict(flat(result.provenance)),
    }
