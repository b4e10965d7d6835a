"""A study from a run file: data, NCA, fits, comparison and report in one folder.

>>> from cart_pkpd import study
>>> config = study.load("study.toml")
>>> outcome = study.run(config, "runs/study")
>>> outcome.report
PosixPath('runs/study/report.html')
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from cart_pkpd._study import plan as _plan
from cart_pkpd._study.config import Config as Config
from cart_pkpd._study.config import RunFileError as RunFileError
from cart_pkpd._study.config import load as load
from cart_pkpd._study.config import loads as loads
from cart_pkpd._study.folder import check_free as _check_free
from cart_pkpd._study.run import Outcome as Outcome
from cart_pkpd._study.run import Step as Step
from cart_pkpd._study.run import UnexpectedError as UnexpectedError
from cart_pkpd._study.run import exit_code as exit_code
from cart_pkpd._study.run import run as run
from cart_pkpd._study.watch import Watch as Watch

__all__ = [
    "Config",
    "Outcome",
    "RunFileError",
    "Step",
    "UnexpectedError",
    "Watch",
    "demo_file",
    "exit_code",
    "load",
    "loads",
    "plan",
    "run",
    "schema",
]


def demo_file() -> Path:
    """Return the run file of the bundled study.

    Returns
    -------
    Path
        A TOML file inside the package.
    """
    return Path(__file__).parent / "_study" / "fast01.toml"


def plan(
    config: Config, out: str | Path, *, overwrite: bool = False, resume: bool = False
) -> list[tuple[str, str]]:
    """Check all that can be checked without running, and return what a run would do.

    Parameters
    ----------
    config : Config
        A run file, from `load`.
    out : path
        The run folder; nothing is written to it.
    overwrite : bool
        Whether an earlier run in it may be replaced.
    resume : bool
        Whether fits of an earlier run in it would be kept; then the data are read, and each fit
        is told with whether it is there already.

    Returns
    -------
    list of (str, str)
        Each step and what it would do, in order.

    Raises
    ------
    ConfigError
        As `run` would raise before it reads the data.
    """
    _plan.check(config)
    _check_free(Path(out), overwrite=overwrite, resume=resume)
    return _plan.steps(config, _found(config, Path(out)) if resume else None)


def _found(config: Config, out: Path) -> Collection[str]:
    """Return the fits that a resumed run would take from the earlier one; this needs the data."""
    from cart_pkpd._study import join, kept, steps

    if not any((out / "fits").glob("*.nc")):
        return ()
    return kept.find(config, join.models(config, steps.load_trial(config)), out / "fits")


def schema() -> dict[str, Any]:
    """Return the JSON Schema of run files, with which editors complete and check keys.

    Returns
    -------
    dict
        Of JSON Schema draft 2020-12.
    """
    from cart_pkpd._study.runfile import RunFile

    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **RunFile.model_json_schema(),
        "title": "Run file of cart-pkpd",
    }
