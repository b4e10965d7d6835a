"""From the [grid] table to one model for each point, with a name that people can read.

A name is that of the model followed by those of its values, ``stein-cmax_tmax-lognormal``, of
the keys that have more than one. It does not depend on where things stand in the file.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from cart_pkpd._core.errors import ConfigError
from cart_pkpd._core.validate import did_you_mean
from cart_pkpd._stats.error import ERRORS
from cart_pkpd._stats.random_effects import CORRELATION
from cart_pkpd._study.runfile import Changes, Grid, Model, PopulationKeys, Prior, RunFile

PLAIN = "plain"
MODEL, VARIANT = "model", "variant"
_LONGEST = 40  # letters of one value in a name
_OTHER = re.compile(r"[^A-Za-z0-9_.]+")
_TABLES = ("priors", "parameters", "covariates", "errors")
# A model's own error, in either form, replaces what is said for others in the other form.
EITHER = (("error", "errors"), ("errors", "error"))
_SIGMAS = {sigma.name for error in ERRORS.values() for sigma in error.sigmas}
_MIXTURE = ("p_non_expander", "non_expander_shift")


@dataclass(frozen=True)
class Level:
    """One value of an axis: its name, and what it changes."""

    label: str
    changes: Mapping[tuple[str, ...], Any]


@dataclass(frozen=True)
class Axis:
    """What is varied, and its values."""

    name: str
    levels: tuple[Level, ...]


@dataclass(frozen=True)
class Point:
    """One fit of a grid.

    Attributes
    ----------
    name : str
        Name of the fit and its file.
    model : str
        The [models.*] table that was varied.
    levels : mapping of str to str
        Name of the value on each axis.
    """

    name: str
    model: str
    levels: Mapping[str, str]


@dataclass(frozen=True)
class Expanded:
    """The fits that a grid asks for.

    Attributes
    ----------
    models : mapping of str to Model
        One for each point, and the models that are not varied.
    points : mapping of str to Point
        Those from the grid.
    axes : tuple of Axis
        What is varied, apart from the model.
    excluded : int
        Points that the grid leaves out.
    same : mapping of str to str
        Points that would be the same fit as another, and which.
    """

    models: Mapping[str, Model] = field(default_factory=dict)
    points: Mapping[str, Point] = field(default_factory=dict)
    axes: tuple[Axis, ...] = ()
    excluded: int = 0
    same: Mapping[str, str] = field(default_factory=dict)


def changed(base: Model, changes: Mapping[str, Any]) -> Model:
    """Return a model with other values; parameters and priors are added to those it has."""
    update = dict(changes)
    update |= {other: None for mine, other in EITHER if mine in changes and other not in changes}
    for key in ("parameters", "priors"):
        if key in changes:
            update[key] = {**(getattr(base, key) or {}), **(changes[key] or {})}
    return base.model_copy(update=update)


def expand(spec: RunFile) -> Expanded:
    """Return the fits that the [grid] table of a run file asks for.

    Raises
    ------
    ConfigError
        For a model that is not there, a value twice, an exclusion of nothing, two points of one
        name, or nothing that is left.
    """
    grid = spec.grid
    if grid is None:
        return Expanded(spec.models)
    chosen = _chosen(spec, grid)
    axes = tuple(_axes(grid))
    _check_exclusions(grid, chosen, axes)
    models: dict[str, Model] = {}
    points: dict[str, Point] = {}
    same: dict[str, str] = {}
    seen: dict[str, str] = {}
    excluded = 0
    for name, table in spec.models.items():
        if name not in chosen:
            _add(models, name, table)
            continue
        for levels in itertools.product(*(axis.levels for axis in axes)):
            point = _point(name, axes, levels)
            if _is_excluded(point, grid):
                excluded += 1
                continue
            made = _varied(table, spec.population, levels)
            content = _content(made, spec.population)
            if content in seen:
                same[point.name] = seen[content]
                continue
            seen[content] = point.name
            _add(models, point.name, made)
            points[point.name] = point
    if not points:
        raise ConfigError("grid.exclude leaves nothing of the grid.")
    return Expanded(models, points, axes, excluded, same)


def _chosen(spec: RunFile, grid: Grid) -> tuple[str, ...]:
    if not spec.models:
        raise ConfigError("[grid] varies models, and the file has no [models.*] table.")
    for name in grid.models or ():
        if name not in spec.models:
            raise ConfigError(
                f"grid.models: '{name}' is not a [models.*] table of this file."
                f"{did_you_mean(name, spec.models)} Tables: {', '.join(spec.models)}."
            )
    return tuple(spec.models if grid.models is None else grid.models)


def _add(models: dict[str, Model], name: str, made: Model) -> None:
    """Add a model, unless there is one of its name, also for disks that ignore case."""
    twice = next((other for other in models if other.casefold() == name.casefold()), None)
    if twice is not None:
        raise ConfigError(
            f"grid: two different fits would be called '{name}'; give their values names of "
            'your own, such as iiv = { few = ["cmax"], more = ["cmax", "tmax"] }.'
        )
    models[name] = made


def _axes(grid: Grid) -> Iterator[Axis]:
    for key in Changes.model_fields:
        given = getattr(grid.axes, key, None)
        if given is None:
            continue
        if key in _TABLES and isinstance(given, Mapping):
            for entry, values in given.items():
                yield _axis(f"{key}.{entry}", (key, entry), values)
        else:
            yield _axis(key, (key,), given)
    if grid.variants:
        named = [Level(name, _plainly(v.changes())) for name, v in grid.variants.items()]
        yield _checked(Axis(VARIANT, (*([Level(PLAIN, {})] if grid.plain else ()), *named)))


def _plainly(changes: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
    return {(key,): value for key, value in changes.items()}


def _axis(name: str, path: tuple[str, ...], values: Any) -> Axis:
    if isinstance(values, Mapping):
        levels = [Level(label, {path: value}) for label, value in values.items()]
    else:
        levels = [Level(label_of(path, value), {path: value}) for value in values]
    return _checked(Axis(name, tuple(levels)))


def _checked(axis: Axis) -> Axis:
    where = "grid.variants" if axis.name == VARIANT else f"grid.axes.{axis.name}"
    labels = [level.label for level in axis.levels]
    for label in labels:
        if _OTHER.sub("_", label) != label or not label[:1].isalnum():
            raise ConfigError(
                f"{where}: the name '{label}' becomes part of a file's name; use letters, digits, "
                "'_' and '.' only."
            )
        if labels.count(label) > 1:
            raise ConfigError(f"{where} has the value '{label}' twice; leave one out, or name it.")
    return axis


def label_of(path: tuple[str, ...], value: Any) -> str:
    """Return a short name for a value of a key.

    Examples
    --------
    >>> label_of(("iiv",), ["cmax", "tmax"])
    'cmax_tmax'
    >>> label_of(("draws",), 500)
    'draws500'
    >>> label_of(("covariates", "cmax"), [])
    'cmax_by_none'
    """
    *_, key = path
    said = _said(value)
    if path[0] == "covariates" and len(path) > 1:
        said = f"{key}_by_{said}"
    elif isinstance(value, bool):
        said = key if value else f"no_{key}"
    elif len(path) > 1 or isinstance(value, int | float):
        said = f"{key}{'_' if len(path) > 1 else ''}{said}"
    elif value in ([], {}):
        said = f"no_{key}"
    elif key == "corr":
        said = f"corr_{said}"
    text = _OTHER.sub("_", said).strip("_.") or "none"
    if len(text) <= _LONGEST:
        return text
    digest = hashlib.sha256(said.encode()).hexdigest()[:4]
    return f"{text[: _LONGEST - 5].rstrip('_.')}_{digest}"


def _said(value: Any) -> str:
    if isinstance(value, Prior):
        rest = {k: v for k, v in value.given().items() if k != "kind"}
        return "_".join([value.kind, *(f"{k}{_said(v)}" for k, v in rest.items())])
    if isinstance(value, BaseModel):
        return _said(value.model_dump(exclude_none=True))
    if isinstance(value, Mapping):
        return "_".join(f"{k}_{_said(v)}" for k, v in value.items()) or "none"
    if isinstance(value, list):
        return "_".join(map(_said, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _point(model: str, axes: Sequence[Axis], levels: Sequence[Level]) -> Point:
    chosen = {axis.name: level.label for axis, level in zip(axes, levels, strict=True)}
    told = {axis.name for axis in axes if len(axis.levels) > 1}
    parts = [v for k, v in chosen.items() if k in told and not (k == VARIANT and v == PLAIN)]
    return Point("-".join([model, *parts]), model, chosen)


def _varied(base: Model, shared: PopulationKeys, levels: Iterable[Level]) -> Model:
    made = base
    for level in levels:
        changes = dict[str, Any]()
        for path, value in level.changes.items():
            changes[path[0]] = value if len(path) == 1 else _entry(made, shared, path, value)
        made = changed(made, changes)
    return made


def _entry(base: Model, shared: PopulationKeys, path: tuple[str, ...], value: Any) -> Any:
    """Return a table of the model, as it is or as all share it, with one entry changed."""
    key, entry = path
    if key in ("priors", "parameters"):
        return {entry: value}  # is added to the model's own
    own = getattr(base, key)
    table = dict((getattr(shared, key, None) if own is None else own) or {})
    table[entry] = value
    return {k: v for k, v in table.items() if v != []}


def _content(made: Model, shared: PopulationKeys) -> str:
    """Return all that makes one fit, for telling two that are the same."""
    own = made.model_dump(exclude_none=True)
    gone = unused(shared.priors or {}, made, shared) | unused(made.priors or {}, made, shared)
    own["priors"] = {k: v for k, v in own.get("priors", {}).items() if k not in gone}
    return json.dumps(own, sort_keys=True)


def unused(names: Iterable[str], made: Model, shared: PopulationKeys) -> set[str]:
    """Return which priors are of something that a model does not have.

    Parameters
    ----------
    names : iterable of str
        Names of priors.
    made : Model
        The model, which comes before what is shared.
    shared : PopulationKeys
        What models share.
    """
    both = shared.given() | made.given()
    return {name for name in names if _is_gone(name, both)}


def _is_gone(prior: str, keys: Mapping[str, Any]) -> bool:
    if prior == CORRELATION or prior.startswith(f"{CORRELATION}_"):
        return not keys.get("corr")
    if prior.startswith("omega_iov_"):
        return prior.removeprefix("omega_iov_") not in keys.get("iov", ())
    if prior.startswith("omega_"):
        return prior.removeprefix("omega_") not in keys.get("iiv", ())
    if prior in _MIXTURE:
        return not keys.get("non_expanders")
    if prior.startswith("beta_"):
        return not any(prior.startswith(f"beta_{name}") for name in _covariates(keys))
    sigma = next((s for s in _SIGMAS if prior == s or prior.startswith(f"{s}_")), None)
    return sigma is not None and sigma not in _sigmas(keys)


def _covariates(keys: Mapping[str, Any]) -> Iterator[str]:
    for parameter, terms in keys.get("covariates", {}).items():
        for term in terms:
            yield f"{parameter}_{term if isinstance(term, str) else term['covariate']}"


def _sigmas(keys: Mapping[str, Any]) -> set[str]:
    named = {keys.get("error", "lognormal"), *keys.get("errors", {}).values()}
    return {sigma.name for name in named for sigma in ERRORS[name].sigmas}


def _check_exclusions(grid: Grid, models: Sequence[str], axes: Sequence[Axis]) -> None:
    known = {MODEL: list(models)} | {a.name: [v.label for v in a.levels] for a in axes}
    for place, rule in enumerate(grid.exclude):
        for key, wanted in rule.items():
            if key not in known:
                raise ConfigError(
                    f"grid.exclude[{place}]: '{key}' is not varied here."
                    f"{did_you_mean(key, known)} Varied: {', '.join(known)}."
                )
            for label in _as_list(wanted):
                if label not in known[key]:
                    raise ConfigError(
                        f"grid.exclude[{place}].{key}: there is no value '{label}'."
                        f"{did_you_mean(label, known[key])} There are: {', '.join(known[key])}."
                    )


def _is_excluded(point: Point, grid: Grid) -> bool:
    own = {MODEL: point.model, **point.levels}
    return any(
        all(own[key] in _as_list(wanted) for key, wanted in rule.items())
        for rule in grid.exclude
        if rule
    )


def _as_list(wanted: str | list[str]) -> list[str]:
    return [wanted] if isinstance(wanted, str) else wanted


def words(found: Expanded) -> str:
    """Return what a grid is made of, as a sentence without its end."""
    models = dict.fromkeys(point.model for point in found.points.values())
    sides = [f"{_counted(len(models), 'model')}"]
    sides += [f"{axis.name} ({', '.join(v.label for v in axis.levels)})" for axis in found.axes]
    said = [f"{_counted(len(found.points), 'fit')} of {' × '.join(sides)}"]
    if found.excluded:
        said.append(f"{found.excluded} excluded")
    if found.same:
        said.append(f"{len(found.same)} left out, being the same as another")
    return "; ".join(said)


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
