"""Results as plain tables: what the CSV files of a run folder hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cart_pkpd._core.safe import inert_table
from cart_pkpd._study.folder import whole_file

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from cart_pkpd._stats.population import Structure
    from cart_pkpd._study.grid import Expanded

_SCORES = ("rank", "elpd", "se", "elpd_diff", "dse", "weight")


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table whole: full precision, empty cells for what cannot be had."""
    with whole_file(path) as part:
        inert_table(table).to_csv(part, index=False, lineterminator="\n", encoding="utf-8")


def nca_wide(params: xr.Dataset) -> pd.DataFrame:
    """Return NCA results with one row per patient: id, endpoint, dose_level, parameters, note."""
    import pandas as pd

    names = [str(name) for name in params["parameter"].values]
    values = {name: params[name].values for name in [*names, "note"] if name in params}
    return pd.concat([_patients(params), pd.DataFrame(values)], axis=1)


def _patients(params: xr.Dataset) -> pd.DataFrame:
    import pandas as pd

    head = pd.DataFrame({"id": params["id"].values, "endpoint": params.attrs["endpoint"]})
    known = "dose_level" in params.coords
    return head.assign(dose_level=params["dose_level"].values if known else float("nan"))


def individual(quick: xr.Dataset) -> pd.DataFrame:
    """Return least-squares estimates with one row per patient and parameter."""
    long = quick[["estimate", "stderr"]].to_dataframe().reset_index()
    per_patient = [v for v in ("n_obs", "n_censored", "aic", "status") if v in quick]
    return long.merge(quick[per_patient].to_dataframe().reset_index(), on="id")


def excluded(structures: Mapping[str, Structure]) -> pd.DataFrame:
    """Return what each fit leaves out, one row per record or patient, with the reason."""
    import pandas as pd

    rows = [
        (name, ", ".join(one.design.endpoints), left.patient, left.row, left.reason)
        for name, one in structures.items()
        for left in one.design.exclusions
    ]
    table = pd.DataFrame(rows, columns=["fit", "endpoint", "patient", "row", "reason"])
    return table.astype({"row": "Int64"})  # empty for a patient without any record


def parameters(fits: Mapping[str, Any]) -> pd.DataFrame:
    """Return the parameter tables of all fits below each other, with the fit's name first."""
    import pandas as pd

    found = []
    for name, result in fits.items():
        table = result.table().rename_axis("parameter").reset_index()
        table.insert(0, "fit", name)
        table.insert(1, "converged", result.verdict.ok)
        found.append(table)
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=["fit"])


def grid(found: Expanded) -> pd.DataFrame:
    """Return the fits of a grid, one row each, with the name of their value on every axis."""
    import pandas as pd

    axes = [axis.name for axis in found.axes]
    rows = [(p.name, p.model, *p.levels.values()) for p in found.points.values()]
    return pd.DataFrame(rows, columns=["fit", "model", *axes])


def ranking(
    table: pd.DataFrame | None, failures: Mapping[str, str], varied: Expanded | None = None
) -> pd.DataFrame:
    """Return the comparison with the fits that failed below it, each with its reason.

    Where models come from a grid, ``attrs["axes"]`` names the columns that say what was varied.
    """
    ranked = _with_failures(table, failures)
    if varied is None or not varied.points:
        return ranked
    levels = grid(varied).set_index("fit")
    several = [name for name in levels if levels[name].nunique() > 1]
    joined = ranked.join(levels[several].reindex(ranked.index).fillna(""))
    joined.attrs = {**ranked.attrs, "axes": several}
    return joined


def _with_failures(table: pd.DataFrame | None, failures: Mapping[str, str]) -> pd.DataFrame:
    import pandas as pd

    lost = pd.DataFrame(
        [
            {"converged": False, "reliable": False, "verdict": f"Failed: {why}"}
            | dict.fromkeys(_SCORES, float("nan"))
            for why in failures.values()
        ],
        index=pd.Index(list(failures), name="fit"),
    )
    if table is None or table.empty:
        return lost
    both = pd.concat([table, lost]) if failures else table
    both.attrs = dict(table.attrs)
    return both.rename_axis("fit")
