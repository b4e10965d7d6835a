"""Running a study: the order of the steps, what each leaves behind, and how the run ends."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cart_pkpd import executor
from cart_pkpd._core.errors import (
    CartError,
    ConfigError,
    DataError,
    ModelError,
    UnitError,
    sentence_of,
)
from cart_pkpd._study import fitting, kept, plan, searching, steps, toml
from cart_pkpd._study.config import Config
from cart_pkpd._study.folder import RunFolder, check_free, now, write_json, write_text
from cart_pkpd._study.nca.kept import drop_others
from cart_pkpd._study.provenance import config_hash, provenance
from cart_pkpd._study.watch import Stop, Watch

if TYPE_CHECKING:
    import xarray as xr

_LOG = logging.getLogger("cart_pkpd.study")

FINE, USAGE, DATA, UNCONVERGED, ENGINE, STOPPED = 0, 1, 2, 3, 4, 130


class UnexpectedError(CartError, RuntimeError):
    """Something that should not happen happened; the traceback is in the file `log`."""

    def __init__(self, message: str, log: Path) -> None:
        self.log = log
        super().__init__(message)

    def __reduce__(self) -> tuple[type, tuple[str, Path]]:
        return type(self), (str(self), self.log)


def exit_code(error: BaseException) -> int:
    """Return the exit code for an error: 1 usage, 2 data, 4 engine, 130 stopped.

    Parameters
    ----------
    error : BaseException
        What ended a run.

    Returns
    -------
    int
        Of the command line.
    """
    if isinstance(error, KeyboardInterrupt):
        return STOPPED
    if isinstance(error, DataError | UnitError):
        return DATA
    return USAGE if isinstance(error, ConfigError | ModelError) else ENGINE


@dataclass(frozen=True)
class Step:
    """How one step of a run ended.

    Attributes
    ----------
    name : str
        ``data``, ``nca transgene``, ``fit stein``, ``compare``, ``report`` …
    state : str
        ``done``, ``unconverged`` or ``failed``.
    note : str
        One sentence: what was found, or why it failed.
    seconds : float
        Wall time. [s]
    """

    name: str
    state: str
    note: str
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """How a run ended and where its results are.

    Attributes
    ----------
    folder, report : pathlib.Path
        The run folder and the HTML file in it.
    exit_code : int
        0 fine; 3 a fit failed or did not converge; 4 no fit could be had.
    steps : tuple of Step
        In order.
    """

    folder: Path
    report: Path
    exit_code: int
    steps: tuple[Step, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome as plain data."""
        return {
            "exit_code": self.exit_code,
            "folder": str(self.folder),
            "report": str(self.report),
            "steps": [vars(step) for step in self.steps],
        }

    def trouble(self) -> str:
        """Return the steps that did not end well, each with its state; empty if all did."""
        return ", ".join(f"{s.name} ({s.state})" for s in self.steps if s.state != "done")


def run(
    config: Config,
    out: str | Path,
    *,
    overwrite: bool = False,
    resume: bool = False,
    watch: Watch | None = None,
    workers: str | executor.Executor | None = None,
    jobs: int | None = None,
    scheduler: str | None = None,
) -> Outcome:
    """Run a whole study into a folder.

    Parameters
    ----------
    config : Config
        A checked run file, from `load`.
    out : path
        Run folder; may not exist, be empty, or hold an earlier run.
    overwrite : bool
        Whether an earlier run may be replaced.
    resume : bool
        Take from an earlier run in the folder every fit and every NCA that would come out the
        same, and do the rest: after a run that was stopped or killed, or a change of the run file.
    watch : Watch, optional
        Hears of the progress.
    workers : str, Executor or None
        Who does the fits, as of `executor.get`: ``"inline"``, ``"processes"`` or ``"dask"``. The
        numbers are the same.
    jobs : int, optional
        Fits at the same time, those of a search too, and processes that share simulated trials.
    scheduler : str, optional
        Address of a running Dask scheduler.

    Returns
    -------
    Outcome
        A fit that fails or does not converge is told there and stops nothing else.

    Raises
    ------
    CartError
        If the run file, the folder or the data make a run impossible. ``status.json`` in the
        folder, once there is one, holds the same sentence.
    UnexpectedError
        For any other error; its traceback is in ``run.log``.
    """
    plan.check(config)
    check_free(Path(out), overwrite=overwrite, resume=resume)  # before workers start
    with (
        executor.get(workers, jobs=jobs, scheduler=scheduler) as staff,
        RunFolder(
            out, overwrite=overwrite, resume=resume, config_sha256=config_hash(config)
        ) as folder,
    ):
        work = _Run(config, folder, watch or Watch(), staff, jobs=jobs or 1)
        with work.stop.listening(), _log_to(folder / "run.log"):
            return _guarded(work)


def _guarded(work: _Run) -> Outcome:
    folder = work.folder
    try:
        outcome = work.all()
    except CartError as error:
        _LOG.error("%s", error)
        folder.finish("failed", exit_code(error), str(error))
        raise
    except KeyboardInterrupt:
        _LOG.error("stopped by Ctrl-C")
        folder.finish("stopped", STOPPED, "stopped by Ctrl-C")
        raise
    except Exception as error:
        _LOG.error("%s", traceback.format_exc())
        message = _of_unexpected(error, folder / "run.log")
        folder.finish("failed", ENGINE, message)
        raise UnexpectedError(message, folder / "run.log") from error
    finally:
        work.watch.closed()
    folder.finish("done", outcome.exit_code)
    return outcome


def _of_unexpected(error: Exception, log: Path) -> str:
    said = sentence_of(error)
    if isinstance(error, MemoryError):
        said = f"{said[0].upper()}{said[1:]} What was finished is kept; go on with --resume."
        return f"{said} The traceback is in {log}"
    return f"{said} This is a fault of the program, not of your study; the traceback is in {log}"


@contextlib.contextmanager
def _log_to(path: Path) -> Iterator[None]:
    """Send the package's log and all warnings to a file while a run lasts."""
    handler = _RunLog(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    package, warned = logging.getLogger("cart_pkpd"), logging.getLogger("py.warnings")
    level, spread = package.level, warned.propagate
    package.setLevel(logging.INFO)
    warned.propagate = False
    for logger in (package, warned):
        logger.addHandler(handler)
    try:
        with warnings.catch_warnings():  # puts the way of showing warnings back afterwards
            warnings.showwarning = _log_warning
            yield
    finally:
        for logger in (package, warned):
            logger.removeHandler(handler)
        package.setLevel(level)
        warned.propagate = spread
        with contextlib.suppress(OSError):  # what is left in its buffer, on a full disk
            handler.close()


class _RunLog(logging.FileHandler):
    """The log of a run; what a full disk does not take is told by the files that it refuses."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)


def _log_warning(message: Warning | str, category: type[Warning], *_place: Any, **__: Any) -> None:
    logging.getLogger("py.warnings").warning("%s: %s", category.__name__, message)


@dataclass
class _Note:
    """What a step says about itself while it runs."""

    state: str = "done"
    text: str = ""


def _told(result: Any, before: str, after: str) -> tuple[str, str]:
    """Return the state of a fit, and its verdict with what is to be said around it."""
    state = "done" if result.verdict.ok else "unconverged"
    return state, f"{before}{result.verdict.sentence} {after}".rstrip()


@dataclass
class _Run:
    """One run under way."""

    config: Config
    folder: RunFolder
    watch: Watch
    staff: executor.Executor
    stop: Stop = field(default_factory=Stop)
    done: list[Step] = field(default_factory=list)
    jobs: int = 1

    def all(self) -> Outcome:
        """Do every step that the run file asks for."""
        spec = self.config.spec
        write_text(self.folder / "config.toml", toml.dumps(self.config.resolved(self.folder.path)))
        found = self._data()
        analysed = spec.nca.endpoints if spec.nca else ()
        drop_others(self.folder / "nca", analysed)
        for endpoint in analysed:
            with self._step(f"nca {endpoint}") as note:
                note.text = steps.analyse(found, endpoint, self.folder)
        if spec.models and spec.fit.alone:
            with self._step("least squares", alone=True) as note:
                note.text = steps.least_squares(found, self.folder)
        self._fits(found)
        if len(spec.models) > 1:
            with self._step("compare") as note:
                note.text = steps.rank(found, self.folder)
        if spec.search is not None:
            with self._step("search", alone=True) as note:
                heard = self._progress("search")
                note.text, good = searching.search(found, self.folder, heard, self.staff)
                note.state = "done" if good else "unconverged"
        if spec.endpoints is not None:
            with self._step("endpoints", alone=True) as note:
                note.text = steps.derive_endpoints(found, self.folder)
        if spec.decides:
            with self._step("dose", alone=True) as note:
                note.text = steps.decide(found, self.folder)
                chain = found.dose.chain if found.dose is not None else None
                note.state = "done" if chain is None or chain.verdict.ok else "unconverged"
            if note.state == "failed":
                found.undecided = note.text
        if spec.operating is not None:
            with self._step("operating", alone=True) as note:
                heard = self._progress("operating")
                note.text = steps.simulate_designs(found, self.folder, self.jobs, heard)
        made_with = self._provenance(found.trial)
        with self._step("report") as note:
            note.text = steps.report(found, self.folder, made_with, self._progress("report"))
        return Outcome(
            self.folder.path, self.folder / "report.html", self._code(), tuple(self.done)
        )

    def _data(self) -> steps.Findings:
        """Read the trial, and check all that the run file says against it."""
        if self.config.spec.data is None:
            return steps.Findings(self.config, steps.no_trial(self.config))
        with self._step("data") as note:
            trial, note.text = steps.read(self.config, self.folder)
            steps.check_endpoints(self.config, trial)
            joined = steps.join_models(self.config, trial, self.folder)
        self._provenance(trial)
        return steps.Findings(self.config, trial, joined)

    def _provenance(self, trial: xr.Dataset) -> dict[str, Any]:
        """Write what the run was made with, so far; a stopped run has its record too."""
        checksum = trial.attrs.get("source_sha256", "no file")
        data = {"file": trial.attrs["source"], "sha256": checksum} | steps.checksums(trial)
        times = {"started": self.folder.status["started"], "written": now()}
        times |= {f"{step.name} [s]": round(step.seconds, 2) for step in self.done}
        found = provenance(self.config, data) | {"times": times}
        write_json(self.folder / "provenance.json", found)
        return found

    def _fits(self, found: steps.Findings) -> None:
        """Fit every model, or take it from the earlier run; one that fails stops no other."""
        try:
            earlier = kept.find(self.config, found.structures, self.folder / "fits")
            if self.staff.name == "inline":
                for name in self.config.spec.models:
                    self._fit(name, found, earlier.get(name))
                return
            for name, path in earlier.items():
                self._fit(name, found, path)
            self._fit_together([n for n in self.config.spec.models if n not in found.fits], found)
        finally:
            steps.in_order(found, self.folder)
            places = {f"fit {name}": i for i, name in enumerate(self.config.spec.models)}
            self.done.sort(key=lambda step: places.get(step.name, -1))

    def _fit(self, name: str, found: steps.Findings, path: Path | None) -> None:
        """Fit one model here, unless it is in a file, and keep the result."""
        step, left_out = f"fit {name}", steps.left_out(found, name)
        if left_out:
            _LOG.info("%s: %s", step, left_out)
        with self._step(step, alone=True) as note:
            result = None if path is None else kept.read(self.config, name, path)
            again = "" if result is None else "Taken from the earlier run. "
            if result is None:
                result = steps.fit_model(found, name, self._progress(step))
            self.stop.check()
            save = not again or path != self.folder / f"fits/{name}.nc"
            steps.keep(found, name, result, self.folder, save=save)
            note.state, note.text = _told(result, again, left_out)
        if note.state == "failed":
            found.failures[name] = note.text

    def _fit_together(self, names: Sequence[str], found: steps.Findings) -> None:
        """Have the workers fit models; each is kept as it comes."""
        if not names:
            return
        tasks = (fitting.task(self.config, name, found.trial) for name in names)
        waiting = dict.fromkeys(names)
        self.watch.began("fits")
        self.folder.queue(f"fit {name}" for name in names)

        def came(index: int, sent: fitting.Sent | executor.Failed) -> None:
            del waiting[names[index]]
            self._take(names[index], sent, found)
            done = len(names) - len(waiting)
            self.watch.advanced("fits", done, len(names), f"{done} of {len(names)}")
            self.stop.check()

        try:
            self.staff.map(fitting.send, tasks, on_done=came)
        except KeyboardInterrupt:
            for name in waiting:
                self._ended(f"fit {name}", _Note("stopped"), 0.0)
            raise
        finally:
            self.watch.closed()

    def _take(self, name: str, sent: fitting.Sent | executor.Failed, found: steps.Findings) -> None:
        """Keep what a worker made of a model, or why it made nothing."""
        step, note, seconds = f"fit {name}", _Note(), 0.0
        if isinstance(sent, executor.Failed):
            note.state, note.text = "failed", sent.sentence
            _LOG.error("%s: %s", step, sent.traceback or sent.sentence)
        else:
            seconds = sent.seconds
            for line in sent.said:
                _LOG.info("%s: %s", step, line)
            try:
                result = fitting.unpacked(self.config, name, sent, self.folder.path / "fits")
                steps.keep(found, name, result, self.folder, save=False)
                note.state, note.text = _told(result, "", steps.left_out(found, name))
            except Exception as error:  # such as a full disk
                note.state, note.text = "failed", sentence_of(error)
                _LOG.error("%s: %s", step, traceback.format_exc())
        if note.state == "failed":
            found.failures[name] = note.text
        self._ended(step, note, seconds)

    def _progress(self, step: str) -> steps.Progress:
        def heard(done: float, total: float, note: str = "") -> None:
            self.watch.advanced(step, done, total, note)

        return heard

    @contextlib.contextmanager
    def _step(self, name: str, *, alone: bool = False) -> Iterator[_Note]:
        """Do one step and record how it ended; one that stands `alone` ends no other."""
        note, began = _Note(), time.perf_counter()
        self.watch.began(name)
        self.folder.step(name, "running")
        try:
            yield note
            self.stop.check()
        except BaseException as error:
            asked = self.stop.asked or isinstance(error, KeyboardInterrupt)
            note.state, note.text = ("stopped", "") if asked else ("failed", sentence_of(error))
            if asked and not isinstance(error, KeyboardInterrupt):
                raise KeyboardInterrupt from error  # what Ctrl-C broke on its way
            if asked or not alone or not isinstance(error, Exception):
                raise
            _LOG.error("%s: %s", name, traceback.format_exc())
        finally:
            self._ended(name, note, time.perf_counter() - began)

    def _ended(self, name: str, note: _Note, seconds: float) -> None:
        self.done.append(Step(name, note.state, note.text, round(seconds, 2)))
        self.folder.step(name, note.state, note=note.text, seconds=round(seconds, 2))
        self.watch.ended(name, note.state, note.text, seconds)
        _LOG.info("%s: %s %s (%.1f s)", name, note.state, note.text, seconds)

    def _code(self) -> int:
        fits = [step.state for step in self.done if step.name.startswith("fit ")]
        if fits and all(state == "failed" for state in fits):
            return ENGINE
        return FINE if all(step.state == "done" for step in self.done) else UNCONVERGED
