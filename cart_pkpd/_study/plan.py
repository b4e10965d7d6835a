"""From a run file to models and steps: what can be known before any data are read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from cart_pkpd import datasets, models
from cart_pkpd._core.errors import CartError
from cart_pkpd._core.units import canonical
from cart_pkpd._core.validate import did_you_mean
from cart_pkpd._nca.rules import Rules
from cart_pkpd._stats import population as statistics
from cart_pkpd._study import clinical, dosing, grading, grid, operating, searching
from cart_pkpd._study.config import Config, RunFileError
from cart_pkpd._study.runfile import Parameter

_MOST_NAMED = 6  # fits named in one line


def check(config: Config) -> None:
    """Check what the run file names against what the package has.

    Raises
    ------
    RunFileError
        One sentence for each unknown model or parameter, impossible value, unknown unit, or
        file that is not there.
    """
    problems = [
        *_bad_dataset(config),
        *_missing_files(config),
        *_bad_units(config),
        *_bad_rules(config),
        *_once(config, _bad_models(config)),
        *grading.problems(config),
        *clinical.problems(config),
        *dosing.problems(config),
        *operating.problems(config),
        *searching.problems(config),
    ]
    if problems:
        raise RunFileError(problems, config.source)


def model(config: Config, name: str) -> models.Model:
    """Return the model of one [models.*] table, with its priors and fixed values."""
    table = config.spec.models[name]
    declared = models.get(str(table.model))
    changes = {key: _change(value) for key, value in table.parameters.items()}
    return declared.with_(**changes)


def steps(config: Config, found: Collection[str] | None = None) -> list[tuple[str, str]]:
    """Return the steps that the run file asks for, each with what it will do.

    Parameters
    ----------
    config : Config
        A run file.
    found : collection of str, optional
        Fits of an earlier run that will be taken from it.
    """
    done = found or ()
    spec = config.spec
    listed: list[tuple[str, str]] = []
    if spec.data is not None:
        source = spec.data.table or f"the data set '{config.dataset}'"
        said = ", ".join(filter(None, (f"read and check {source}", grading.said(config))))
        listed.append(("data", said))
    if spec.nca is not None:
        listed += [
            (f"nca {endpoint}", _windows(spec.nca.windows)) for endpoint in spec.nca.endpoints
        ]
    if spec.models and spec.fit.alone:
        first = next(iter(spec.models))
        listed.append(
            ("least squares", f"{first} for each patient of {_quoted(spec.fit.endpoints)}")
        )
    if config.grid.points:
        listed.append(("grid", grid.words(config.grid)))
    if found is not None and spec.models:
        listed.append(
            ("fits", f"{len(spec.models) - len(done)} to fit, {len(done)} of the earlier run found")
        )
    listed += [(f"fit {name}", _fit_text(config, name, name in done)) for name in spec.models]
    if len(spec.models) > 1:
        many = len(spec.models) > _MOST_NAMED
        said = f"{len(spec.models)} fits" if many else ", ".join(spec.models)
        listed.append(("compare", f"rank {said}"))
    if spec.search is not None:
        listed.append(("search", searching.words(config)))
    if spec.endpoints is not None:
        listed.append(("endpoints", clinical.words(config)))
    if spec.dose is not None and spec.decides:
        listed.append(("dose", dosing.words(spec.dose)))
    if spec.operating is not None:
        listed.append(("operating", operating.words(config)))
    return [*listed, ("report", "write report.html and its tables")]


def _quoted(names: Iterable[str]) -> str:
    return " and ".join(f"'{name}'" for name in names)


def _windows(windows: list[list[float]]) -> str:
    return "days " + ", ".join(f"{start:g} to {end:g}" for start, end in windows)


def _fit_text(config: Config, name: str, done: bool) -> str:
    population, sampling = config.population(name), config.sampling(name)
    table = config.spec.models[name]
    said = ["found"] if done else []
    said += [f"{table.model} to {_quoted(config.spec.fit.endpoints)}"]
    if "iiv" in population:
        said.append(f"IIV on {', '.join(population['iiv'])}")
    if "corr" in population:
        said.append("correlated")
    unused = config.unused_priors(name)
    if unused:
        why = "nothing of that name here" if name in config.grid.points else "no corr here"
        shared = "prior" if name in config.grid.points else "shared prior"
        said.append(f"{shared} {', '.join(unused)} not used: {why}")
    if "iov" in population:
        said.append(f"IOV on {', '.join(population['iov'])}")
    for parameter, names in population.get("covariates", {}).items():
        named = (n if isinstance(n, str) else n["covariate"] for n in names)
        said.append(f"{parameter} by {', '.join(named)}")
    said += [f"{key} = {population[key]}" for key in ("error", "censoring") if key in population]
    if population.get("non_expanders"):
        said.append("some patients may not expand")
    said += [f"{key} = {sampling[key]}" for key in ("chains", "tune", "draws") if key in sampling]
    if table.seed is not None:
        said.append(f"seed = {table.seed}")
    if config.given is not None:
        said.append(f"parameters of {config.spec.fit.given_fit} known")
    return "; ".join(said)


def _bad_dataset(config: Config) -> Iterator[str]:
    name = config.dataset
    if name is not None and name not in datasets.names():
        yield (
            f"data.dataset: there is no data set '{name}'.{did_you_mean(name, datasets.names())} "
            f"There are: {', '.join(datasets.names())}."
        )


def _missing_files(config: Config) -> Iterator[str]:
    for key in ("table", "subjects"):
        name = getattr(config.spec.data, key, None)
        if name is not None and not config.path(name).is_file():
            yield (
                f"data.{key} = \"{name}\" is not a file; relative paths count from the "
                "run file's folder."
            )  # fmt: skip
    yield from _bad_given(config)


def _bad_given(config: Config) -> Iterator[str]:
    """Tell what is wrong with the fit that a sequential one is given."""
    if config.given is None:
        return
    if not config.given.is_file():
        yield (
            f'fit.given_fit = "{config.spec.fit.given_fit}" is not a file; name a saved fit, such '
            'as "runs/cells/fits/stein.nc". Relative paths count from the run file\'s folder.'
        )
    if config.spec.search is not None:
        yield "fit.given_fit: a search fits every parameter itself; leave one of the two out."


def _bad_units(config: Config) -> Iterator[str]:
    units = config.spec.data.units if config.spec.data else None
    for endpoint, unit in (units or {}).items():
        try:
            canonical(unit)
        except CartError as error:
            yield f"data.units.{endpoint}: {error}"


def _bad_rules(config: Config) -> Iterator[str]:
    try:
        Rules.from_dict(config.spec.nca.rules() if config.spec.nca else {})
    except ValueError as error:
        yield f"nca: {error}"


def _once(config: Config, problems: Iterable[str]) -> Iterator[str]:
    """Tell what is wrong with many points of a grid in the same way of the first only."""
    names = sorted(config.grid.points, key=len, reverse=True)
    told: dict[str, list[str]] = {}
    for problem in problems:
        point = next((name for name in names if f"models.{name}" in problem), None)
        told.setdefault(problem.replace(point, "") if point else problem, []).append(problem)
    for first, *others in told.values():
        more = f" The same is wrong with {len(others)} more of the grid." if others else ""
        yield f"{first}{more}"


def _bad_models(config: Config) -> Iterator[str]:
    for name in config.spec.models:
        try:
            declared = models.get(str(config.spec.models[name].model))
        except CartError as error:
            yield f"models.{name}.model: {error}"
            continue
        yield from _bad_parameters(config, name, declared)
        yield from _bad_population(config, name, declared)


def _bad_parameters(config: Config, name: str, declared: models.Model) -> Iterator[str]:
    for key, value in config.spec.models[name].parameters.items():
        path = f"models.{name}.parameters.{key}"
        if key not in declared.parameters:
            yield _no_parameter(path, key, name, declared)
            continue
        try:
            declared.with_(**{key: _change(value)})
        except CartError as error:
            yield f"{path}: {error}"


def _bad_population(config: Config, name: str, declared: models.Model) -> Iterator[str]:
    own, population = config.spec.models[name].given(), config.population(name)
    fixed = {key for key, v in config.spec.models[name].parameters.items() if v.fixed is not None}
    factors = {f"scale_{endpoint}" for endpoint in population.get("scale", ())}
    for part in ("iiv", "iov", "covariates"):
        path = f"models.{name}.{part}" if part in own else f"population.{part}"
        for key in population.get(part, ()):
            if key in factors:
                continue
            if key not in declared.parameters:
                yield _no_parameter(path, key, name, declared)
            elif key in fixed:
                yield f"{path}: '{key}' is fixed in models.{name}, so it cannot differ there."
    mixture = "cmax" if population.get("non_expanders") is True else population.get("non_expanders")
    if mixture and mixture not in population.get("iiv", ()):
        yield f"models.{name}: 'non_expanders' needs '{mixture}' among its 'iiv'."
    try:
        statistics.population(**population)
    except CartError as error:
        yield f"models.{name}: {error}"


def _no_parameter(path: str, key: str, name: str, declared: models.Model) -> str:
    return (
        f"{path}: models.{name} ({declared.name}) has no parameter '{key}'."
        f"{did_you_mean(key, declared.parameters)} It has: {', '.join(declared.parameters)}."
    )


def _change(value: Parameter) -> models.Fixed | dict[str, float | str]:
    if value.fixed is not None:
        return models.Fixed(value.fixed)
    return value.given()
