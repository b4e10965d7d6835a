"""The NCA of one table, computed: what its files and figures are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cart_pkpd._core.errors import ConfigError, DataError
from cart_pkpd._core.validate import did_you_mean
from cart_pkpd._study.nca.settings import Settings
from cart_pkpd._study.nca.wording import in_flags

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from cart_pkpd.nca import Proportionality


@dataclass(frozen=True)
class Analysis:
    """A computed NCA, nothing of it written yet.

    Attributes
    ----------
    trial : xr.Dataset
        From `data.read_table`.
    settings : Settings
    by : tuple of str
        The groups of the summary.
    params : tuple of xr.Dataset
        From `nca.table`, one per endpoint.
    candidates : pd.DataFrame
        Every terminal window looked at.
    """

    trial: xr.Dataset
    settings: Settings
    by: tuple[str, ...]
    params: tuple[xr.Dataset, ...]
    candidates: pd.DataFrame

    @property
    def areas(self) -> list[str]:
        """Names of the areas of the windows."""
        from cart_pkpd._nca.registry import window_name

        return [f"auc{window_name(w)}" for w in self.settings.windows]


def compute(table: Path, settings: Settings) -> Analysis:
    """Read a table and analyse it; nothing is written.

    Raises
    ------
    ConfigError
        If a file is not there, or the settings name what the data do not hold.
    DataError
        If the table cannot be read as a trial.
    """
    return analyse(read(table, settings), settings)


def analyse(trial: xr.Dataset, settings: Settings) -> Analysis:
    """Analyse a trial; nothing is written.

    Raises
    ------
    ConfigError
        If the settings name what the data do not hold.
    DataError
        If no endpoint is named and none counts cells.
    """
    from cart_pkpd import nca

    endpoints = _endpoints(trial, settings)
    by = _by(trial, settings)
    parameters = _parameters(settings)
    params = [
        nca.table(
            trial, name, list(settings.windows), rules=settings.rules, parameters=parameters,
            infusion=settings.infusion,
        )
        for name in endpoints
    ]  # fmt: skip
    return Analysis(trial, settings, by, tuple(params), _candidates(trial, settings, endpoints))


def read(table: Path, settings: Settings) -> xr.Dataset:
    """Return the trial that a table holds."""
    from cart_pkpd import data

    for path in filter(None, (table, settings.read.get("subjects"))):
        if not Path(path).is_file():
            raise ConfigError(f"{path}: there is no such file.")
    try:
        return data.read_table(table, echo=False, **settings.read)
    except DataError as error:
        raise in_flags(error) from error


def _known(where: str, what: str, named: Sequence[str], known: Sequence[str]) -> None:
    for name in named:
        if name not in known:
            raise ConfigError(
                f"{where}: the data hold no {what} {name!r}.{did_you_mean(name, known)} "
                f"They hold: {', '.join(known) or 'none'}."
            )


def _endpoints(trial: xr.Dataset, settings: Settings) -> list[str]:
    from cart_pkpd import data
    from cart_pkpd._nca.trial import cell_endpoints

    if settings.endpoints is None:
        return cell_endpoints(trial)
    known = data.endpoints(trial)
    _known(settings.where("endpoints"), "endpoint", settings.endpoints, known)
    return list(settings.endpoints)


def _by(trial: xr.Dataset, settings: Settings) -> tuple[str, ...]:
    known = [str(v) for v in trial.variables if trial[v].dims == ("id",) and v != "id"]
    if settings.by is None:
        return ("dose_level",) if "dose_level" in known else ()
    lower = {name.lower(): name for name in known}  # covariates lose the case of their headers
    chosen = tuple(lower.get(name.lower(), name) for name in settings.by)
    _known(settings.where("by"), "patient variable", chosen, known)
    return chosen


def _parameters(settings: Settings) -> list[str] | None:
    from cart_pkpd import nca

    if settings.parameters is None:
        return None
    known = list(nca.parameters(list(settings.windows), settings.rules).index)
    if settings.parameters == ("all",):
        return known
    for name in settings.parameters:
        if name not in known:
            raise ConfigError(
                f"{settings.where('parameters')}: there is no parameter {name!r} with these "
                f"windows.{did_you_mean(name, known)} There are: {', '.join(known)}."
            )
    return list(settings.parameters)


def _candidates(trial: xr.Dataset, settings: Settings, endpoints: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    from cart_pkpd import nca

    found = []
    for name in endpoints:
        rows = nca.candidates(trial, name, rules=settings.rules, infusion=settings.infusion)
        rows.insert(1, "endpoint", name)
        found.append(rows)
    return pd.concat(found, ignore_index=True)


# --- by group ----------------------------------------------------------------------------------


def proportionality(analysis: Analysis) -> list[tuple[str, Proportionality]]:
    """Return endpoint and power model on the dose of Cmax and of each area that was computed.

    The dose is the amount given, or the dose level where no amount is known; with neither there
    is nothing to return.
    """
    from cart_pkpd import nca

    found = []
    for params in analysis.params:
        doses = [n for n in ("dose", "dose_level") if n in params and (params[n] > 0).any()]
        for name in ("cmax", *analysis.areas) if doses else ():
            if name in params["parameter"].values:
                power = nca.proportionality(params, name, dose=doses[0])
                found.append((str(params.attrs["endpoint"]), power))
    return found


def persistence_of(analysis: Analysis, params: xr.Dataset, by: str | None) -> pd.DataFrame:
    """Return the persistence of the patients of one endpoint, by group."""
    from cart_pkpd import nca

    how: Any = analysis.settings.persistence
    return nca.persistence(_with_persistence(analysis, params), by, method=how)


def _with_persistence(analysis: Analysis, params: xr.Dataset) -> xr.Dataset:
    """Return the table with the persistence parameters, computed where they were not asked for."""
    from cart_pkpd import nca

    if {"persistence_lower", "persistence_upper"} <= set(params.variables):
        return params
    settings = analysis.settings
    return nca.table(
        analysis.trial, str(params.attrs["endpoint"]), list(settings.windows),
        rules=settings.rules, infusion=settings.infusion,
        parameters=["persistence_lower", "persistence_upper"],
    )  # fmt: skip


def dose_unit(params: xr.Dataset) -> str:
    """Return the unit of the dose levels; empty where they are numbers of levels, not amounts."""
    own = str(params["dose_level"].attrs.get("units", ""))
    unit = own or str(params.attrs.get("dose_units", ""))
    return unit if float(params["dose_level"].min()) >= 1000 else ""
