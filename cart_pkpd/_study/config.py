"""Reading a run file: from TOML to a checked study, or to sentences about what is wrong."""

from __future__ import annotations

import functools
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cart_pkpd._core.errors import ConfigError
from cart_pkpd._core.validate import did_you_mean
from cart_pkpd._stats.random_effects import CORRELATION
from cart_pkpd._study.grid import EITHER, Expanded, changed, expand, unused
from cart_pkpd._study.messages import sentences
from cart_pkpd._study.runfile import Model, PopulationKeys, RunFile, Sampling

_NO_FITS: Mapping[str, Any] = {"models": {}, "nca": None, "search": None}
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_FILES = (
    ("data", "table"), ("data", "subjects"), ("dose", "response"), ("dose", "counts"),
    ("endpoints", "lesions"), ("endpoints", "followup"), ("grades", "vitals"),
    ("grades", "neurology"), ("fit", "given_fit"),
)  # fmt: skip


class RunFileError(ConfigError):
    """A run file that cannot be run; ``problems`` holds a sentence for each thing wrong."""

    def __init__(self, problems: Iterable[str], source: str = "") -> None:
        self.problems: tuple[str, ...] = tuple(problems)
        self.source = source
        start = f"{source}: " if source else ""
        more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        super().__init__(f"{start}{self.problems[0]}{more}")

    def __reduce__(self) -> tuple[type, tuple[tuple[str, ...], str]]:
        return type(self), (self.problems, self.source)


@dataclass(frozen=True)
class Config:
    """A checked run file.

    Attributes
    ----------
    spec : RunFile
        What the file says, ``like`` of each model resolved, with a model for each point of a
        grid.
    source : str
        Name of the file, for messages.
    root : pathlib.Path
        Folder from which the file's relative paths count.
    grid : Expanded
        What the [grid] table became.
    as_written : RunFile or None
        What the file says, where it has a [grid] table.
    """

    spec: RunFile
    source: str
    root: Path
    grid: Expanded = field(default_factory=Expanded)
    as_written: RunFile | None = None

    @property
    def title(self) -> str:
        """Title of the study; the file's name where none is given."""
        return self.spec.title or Path(self.source).stem

    @property
    def dataset(self) -> str | None:
        """Name of the data set that the study reads, None for a table of its own or no data."""
        return self.spec.data.dataset if self.spec.data is not None else None

    def path(self, name: str) -> Path:
        """Return a path of the run file as a path of this machine."""
        return self.root / Path(name).expanduser()

    def with_(self, *, seed: int | None = None) -> Config:
        """Return the same study with another seed."""
        return self if seed is None else self._with({"seed": seed})

    def _with(self, changes: Mapping[str, Any]) -> Config:
        """Return the same study with other tables; without its models, it has no grid."""
        spec = self.spec.model_copy(update=changes)
        if "models" in changes:
            return replace(self, spec=spec, grid=Expanded(), as_written=None)
        written = self.as_written and self.as_written.model_copy(update=changes)
        return replace(self, spec=spec, as_written=written)

    def only_dose(self) -> Config:
        """Return the same study with nothing but its dose step.

        Raises
        ------
        RunFileError
            If the file has no [dose] table.
        """
        if self.spec.dose is None:
            raise RunFileError(
                ["has no [dose] table; add one with levels and [dose.designs.*]."], self.source
            )
        if not self.spec.decides:
            raise RunFileError(
                ["has neither [data] nor dose.counts, so there is no dose to decide on."],
                self.source,
            )
        return self._with({**_NO_FITS, "operating": None})

    def only_operating(self, *, trials: int | None = None) -> Config:
        """Return the same study with nothing but its simulated trials.

        Parameters
        ----------
        trials : int, optional
            How many, instead of the file's number.

        Raises
        ------
        RunFileError
            If the file has no [operating] table.
        """
        table = self.spec.operating
        if table is None:
            raise RunFileError(
                ["has no [operating] table; add one with target, max_patients and accrual."],
                self.source,
            )
        if trials is not None:
            table = table.model_copy(update={"trials": trials})
        dose = self.spec.dose
        if dose is not None:  # nothing is decided: only designs and levels are used
            dose = dose.model_copy(
                update=dict.fromkeys(("counts", "current", "chain", "below", "response"))
            )
        bare: dict[str, Any] = dict.fromkeys(("endpoints", "data", "grades"))
        bare |= {"operating": table, "dose": dose}
        return self._with({**_NO_FITS, **bare})

    def only_endpoints(self) -> Config:
        """Return the same study with nothing but its step on clinical endpoints.

        Raises
        ------
        RunFileError
            If the file has no [endpoints] table.
        """
        if self.spec.endpoints is None:
            raise RunFileError(
                ["has no [endpoints] table; add one with lesions and followup."], self.source
            )
        return self._with({**_NO_FITS, "dose": None, "operating": None})

    def population(self, name: str) -> dict[str, Any]:
        """Return the arguments of `fit.population` for one of the models."""
        merged = self._merged(name, self.spec.population, PopulationKeys)
        own = self.spec.models[name].given()
        replaced = [other for mine, other in EITHER if mine in own and other not in own]
        apart = self.unused_priors(name)
        priors = {**(self.spec.population.given().get("priors", {})), **own.get("priors", {})}
        merged["priors"] = {key: value for key, value in priors.items() if key not in apart}
        return {key: value for key, value in merged.items() if key not in replaced and value != {}}

    def unused_priors(self, name: str) -> tuple[str, ...]:
        """Return the priors that a model has no use for.

        Those are shared priors of correlations for a model without any; and, in a grid, priors of
        what other points have.
        """
        own, shared = self.spec.models[name], self.spec.population
        gone = unused({**(shared.priors or {}), **(own.priors or {})}, own, shared)
        if name in self.grid.points:
            return tuple(key for key in sorted(gone) if key in self._used)
        return tuple(
            key
            for key in shared.priors or {}
            if key in gone
            and key not in (own.priors or {})
            and (key == CORRELATION or key.startswith(f"{CORRELATION}_"))
        )

    @functools.cached_property
    def _used(self) -> frozenset[str]:
        """Return the priors that at least one point of the grid has a use for."""
        found: set[str] = set()
        shared = self.spec.population
        for name in self.grid.points:
            own = self.spec.models[name]
            names = {*(shared.priors or {}), *(own.priors or {})}
            found |= names - unused(names, own, shared)
        return frozenset(found)

    def seed(self, name: str) -> int:
        """Return the seed of one of the models: its own, or the study's."""
        own = self.spec.models[name].seed
        return self.spec.seed if own is None else own

    def sampling(self, name: str) -> dict[str, Any]:
        """Return the sampler's arguments of `fit.bayes` for one of the models."""
        own = self._merged(name, self.spec.fit, Sampling)
        return own | ({"cores": self.spec.fit.cores} if self.spec.fit.cores else {})

    @property
    def given(self) -> Path | None:
        """Path of the earlier fit whose parameters are known for each patient, if there is one."""
        return None if self.spec.fit.given_fit is None else self.path(self.spec.fit.given_fit)

    @property
    def given_at(self) -> str:
        """Which average of its draws counts."""
        return self.spec.fit.given_at or "median"

    def _merged(
        self, name: str, shared: PopulationKeys | Sampling, keys: type[PopulationKeys | Sampling]
    ) -> dict[str, Any]:
        both = shared.given() | self.spec.models[name].given()
        return {key: both[key] for key in keys.model_fields if key in both}

    def resolved(self, beside: Path) -> dict[str, Any]:
        """Return the run file as a table that gives the same study when put in `beside`."""
        said = self.as_written or self.spec
        table = said.model_copy(update={"title": self.title}).given()
        for part, key in _FILES:
            if isinstance(table.get(part, {}).get(key), str):
                table[part][key] = _relative(self.path(table[part][key]), beside)
        return table


def load(path: str | Path) -> Config:
    """Read and check a run file.

    Parameters
    ----------
    path : str or path
        A TOML file; its relative paths count from its own folder.

    Returns
    -------
    Config
        Checked, with defaults filled in.

    Raises
    ------
    RunFileError
        If the file is not there, is not TOML, or holds an unknown key or an impossible value:
        one sentence for each thing wrong, with the path of the key.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RunFileError([f"cannot read it: {error.strerror}."], str(path)) from error
    except UnicodeDecodeError as error:
        raise RunFileError(["is not UTF-8 text; save it as UTF-8."], path.name) from error
    return loads(text, source=path.name, root=path.parent)


def loads(text: str, *, source: str = "run file", root: Path | None = None) -> Config:
    """Read and check the text of a run file; see `load`.

    Parameters
    ----------
    text : str
        TOML.
    source : str
        What messages call it.
    root : Path, optional
        Folder from which relative paths count; the current one by default.

    Returns
    -------
    Config
        Checked, with defaults filled in.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RunFileError([f"is not valid TOML: {error}."], source) from error
    try:
        spec = RunFile.model_validate(table)
    except ValidationError as error:
        raise RunFileError(sentences(error), source) from error
    problems = list(_bad_names(spec.models))
    if not problems:
        spec, problems = _resolve_likes(spec)
    if problems:
        raise RunFileError(problems, source)
    return _expanded(Config(spec, source, root or Path()))


def _expanded(config: Config) -> Config:
    """Return a study with a model for each point of its grid."""
    spec = config.spec
    if spec.grid is None:
        return config
    try:
        grid = expand(spec)
    except ConfigError as error:
        raise RunFileError([str(error)], config.source) from error
    plain = spec.model_copy(update={"models": dict(grid.models), "grid": None})
    return replace(config, spec=plain, grid=grid, as_written=spec)


def _bad_names(models: Mapping[str, Model]) -> Iterable[str]:
    for name in models:
        if not _FILE_NAME.fullmatch(name):
            yield (
                f"[models.{name!r}] names a file of the run folder: use letters, digits, "
                "'_', '-' and '.' only."
            )


def _resolve_likes(spec: RunFile) -> tuple[RunFile, list[str]]:
    problems: list[str] = []
    found: dict[str, Model] = {}
    for name in spec.models:
        try:
            found[name] = _resolve(name, spec.models, ())
        except ConfigError as error:
            problems.append(str(error))
    return spec.model_copy(update={"models": found}), problems


def _resolve(name: str, models: Mapping[str, Model], seen: tuple[str, ...]) -> Model:
    own = models[name]
    if own.like is None:
        return own
    chain = (*seen, name)
    if own.like in chain:
        raise ConfigError(
            f"models.{chain[0]}.like goes in a circle: {' → '.join((*chain, own.like))}."
        )
    if own.like not in models:
        raise ConfigError(
            f"models.{name}.like = \"{own.like}\" is not a table of this file."
            f"{did_you_mean(own.like, models)} Tables: {', '.join(models)}."
        )  # fmt: skip
    base = _resolve(own.like, models, chain)
    return changed(base, own.changes())


def _relative(path: Path, beside: Path) -> str:
    try:
        return Path(os.path.relpath(path, beside)).as_posix()
    except ValueError:  # another drive
        return path.resolve().as_posix()
