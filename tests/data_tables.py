"""A small table of a trial, and how tests read it."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from cart_pkpd import data

TABLE = """\
ID,TIME,DV,DVID,UNIT,LLOQ,AMT,EVID,MDV,WT,SEX
01,0,.,.,.,.,1e7,1,1,70,F
01,-1,BLQ,transgene,copies/ug,50,.,0,0,70,F
01,7,1200.5,transgene,copies/ug,50,.,0,0,70,F
01,14,50,transgene,copies/ug,50,.,0,0,70,F
01,28,0,transgene,copies/ug,50,.,0,0,70,F
01,7,33,IL-6,pg/mL,2,.,0,0,70,F
01,14,>1500,IL-6,pg/mL,2,.,0,0,70,F
01,10,.,tocilizumab,.,.,.,2,1,70,F
02,0,.,.,.,.,3e7,1,1,.,M
02,7,900,transgene,copies/ug,50,.,0,0,.,M
02,9,.,transgene,copies/ug,50,.,0,1,.,M
"""


def write(path: Path, text: str | bytes, name: str = "study.csv") -> Path:
    file = path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def read(tmp_path: Path, text: str | bytes, **options) -> xr.Dataset:
    return data.read_table(write(tmp_path, text), echo=False, **options)


def notes(trial: xr.Dataset) -> str:
    report = data.import_report(trial)
    return "\n".join([*report.notes, *report.guesses])


def comparable(trial: xr.Dataset) -> xr.Dataset:
    """Return a trial without what describes the file it came from."""
    bare = trial.drop_vars(["row", "dose_row", "event_row"])
    bare.attrs = {}
    return bare
