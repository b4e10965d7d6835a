"""The [grades] table of a study: CRS and ICANS of the trial's patients, graded from records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cart_pkpd._core import words
from cart_pkpd._core.safe import inert_table
from cart_pkpd._study.config import Config
from cart_pkpd._study.folder import sha256, whole_file

if TYPE_CHECKING:
    import xarray as xr

    from cart_pkpd import endpoints
    from cart_pkpd._study.folder import RunFolder

FILES = ("vitals", "neurology")


def problems(config: Config) -> list[str]:
    """Return what is wrong with the [grades] table, before any data are read."""
    return [
        f'grades.{key} = "{name}" is not a file; relative paths count from the run file\'s folder.'
        for key, name in _named(config).items()
        if not config.path(name).is_file()
    ]


def said(config: Config) -> str:
    """Return what is graded, as part of a sentence; empty for nothing."""
    names = _named(config)
    if not names:
        return ""
    what = {"vitals": "CRS", "neurology": "ICANS"}
    return "grade " + " and ".join(f"{what[k]} from {v}" for k, v in names.items())


def join(config: Config, trial: xr.Dataset) -> tuple[xr.Dataset, tuple[endpoints.Grades, ...]]:
    """Return the trial with the grades in it, and the grades with the findings behind them.

    Raises
    ------
    DataError
        If records cannot be read, or are not of the trial's patients.
    """
    names = _named(config)
    dates = _dates(config) if names else None
    found = tuple(_graded(config, key, dates) for key in names)
    for grades in found:
        trial = grades.join(trial)
    sums = {f"{k}_sha256": sha256(config.path(v).read_bytes()) for k, v in names.items()}
    return trial.assign_attrs(sums), found


def write(found: tuple[endpoints.Grades, ...], folder: RunFolder) -> str:
    """Write the grades of records, days and patients, and say how many patients had what."""
    for grades in found:
        for what in ("patients", "days", "records"):
            name = f"data/{grades.name.lower()}_{what}.csv"
            with whole_file(folder / name) as part:
                inert_table(getattr(grades, what)).to_csv(part, index=False)
    return "; ".join(_counted(g) for g in found)


def _named(config: Config) -> dict[str, str]:
    table = config.spec.grades
    files = {} if table is None else {key: getattr(table, key) for key in FILES}
    return {key: str(name) for key, name in files.items() if name is not None}


def _graded(config: Config, key: str, dates: dict[str, str] | None) -> endpoints.Grades:
    from cart_pkpd import endpoints

    table = config.spec.grades
    assert table is not None
    own = table.given()
    given: dict[str, Any] = {"day_one": own.get("day_one", False), "infusion": dates}
    path, columns = config.path(own[key]), own.get(f"{key}_columns")
    if key == "neurology":
        return endpoints.icans_grade(path, columns, **given)
    return endpoints.crs_grade(path, columns, episode_gap=own.get("episode_gap"), **given)


def _dates(config: Config) -> dict[str, str] | None:
    """Return the dates of infusion of the trial's own tables; None where they have none."""
    from cart_pkpd._data.options import Options
    from cart_pkpd._data.read import infusion_dates

    assert config.spec.data is not None
    given = config.spec.data.given()
    if "table" not in given:
        return None
    subjects = config.path(given.pop("subjects")) if "subjects" in given else None
    table = config.path(given.pop("table"))
    return infusion_dates(table, subjects, Options(**given)) or None


def _counted(grades: endpoints.Grades) -> str:
    held = grades.patients["grade"]
    had, unknown = int((held >= 1).sum()), int(held.isna().sum())
    text = f"{grades.name} in {had} of {words.count(len(held), 'patient')} with records"
    return text if not unknown else f"{text} ({unknown} not graded)"
