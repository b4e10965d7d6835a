"""The files of an NCA: every table, then the figures, each whole or not at all."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cart_pkpd import __version__
from cart_pkpd._study import tables
from cart_pkpd._study.nca.compute import Analysis, persistence_of, proportionality
from cart_pkpd._study.nca.folder import NcaFolder
from cart_pkpd._study.nca.wording import as_flags
from cart_pkpd._study.watch import Watch

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


@dataclass(frozen=True)
class Outcome:
    """What was written.

    Attributes
    ----------
    folder : path
    files : tuple of str
        Relative to the folder.
    note : str
        What was computed, in a few words.
    figures : str
        What was drawn and what was not; empty without figures.
    endpoints : tuple of str
    """

    folder: Path
    files: tuple[str, ...]
    note: str
    figures: str
    endpoints: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome as plain data."""
        return {
            "folder": str(self.folder),
            "files": list(self.files),
            "endpoints": list(self.endpoints),
            "note": self.note,
            "figures": self.figures,
        }

    def sentence(self) -> str:
        """Return what was written where, in words."""
        drawn = f"\n{self.folder / 'figures'}: {self.figures}." if self.figures else ""
        return f"{self.folder}: {self.note}.{drawn}"


def write(analysis: Analysis, folder: NcaFolder, *, watch: Watch | None = None) -> Outcome:
    """Write the tables, then the figures.

    Parameters
    ----------
    analysis : Analysis
    folder : NcaFolder
        Free to be written to.
    watch : Watch, optional
        Hears of the progress of the figures.
    """
    folder.begin()
    note = _write_tables(analysis, folder)
    folder.checkpoint()
    drawn = _draw(analysis, folder, watch or Watch()) if analysis.settings.figures else ""
    folder.finish(figures=drawn)
    endpoints = tuple(str(p.attrs["endpoint"]) for p in analysis.params)
    return Outcome(folder.path, (*folder.files, "status.json"), note, drawn, endpoints)


def _write_tables(analysis: Analysis, folder: NcaFolder) -> str:
    import pandas as pd

    from cart_pkpd import data

    params = analysis.params
    long = pd.concat([_long(p) for p in params], ignore_index=True)
    frames = {
        "parameters.csv": long,
        "table.csv": pd.concat([_wide(p) for p in params], ignore_index=True),
        "summary.csv": pd.concat([_summary(p, analysis.by) for p in params], ignore_index=True),
        "proportionality.csv": pd.DataFrame(
            [{"endpoint": name} | asdict(found) for name, found in proportionality(analysis)]
        ),
        "candidates.csv": analysis.candidates,
        "persistence.csv": _persistence(analysis),
        "notes.csv": pd.concat([_notes(p) for p in params], ignore_index=True),
    }
    for name, frame in frames.items():
        tables.write_csv(folder.add(name), frame)
    folder.text("import_report.txt", as_flags(f"{data.import_report(analysis.trial)}\n"))
    settings = analysis.settings.to_toml(params, analysis.by, folder.path)
    folder.text("settings.toml", _head(analysis.trial) + settings)
    missing, n_ids = int(long["value"].isna().sum()), long["id"].nunique()
    patients = "1 patient" if n_ids == 1 else f"{n_ids} patients"
    reason = ", each with its reason" if missing else ""
    return f"{patients}, {len(long)} values, {missing} of them missing{reason}"


def _head(trial: xr.Dataset) -> str:
    digest = trial.attrs.get("source_sha256", "")
    lines = [
        f"cart-pkpd {__version__}: NCA of {trial.attrs.get('source', 'a table')}, SHA-256 {digest}",
        "Repeat it with: cart-pkpd nca TABLE.csv --settings settings.toml --out DIR",
    ]
    return "".join(f"# {' '.join(line.split())}\n" for line in lines) + "\n"


def _long(params: xr.Dataset) -> pd.DataFrame:
    from cart_pkpd import nca

    long = nca.long(params)
    names = long["label"] + " (" + long["unit"] + ")"
    long.insert(list(long.columns).index("PPTESTCD") + 1, "PARAM", names)
    return long


def _wide(params: xr.Dataset) -> pd.DataFrame:
    return tables.nca_wide(params).drop(columns="note", errors="ignore")


def _notes(params: xr.Dataset) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        {
            "id": params["id"].values,
            "endpoint": params.attrs["endpoint"],
            "samples": params["n"].values,
            "note": params["note"].values,
        }
    )


def _summary(params: xr.Dataset, by: Sequence[str]) -> pd.DataFrame:
    from cart_pkpd import nca

    found = nca.summary(params, by=list(by) or None)
    found.insert(0, "endpoint", params.attrs["endpoint"])
    return found


def _persistence(analysis: Analysis) -> pd.DataFrame:
    """Return the persistence of all patients, and by each variable of the summary."""
    import pandas as pd

    found = []
    for params in analysis.params:
        for by in (None, *analysis.by):
            curve = persistence_of(analysis, params, by).astype({"group": object})
            curve.insert(0, "endpoint", params.attrs["endpoint"])
            curve.insert(1, "by", by or "")
            found.append(curve)
    return pd.concat(found, ignore_index=True)


def _draw(analysis: Analysis, folder: NcaFolder, watch: Watch) -> str:
    from cart_pkpd._study.nca import figures

    began = time.monotonic()
    watch.began("figures")
    try:
        said = figures.draw(analysis, folder, watch)
        watch.ended("figures", "done", said, time.monotonic() - began)
    finally:
        watch.closed()
    return said
