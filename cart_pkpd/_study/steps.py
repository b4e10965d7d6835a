"""The steps of a study, one function each: compute, write the tables, say it in a sentence.

Samplers and figures are imported by the steps that need them, so that a run with bad data
ends before they load.
"""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cart_pkpd._core.errors import CartError, ConfigError
from cart_pkpd._core.validate import did_you_mean
from cart_pkpd._stats.left_out import left_out as words_of_left_out
from cart_pkpd._study import fit_checks, fitting, grading, join, plan, tables
from cart_pkpd._study.config import Config
from cart_pkpd._study.folder import RunFolder, sha256, write_text

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from cart_pkpd._stats.population import Structure
    from cart_pkpd._study.nca.settings import Settings
    from cart_pkpd.report import DoseFindings, EndpointFindings, NotDone, OperatingFindings

_LOG = logging.getLogger("cart_pkpd.study")

type Progress = Callable[[float, float, str], None]
"""Called with what is done, of how much, and a short note."""


@dataclass
class Findings:
    """What a run has found so far.

    Attributes
    ----------
    trial : xr.Dataset
        From `data.read_table`; an empty one where decisions come from counts, or trials are only
        simulated.
    structures : mapping of str to Structure
        Each model joined with the data, by name of the model's table.
    nca : dict of str to xr.Dataset
        From `nca.table`, by endpoint.
    quick : xr.Dataset or None
        Least-squares fits per patient.
    fits, failures : dict
        By name of the model's table: the result, or why there is none.
    comparison : pd.DataFrame or None
        From `compare.models`.
    endpoints : EndpointFindings, NotDone or None
        Response, PFS and OS, or why there are none.
    dose : DoseFindings or None
        Decisions on the dose.
    undecided : str
        Why there are none, where the step failed.
    operating : OperatingFindings or None
        What the designs do in simulated trials.
    patients : xr.Dataset or None
        From `compare.patients`.
    search : Search or None
        From `compare.search`.
    """

    config: Config
    trial: xr.Dataset
    structures: Mapping[str, Structure] = field(default_factory=dict)
    nca: dict[str, xr.Dataset] = field(default_factory=dict)
    quick: xr.Dataset | None = None
    fits: dict[str, Any] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    comparison: pd.DataFrame | None = None
    endpoints: EndpointFindings | NotDone | None = None
    dose: DoseFindings | None = None
    undecided: str = ""
    operating: OperatingFindings | None = None
    patients: xr.Dataset | None = None
    search: Any = None


def read(config: Config, folder: RunFolder) -> tuple[xr.Dataset, str]:
    """Read the trial and keep its import report."""
    from cart_pkpd import data

    trial, grades = grading.join(config, _own_trial(config))
    report = data.import_report(trial)
    write_text(folder / "data/import_report.txt", f"{report}\n")
    write_text(folder / "data/import_report.json", report.to_json() + "\n")
    said = f"{report.n_patients} patients, {report.n_observations} observations"
    said = f"{said}, {report.n_doses} doses, {len(report.exclusions)} records excluded"
    return trial, f"{said}; {grading.write(grades, folder)}" if grades else said


def no_trial(config: Config) -> xr.Dataset:
    """Return what stands for the trial of a run file without [data]: where its numbers are from."""
    import xarray as xr

    counts = config.spec.dose.counts if config.spec.dose is not None else None
    if counts is None:
        return xr.Dataset(attrs={"source": "none, simulated trials"})
    if not isinstance(counts, str):
        return xr.Dataset(attrs={"source": "counts of patients and DLTs in the run file"})
    path = config.path(counts)
    found = {"source": f"counts of patients and DLTs in {path.name}"}
    return xr.Dataset(attrs=found | {"source_sha256": sha256(path.read_bytes())})


def load_trial(config: Config) -> xr.Dataset:
    """Return the trial that a run file names, with the grades that it asks for."""
    return grading.join(config, _own_trial(config))[0]


def checksums(trial: xr.Dataset) -> dict[str, str]:
    """Return the checksums of the further tables that are in a trial, by name."""
    names = (f"{key}_sha256" for key in grading.FILES)
    return {name: str(trial.attrs[name]) for name in names if name in trial.attrs}


def _own_trial(config: Config) -> xr.Dataset:
    from cart_pkpd import data, datasets

    assert config.spec.data is not None
    given = config.spec.data.given()
    if "dataset" in given:
        name = given.pop("dataset")
        return datasets.fetch(name, **given) if given or name == "car22" else datasets.load(name)
    if "subjects" in given:
        given["subjects"] = config.path(given["subjects"])
    return data.read_table(config.path(given.pop("table")), echo=False, **given)


def check_endpoints(config: Config, trial: xr.Dataset) -> None:
    """Raise ConfigError if the run file names an endpoint that the data do not hold."""
    spec = config.spec
    _check_known(trial, "nca.endpoints", spec.nca.endpoints if spec.nca else [])
    _check_known(trial, "fit.endpoint", spec.fit.endpoints if spec.models else [])


def join_models(config: Config, trial: xr.Dataset, folder: RunFolder) -> dict[str, Structure]:
    """Join every model with the data, without fitting, and list what no fit will use."""
    joined = join.models(config, trial)
    if joined:
        tables.write_csv(folder / "fits/excluded.csv", tables.excluded(joined))
    return joined


def left_out(found: Findings, name: str) -> str:
    """Return what the fit of a model leaves out, as a sentence; empty if nothing."""
    return words_of_left_out(found.structures[name].design.exclusions)


def _check_known(trial: xr.Dataset, where: str, names: Sequence[str]) -> None:
    from cart_pkpd import data

    known = data.endpoints(trial)
    for name in names:
        if name not in known:
            raise ConfigError(
                f"{where}: the data hold no endpoint '{name}'.{did_you_mean(name, known)} "
                f"They hold: {', '.join(known)}."
            )


def analyse(found: Findings, endpoint: str, folder: RunFolder) -> str:
    """Do the non-compartmental analysis of one endpoint in every window, as `cart-pkpd nca`.

    One that an earlier run has finished is taken from its folder.
    """
    from cart_pkpd._study.nca import compute, kept, run
    from cart_pkpd._study.nca.folder import NcaFolder

    settings, path = _nca_settings(found.config, endpoint), folder.path / "nca" / endpoint
    key = kept.key(found.trial, settings)
    earlier = kept.find(path, key)
    if earlier is not None:
        found.nca[endpoint] = earlier.params
        return f"Taken from the earlier run. {earlier.note}"
    if path.exists():
        shutil.rmtree(path)
    analysis = compute.analyse(found.trial, settings)
    (found.nca[endpoint],) = analysis.params
    written = run.write(analysis, NcaFolder(path))
    kept.keep(path, key, kept.Kept(found.nca[endpoint], written.note), written.files)
    return written.note


def _nca_settings(config: Config, endpoint: str) -> Settings:
    """Return what the run file says of the NCA; the report has the figures."""
    from cart_pkpd._nca.rules import Rules
    from cart_pkpd._study.nca.settings import Settings

    spec, source = config.spec.nca, config.spec.data
    assert spec is not None
    assert source is not None
    reading = source.given()
    if "subjects" in reading:
        reading["subjects"] = config.path(reading["subjects"])
    return Settings(
        rules=Rules.from_dict(spec.rules()),
        read={} if "dataset" in reading else {k: v for k, v in reading.items() if k != "table"},
        endpoints=(endpoint,),
        windows=tuple((first, last) for first, last in spec.windows),
        figures=False,
    )


def _groups(params: xr.Dataset) -> str | None:
    return "dose_level" if "dose_level" in params.coords else None


def least_squares(found: Findings, folder: RunFolder) -> str:
    """Fit the first model patient by patient."""
    from cart_pkpd import fit

    config = found.config
    name = next(iter(config.spec.models))
    found.quick = fit.least_squares(
        plan.model(config, name), found.trial, endpoint=config.spec.fit.endpoint
    )
    tables.write_csv(folder / "fits/least_squares.csv", tables.individual(found.quick))
    ok = int((found.quick["status"] == "ok").sum())
    said = f"{name}: {ok} of {found.quick.sizes['id']} patients fitted."
    return f"{said} {left_out(found, name)}".rstrip()


def fit_model(found: Findings, name: str, progress: Progress) -> Any:
    """Fit one model by Bayes."""

    def heard(news: Any) -> None:
        note = f"{news.stage}, {news.divergences} divergences" if news.done else news.stage
        progress(news.done, news.total, note)

    return fitting.fitted(fitting.task(found.config, name, found.trial), progress=heard)


def keep(found: Findings, name: str, result: Any, folder: RunFolder, *, save: bool = True) -> None:
    """Save a fit, and count it among those of the run."""
    if save:
        result.save(folder / f"fits/{name}.nc")
    found.fits[name] = result


def in_order(found: Findings, folder: RunFolder) -> None:
    """Put the fits in the order of the run file, and their parameters into one table."""
    order = found.config.spec.models
    found.fits = {name: found.fits[name] for name in order if name in found.fits}
    found.failures = {name: found.failures[name] for name in order if name in found.failures}
    if found.fits:
        tables.write_csv(folder / "fits/parameters.csv", tables.parameters(found.fits))
    if found.config.grid.points:
        tables.write_csv(folder / "fits/grid.csv", tables.grid(found.config.grid))


def rank(found: Findings, folder: RunFolder) -> str:
    """Compare the fits; those that failed or did not converge are listed, not ranked."""
    from cart_pkpd import compare

    given = found.config.spec.compare.given()
    if given.get("by") != "record" and any(fit.verdict.ok for fit in found.fits.values()):
        sizes = {k: v for k, v in given.items() if k != "by"}
        found.patients = compare.patients(found.fits, seed=found.config.spec.seed, **sizes)
        given["patients"] = found.patients
    seed = found.config.spec.seed
    table = compare.models(found.fits, seed=seed, **given).table if found.fits else None
    found.comparison = tables.ranking(table, found.failures, found.config.grid)
    tables.write_csv(folder / "fits/comparison.csv", found.comparison.reset_index())
    ranked = found.comparison[found.comparison["rank"].notna()].index
    return f"best of {len(ranked)} ranked: {ranked[0]}" if len(ranked) else "no fit to rank"


def derive_endpoints(found: Findings, folder: RunFolder) -> str:
    """Derive clinical endpoints; what is wrong with the records is kept for the report."""
    from cart_pkpd import report
    from cart_pkpd._study import clinical

    try:
        found.endpoints, said = clinical.derive(found.config, found.trial, folder)
    except CartError as error:
        found.endpoints = report.NotDone(str(error), clinical.failed(error, folder))
        raise
    return said


def decide(found: Findings, folder: RunFolder) -> str:
    """Decide on the dose by every design of the run file."""
    from cart_pkpd import report
    from cart_pkpd._study import dosing

    known = found.endpoints
    derived = known if isinstance(known, report.EndpointFindings) else None
    found.dose, said = dosing.decide(found.config, found.trial, folder, derived)
    return said


def simulate_designs(found: Findings, folder: RunFolder, jobs: int, progress: Progress) -> str:
    """Simulate trials of every design of the run file."""
    from cart_pkpd._study import operating

    found.operating, said = operating.simulate(found.config, folder, jobs, progress)
    return said


def report(
    found: Findings,
    folder: RunFolder,
    provenance: Mapping[str, Any],
    progress: Progress | None = None,
) -> str:
    """Write report.html with its tables and figures."""
    from cart_pkpd import nca, report

    config = found.config
    fits = {}
    for name in _in_detail(found):
        if progress is not None:
            progress(0, 1, f"checks of fit {name}")
        fits[name] = _with_checks(found, name)
    report.write(
        folder.path,
        title=config.title,
        trial=found.trial,
        nca=found.nca,
        nca_summary={
            name: nca.label_table(params, by=_groups(params)) for name, params in found.nca.items()
        },
        fits=fits,
        failures=found.failures,
        comparison=found.comparison,
        endpoints=found.endpoints,
        dose=found.dose,
        operating=found.operating,
        patients=found.patients,
        search=found.search,
        provenance=provenance,
        draft=config.spec.report.draft,
        data_cutoff=_cutoff(config),
        notes=(*_undecided(found), *_in_short(found, fits), *config.spec.report.notes),
        progress=progress,
    )
    size = (folder / "report.html").stat().st_size
    return f"report.html, {size / 1e6:.1f} MB"


def _in_detail(found: Findings) -> list[str]:
    """Return the fits that the report shows with tables and figures: the best, or all."""
    most, ranking = found.config.spec.report.details, found.comparison
    if most is None or ranking is None:
        return list(found.fits)
    ranked = [str(name) for name in ranking.index if str(name) in found.fits]
    return ranked[:most]


def _in_short(found: Findings, shown: Collection[str]) -> tuple[str, ...]:
    """Return that some fits are in the ranking only."""
    if len(shown) == len(found.fits):
        return ()
    which = f"the best {len(shown)} are" if len(shown) != 1 else "the best is"
    return (
        f"Of {len(found.fits)} fits, {which} shown in detail; all are in the model comparison, and "
        "their parameters in fits/parameters.csv.",
    )


def _undecided(found: Findings) -> tuple[str, ...]:
    """Return that there is no dose decision, and why, where the step failed."""
    return (f"No dose decision: {found.undecided}",) if found.undecided else ()


def _cutoff(config: Config) -> str | None:
    """Return the data cut-off as it is printed: as stated, or the day of the dose decision."""
    stated, table = config.spec.report.data_cutoff, config.spec.dose
    if stated is None and table is not None and table.as_of is not None:
        return f"day {table.as_of:g} of the trial"
    return stated


def _with_checks(found: Findings, name: str) -> Any:
    """Return a fit with what the report shows beside it."""
    from cart_pkpd import report

    result, spec = found.fits[name], found.config.spec
    made = fit_checks.of(result, spec.checks, spec.seed)
    return report.Fit(
        result,
        references=(plan.model(found.config, name).cite(),),
        exposure=() if "exposure" in spec.checks.skip else _exposure(found, result),
        missing=tuple(made.missing),
        **made.found,
    )


def _exposure(found: Findings, result: Any) -> tuple[xr.Dataset, ...]:
    """Return exposure from the model, where the fit converged and the records have an LLOQ."""
    import numpy as np

    from cart_pkpd import checks, data

    if not result.verdict.ok:
        return ()
    limits = {e: data.endpoint(found.trial, e)["lloq"].values for e in result.endpoints}
    window, seed = _window(found.config), found.config.spec.seed
    given = fit_checks.options(found.config.spec.checks, "exposure")
    return tuple(
        checks.exposure(result, endpoint=e, window=window, seed=seed, **given)
        for e in result.endpoints
        if np.isfinite(limits[e]).any()
    )


def _window(config: Config) -> tuple[float, float]:
    """Return the first window of the NCA that a curve from day 0 on can fill, or days 0 to 28."""
    windows = config.spec.nca.windows if config.spec.nca else []
    return next(((a, b) for a, b in windows if a >= 0 and math.isfinite(b)), (0.0, 28.0))
