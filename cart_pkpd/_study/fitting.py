"""One fit as a task that can be done anywhere: plain data in, a file's content out."""

from __future__ import annotations

import logging
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cart_pkpd import executor
from cart_pkpd._study import plan
from cart_pkpd._study.config import Config
from cart_pkpd._study.folder import whole_file

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True, eq=False)
class Task:
    """All that one fit depends on.

    Attributes
    ----------
    name : str
        Label of the fit.
    model : str
        Name of a registered model.
    parameters, population, sampling : mapping
        As in the run file: what is changed of the model's parameters, the arguments of
        `fit.population`, and the sampler's.
    endpoint : str or sequence of str
        What is fitted.
    seed : int
        Of the sampler.
    trial : xr.Dataset
        The data.
    given : bytes or None
        Content of the file of the earlier fit of a sequential one: workers may not see its folder.
    given_at : str
        Which average of its draws counts.
    """

    name: str
    model: str
    parameters: Mapping[str, Mapping[str, Any]]
    population: Mapping[str, Any]
    sampling: Mapping[str, Any]
    endpoint: str | Sequence[str]
    seed: int
    trial: xr.Dataset
    given: bytes | None = None
    given_at: str = "median"


@dataclass(frozen=True)
class Sent:
    """A finished fit on its way from a worker.

    Attributes
    ----------
    content : bytes
        Of its netCDF file.
    seconds : float
        How long it took there. [s]
    said : tuple of str
        Warnings and log lines.
    """

    content: bytes
    seconds: float
    said: tuple[str, ...]


def task(config: Config, name: str, trial: xr.Dataset) -> Task:
    """Return the fit of one model of a run file as a task."""
    table = config.spec.models[name]
    return Task(
        name=name,
        model=str(table.model),
        parameters={key: value.given() for key, value in table.parameters.items()},
        population=config.population(name),
        sampling=config.sampling(name),
        endpoint=config.spec.fit.endpoint,
        seed=config.seed(name),
        trial=trial,
        given=None if config.given is None else config.given.read_bytes(),
        given_at=config.given_at,
    )


def fitted(one: Task, *, progress: Any = None, cores: int | None = None) -> Any:
    """Do a fit.

    Parameters
    ----------
    one : Task
        The fit.
    progress : callable, optional
        As of `fit.bayes`.
    cores : int, optional
        Most chains at the same time; the run file may say fewer.
    """
    from cart_pkpd import fit, models

    changes = {k: _change(v) for k, v in one.parameters.items()}
    sampling = dict(one.sampling)
    if cores is not None:
        sampling["cores"] = min(cores, sampling.get("cores", cores))
    if one.given is not None:
        sampling |= {"given": _earlier(one.given), "given_at": one.given_at}
    return fit.bayes(
        models.get(one.model).with_(**changes),
        one.trial,
        fit.population(**one.population),
        endpoint=one.endpoint,
        seed=one.seed,
        progress=progress,
        label=one.name,
        **sampling,
    )


def _earlier(content: bytes) -> Any:
    """Return a fit from the content of its file."""
    from cart_pkpd import fit

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "given.nc"
        path.write_bytes(content)
        return fit.load(path)


def _change(value: Mapping[str, Any]) -> Any:
    from cart_pkpd import models

    return models.Fixed(value["fixed"]) if "fixed" in value else dict(value)


def send(one: Task) -> Sent:
    """Do a fit in a worker, on its share of the machine, and return it as a file's content."""
    began = time.perf_counter()
    said: list[str] = []
    with _Heard(said), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fit.nc"
        fitted(one, cores=executor.cores_here()).save(path)
        content = path.read_bytes()
    return Sent(content, time.perf_counter() - began, tuple(said))


def unpacked(config: Config, name: str, sent: Sent, folder: Path) -> Any:
    """Write what a worker sent to a folder, whole or not at all, and return it as a result.

    Raises
    ------
    CartError
        If it cannot be written or read.
    """
    from cart_pkpd import fit

    path = folder / f"{name}.nc"
    with whole_file(path) as part:
        part.write_bytes(sent.content)
    return fit.load(path, plan.model(config, name))


class _Heard(logging.Handler):
    """Collects warnings and the package's log while a fit lasts, for the log of the run."""

    def __init__(self, said: list[str]) -> None:
        super().__init__(logging.INFO)
        self._said = said
        self._log = logging.getLogger("cart_pkpd")
        self._warnings = warnings.catch_warnings()

    def emit(self, record: logging.LogRecord) -> None:
        self._said.append(f"{record.levelname} {record.getMessage()}")

    def _warned(self, message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        self._said.append(f"WARNING {category.__name__}: {message}")

    def __enter__(self) -> None:
        self._level = self._log.level
        self._log.setLevel(logging.INFO)
        self._log.addHandler(self)
        self._warnings.__enter__()
        warnings.showwarning = self._warned

    def __exit__(self, *error: Any) -> None:
        self._warnings.__exit__(*error)
        self._log.removeHandler(self)
        self._log.setLevel(self._level)
