"""The endpoints step of a study: from lesions and follow-up to response, PFS, OS and files."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cart_pkpd._core.errors import CartError, DataError, Problem
from cart_pkpd._core.safe import inert_table
from cart_pkpd._study.config import Config
from cart_pkpd._study.endpointstable import Endpoints, ExposureTable
from cart_pkpd._study.folder import sha256

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from cart_pkpd import endpoints
    from cart_pkpd._study.folder import RunFolder
    from cart_pkpd.report import EndpointFindings

_TABLES = ("lesions", "followup")
_OTHER = {"fda": "ema", "ema": "fda"}
_READING = ("unit", "measurable", "baseline_window", "day_one")
_RECIST = ("date_back", "nodes_return")
_BEST = ("confirmation_days", "min_sd_days", "allow_ne", "allow_sd")
_PFS = ("censoring", "missed", "schedule", "window", "progression", "clinical")
_RATES = ("denominator", "interval")
_WINDOW = (0.0, 28.0)  # of the exposure [day]


def problems(config: Config) -> list[str]:
    """Return what is wrong with the [endpoints] table, before any data are read."""
    from cart_pkpd import datasets

    table, found = config.spec.endpoints, []
    if table is None:
        return []
    for key in _TABLES:
        name = getattr(table, key)
        if name is not None and not config.path(name).is_file():
            found.append(
                f"endpoints.{key} = \"{name}\" is not a file; relative paths count from the "
                "run file's folder."
            )  # fmt: skip
        if name is None and not datasets.has_table(config.dataset, key):
            found.append(f"endpoints needs '{key}', a CSV file, as the trial has none of its own.")
    return found


def words(config: Config) -> str:
    """Return what the step will do."""
    table = config.spec.endpoints
    assert table is not None
    said = f"response, PFS and OS from {_named(config, 'lesions')} and {_named(config, 'followup')}"
    return said if table.exposure_response is None else f"{said}; exposure–response"


def _named(config: Config, key: str) -> str:
    name = getattr(config.spec.endpoints, key)
    return str(name) if name else f"the {key} of '{config.dataset}'"


def derive(config: Config, trial: xr.Dataset, folder: RunFolder) -> tuple[EndpointFindings, str]:
    """Do the step: compute, write every table, and say the first answer in a sentence."""
    from cart_pkpd._study.folder import whole_file, write_json

    found = compute(config, trial)
    for name, table in found.frames().items():
        with whole_file(folder / f"endpoints/{name}.csv") as part:
            inert_table(table).to_csv(part, index=False)
    write_json(folder / "endpoints/endpoints.json", found.numbers())
    return found, " ".join(f"{lead} {text}" for lead, text in found.answers())


def failed(error: CartError, folder: RunFolder) -> tuple[Problem, ...]:
    """Return what made the step impossible, and write it where the tables would be."""
    import pandas as pd

    from cart_pkpd._study.folder import whole_file

    found = error.problems if isinstance(error, DataError) else (Problem("endpoints", str(error)),)
    with whole_file(folder / "endpoints/problems.csv") as part:
        inert_table(pd.DataFrame([vars(p) for p in found])).to_csv(part, index=False)
    return found


def compute(config: Config, trial: xr.Dataset) -> EndpointFindings:
    """Return every endpoint and what stands beside it.

    Raises
    ------
    DataError
        If lesions or follow-up are malformed, or do not hold the patients of the trial.
    """
    from cart_pkpd import endpoints, report
    from cart_pkpd._endpoints.rates import in_denominator

    table = config.spec.endpoints
    assert table is not None
    ids = [str(i) for i in trial["id"].values]
    followup = _followup(config, table, ids)
    lesions, notes = _lesions(config, table, followup, ids)
    points = endpoints.recist(lesions, **_given(table, _RECIST))
    best = endpoints.best_response(points, followup, patients=ids, **_given(table, _BEST))
    own, confirmed = _pfs_rules(table), table.response == "confirmed"
    pfs = endpoints.pfs(points, followup, **own)
    censoring = pfs.attrs["censoring"]
    tte = {
        "PFS": pfs,
        "OS": endpoints.os(followup, points),
        "DOR": endpoints.duration_of_response(points, best, followup, confirmed=confirmed, **own),
        "TTR": endpoints.time_to_response(best, followup, confirmed=confirmed),
    }
    by = _by(trial)
    choices = _choices(config, table, lesions, pfs)
    counted = in_denominator(best, trial, choices["denominator"])
    return report.EndpointFindings(
        trial=trial,
        followup=followup,
        timepoints=points,
        best=best,
        times=tte,
        other_pfs=endpoints.pfs(points, followup, **(own | {"censoring": _OTHER[censoring]})),
        rates=_rates(best, trial, table, by),
        curves={
            k: _curve(tte[k], table) for k in ("PFS", "OS", "DOR") if tte[k]["time"].notna().any()
        },
        curves_by_dose={
            k: _curve(tte[k], table, by, trial) for k in ("PFS", "OS") if by is not None
        },
        by_response=_by_response(pfs, best, table),
        exposure=_exposure(config, table, trial, best[best["id"].map(counted)], followup, tte),
        counted=counted,
        by=by,
        choices=choices,
        warnings=(*lesions.attrs["warnings"], *notes),
    )  # fmt: skip


def _followup(config: Config, table: Endpoints, ids: list[str]) -> pd.DataFrame:
    """Return the follow-up of the trial's patients, its cut-off moved to that of the run file."""
    import numpy as np

    from cart_pkpd import endpoints

    found = endpoints.read_followup(
        _source(config, "followup"), table.followup_columns, **_given(table, ("day_one",))
    )
    named = set(found["id"])
    wrong = [
        *(_who("followup_lacks", i, "the follow-up has no row for patient {}; add it.")
          for i in ids if i not in named),
        *(_who("followup_strange", i, "the follow-up holds patient {}, who is not in the trial; "
               "correct the name or leave the row out.")
          for i in sorted(named - set(ids))),
    ]  # fmt: skip
    if wrong:
        raise DataError(wrong)
    if table.cutoff is not None:
        found["cut_off_day"] = np.fmin(found["cut_off_day"], table.cutoff)
    return found


def _who(code: str, patient: str, text: str) -> Problem:
    return Problem(code, text.format(repr(patient)), patient, column="id")


def _lesions(
    config: Config, table: Endpoints, followup: pd.DataFrame, ids: list[str]
) -> tuple[pd.DataFrame, list[str]]:
    """Return the lesion records up to the data cut-off, and a note on later ones."""
    from cart_pkpd import endpoints

    found = endpoints.read_lesions(
        _source(config, "lesions"), table.lesion_columns, patients=ids, followup=followup,
        **_given(table, _READING),
    )  # fmt: skip
    last = found["id"].map(followup.set_index("id")["cut_off_day"])
    late = found["day"] > last
    if not late.any():
        return found, []
    who = ", ".join(dict.fromkeys(found.loc[late, "id"]))
    kept = found[~late].reset_index(drop=True)
    kept.attrs = dict(found.attrs)
    return kept, [f"{int(late.sum())} lesion records after the data cut-off not used ({who})."]


def _source(config: Config, key: str) -> Path | pd.DataFrame:
    from cart_pkpd import datasets

    name = getattr(config.spec.endpoints, key)
    if name is not None:
        return config.path(name)
    return datasets.load(str(config.dataset), table=key)  # type: ignore[call-overload]


def _given(table: Endpoints, names: Iterable[str]) -> dict[str, Any]:
    """Return the keys that are set, lists as tuples."""
    own = table.given()
    return {k: tuple(own[k]) if isinstance(own[k], list) else own[k] for k in names if k in own}


def _pfs_rules(table: Endpoints) -> dict[str, Any]:
    own = _given(table, _PFS)
    if own.get("missed") == 0:
        own["missed"] = None
    return own


def _by(trial: xr.Dataset) -> str | None:
    """Return what divides the patients: the dose level, where every patient has one."""
    known = "dose_level" in trial.variables and not trial["dose_level"].isnull().any()
    return "dose_level" if known else None


def _rates(best: pd.DataFrame, trial: xr.Dataset, table: Endpoints, by: str | None) -> pd.DataFrame:
    """Return rates with and without confirmation, by dose as asked and of all patients exact."""
    import pandas as pd

    from cart_pkpd import endpoints

    own, found = _given(table, _RATES), []
    for confirmed in (True, False):
        if by is not None:
            rows = endpoints.orr(
                best, trial, by=by, confirmed=confirmed, prob=table.prob, **own
            )  # fmt: skip
            found.append(rows[rows["group"] != "all"])
        exact = {k: v for k, v in own.items() if k != "interval"}
        found.append(endpoints.orr(best, trial, confirmed=confirmed, prob=table.prob, **exact))
    made = pd.concat(found, ignore_index=True)
    made.attrs = {"prob": table.prob}
    return made


def _curve(
    times: pd.DataFrame, table: Endpoints, by: str | None = None, trial: xr.Dataset | None = None
) -> endpoints.KaplanMeier:
    from cart_pkpd import endpoints

    return endpoints.kaplan_meier(
        times, by, patients=trial, months=table.months, confidence=table.prob
    )


def _by_response(
    pfs: pd.DataFrame, best: pd.DataFrame, table: Endpoints
) -> endpoints.KaplanMeier | None:
    """Return PFS from the landmark on, by response until then."""
    from cart_pkpd import endpoints

    if table.landmark is None:
        return None
    # A response that is confirmed later was not yet confirmed at the landmark.
    late = endpoints.from_landmark(pfs, table.landmark, best, confirmed=False)
    return _curve(late, table, "by_landmark")


def _exposure(
    config: Config, table: Endpoints, trial: xr.Dataset, best: pd.DataFrame,
    followup: pd.DataFrame, times: Mapping[str, pd.DataFrame],
) -> dict[tuple[str, str], endpoints.ExposureResponse | str]:  # fmt: skip
    """Return each outcome on each exposure, or why it could not be had.

    Responses are of the patients of `best`, those of the denominator.
    """
    from cart_pkpd import nca

    asked = table.exposure_response
    if asked is None:
        return {}
    params = nca.table(trial, asked.endpoint, window=_WINDOW)
    ids = params["id"].values.astype(str)
    column = best.set_index("id")["confirmed" if table.response == "confirmed" else "best"]
    responded = column.isin(["CR", "PR"]).astype(float)  # NaN for patients not in the denominator
    params["response"] = ("id", responded.reindex(ids).to_numpy())
    params["death_day"] = ("id", followup.set_index("id")["death_day"].reindex(ids).to_numpy())
    found: dict[tuple[str, str], endpoints.ExposureResponse | str] = {}
    for outcome in asked.outcomes:
        for metric in asked.metrics:
            try:
                found[outcome, metric] = _one(
                    asked, outcome, metric, params, times, config.spec.seed
                )  # fmt: skip
            except DataError as error:
                found[outcome, metric] = str(error)
    return found


def _one(
    asked: ExposureTable, outcome: str, metric: str, params: xr.Dataset,
    times: Mapping[str, pd.DataFrame], seed: int,
) -> endpoints.ExposureResponse:  # fmt: skip
    from cart_pkpd import endpoints

    shared: dict[str, Any] = {
        "covariates": asked.covariates, "death_day": "death_day", "window_end": _WINDOW[1],
        "method": asked.method, "prob": asked.prob,
        **({} if asked.method == "ml" else {"seed": seed}),
    }  # fmt: skip
    if outcome in ("pfs", "os"):
        return endpoints.exposure_response(
            params, times[outcome.upper()], metric, kind="survival", landmark=asked.landmark,
            **shared,
        )  # fmt: skip
    variable, least = {
        "response": ("response", 1),
        "crs": ("crs_grade", asked.crs_at_least),
        "icans": ("icans_grade", asked.icans_at_least),
    }[outcome]
    return endpoints.exposure_response(params, variable, metric, at_least=least, **shared)


def _choices(
    config: Config, table: Endpoints, lesions: pd.DataFrame, pfs: pd.DataFrame
) -> dict[str, Any]:
    """Return every rule of the analysis, given or by default, by its key."""
    from cart_pkpd import endpoints

    asked = table.exposure_response
    made: dict[str, Any] = {key: _file(config, key) for key in _TABLES}
    made |= _defaults(table, endpoints.read_lesions, _READING) | dict(lesions.attrs["limits"])
    made |= _defaults(table, endpoints.recist, _RECIST)
    made |= _defaults(table, endpoints.best_response, _BEST)
    made["unit"] = table.unit or "mm, unless a warning says that they are cm"
    made["response"] = table.response
    made |= _defaults(table, endpoints.pfs, _PFS)
    made["missed"] = made["missed"] or 0
    made["schedule"] = [float(d) for d in pfs.attrs["schedule"] or ()]
    made["cutoff"] = table.cutoff
    made |= _defaults(table, endpoints.orr, _RATES)
    made |= {"prob": table.prob, "months": list(table.months), "landmark": table.landmark}
    made["exposure_response"] = None if asked is None else asked.model_dump()
    return made


def _defaults(table: Endpoints, work: Callable[..., Any], names: Iterable[str]) -> dict[str, Any]:
    known = inspect.signature(work).parameters
    given = _given(table, names)
    return {name: given.get(name, known[name].default) for name in names}


def _file(config: Config, key: str) -> str:
    """Return the name of a table and its checksum."""
    from cart_pkpd import datasets

    name = getattr(config.spec.endpoints, key)
    if name is None:
        path = datasets.path(str(config.dataset)).with_name(f"{key}.csv")
    else:
        path = config.path(name)
    return f"{name or path.name} (SHA-256 {sha256(path.read_bytes())[:12]}…)"
