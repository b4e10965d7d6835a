"""The operating step of a study: from the [operating] table to simulated trials and files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cart_pkpd._core.errors import CartError, ConfigError
from cart_pkpd._core.validate import did_you_mean
from cart_pkpd._study import dosing
from cart_pkpd._study.config import Config
from cart_pkpd._study.operatingtable import ExposureTruth, Operating, ScenarioTable

if TYPE_CHECKING:
    from cart_pkpd import dose
    from cart_pkpd._study.folder import RunFolder
    from cart_pkpd.report import OperatingFindings

type Progress = Callable[[float, float, str], None]


def designs_of(config: Config) -> dict[str, dose.Design]:
    """Return the designs that are simulated, by name of their table.

    Raises
    ------
    ConfigError
        If there are none, or one that is named is not there.
    """
    table, whole = _table(config), config.spec.dose
    if whole is None:
        raise ConfigError(
            "operating needs the table [dose] with its levels and designs: these are simulated."
        )
    made = dosing.designs_of(whole)
    for name in table.designs or ():
        if name not in made:
            raise ConfigError(
                f'operating.designs: "{name}" is not a [dose.designs.*] table.'
                f"{did_you_mean(name, made)} There are: {', '.join(made)}."
            )
    return {name: made[name] for name in table.designs or made}


def scenarios_of(config: Config) -> dict[str, dose.Scenario]:
    """Return the truths of the simulated trials by name.

    Raises
    ------
    ConfigError
        For an impossible value, or a standard scenario that is not known.
    """
    table = _table(config)
    return {name: _scenario(config, name, one) for name, one in _named(table).items()}


def _table(config: Config) -> Operating:
    table = config.spec.operating
    assert table is not None
    return table


def _named(table: Operating) -> Mapping[str, Any]:
    """Return what the table says of every scenario, by name."""
    from cart_pkpd._dose.standard_scenarios import NAMES

    given = table.scenarios
    if given == "standard":
        return {name: name for name in NAMES}
    return {name: name for name in given} if isinstance(given, list) else dict(given)


def _scenario(config: Config, name: str, given: str | list[float] | ScenarioTable) -> Any:
    from cart_pkpd import dose

    table, whole, where = _table(config), config.spec.dose, f"operating.scenarios.{name}"
    assert whole is not None
    own = given.run() if isinstance(given, ScenarioTable) else {}
    p = given.p if isinstance(given, ScenarioTable) else given
    run: dict[str, Any] = table.run() | own
    for key in ("max_patients", "accrual"):
        if key not in run:
            raise ConfigError(f"operating.{key} is missing: every simulated trial needs it.")
    levels = dosing.levels_of(whole)
    try:
        if "onset" in run:
            run["onset"] = _onset(run["onset"], whole.window)
        return dose.Scenario(
            levels=levels, p=_truth(config, p, len(levels)), target=table.target,
            window=_whole(whole.window), **run,
        )  # fmt: skip
    except (CartError, ValueError) as error:
        raise ConfigError(f"{where}: {error}") from error


def _truth(config: Config, p: str | list[float] | ExposureTruth, levels: int) -> Any:
    """Return the probabilities of a scenario, or what computes them from doses."""
    from cart_pkpd import dose, models

    if isinstance(p, str):
        return dose.standard_rates(p, levels, _table(config).target)
    if isinstance(p, list):
        return p
    own = p.given()
    model = models.get(own.pop("model"))
    return dose.ExposureToxicity(model=model, seed=config.spec.seed, **own)


def _whole(window: float) -> int:
    if window != int(window):
        raise ValueError(f"simulated trials run in whole days, so dose.window cannot be {window}.")
    return int(window)


def _onset(parts: list[dict[str, Any]], window: float) -> dose.Onset:
    """Return when DLTs occur: the mixture of the shapes of the table."""
    from cart_pkpd import dose

    shapes = {"weibull": dose.weibull_onset, "beta": dose.beta_onset}
    weights: dict[dose.Onset, float] = {}
    for part in parts:
        made = shapes[part["shape"]](
            *part["parameters"], window=window, first=part["first"], last=part.get("last")
        )
        weights[made] = weights.get(made, 0.0) + part["weight"]
    return dose.mixed_onset(weights)


def problems(config: Config) -> list[str]:
    """Return what is wrong with the [operating] table, before anything is simulated."""
    if config.spec.operating is None:
        return []
    try:
        made, truths = designs_of(config), scenarios_of(config)
        for truth in truths.values():
            _check(made, truth)
    except CartError as error:
        # What is wrong with the [dose] table is said there.
        return [] if str(error).startswith("dose.") else [str(error)]
    return []


def _check(designs: Mapping[str, dose.Design], truth: dose.Scenario) -> None:
    from cart_pkpd._dose.operating import check

    for name, design in designs.items():
        try:
            check(design, truth)
        except (CartError, ValueError) as error:
            raise ConfigError(f"operating.designs: {name}: {error}") from error


def words(config: Config) -> str:
    """Return what the step will do."""
    table = _table(config)
    designs, scenarios = designs_of(config), _named(table)
    return (
        f"{table.trials:,} trials of {', '.join(designs)} in each of {len(scenarios)} scenarios: "
        f"{', '.join(scenarios)}"
    )


def simulate(
    config: Config, folder: RunFolder, jobs: int = 1, progress: Progress | None = None
) -> tuple[OperatingFindings, str]:
    """Do the operating step: simulate, write every number, and say the gist in a sentence."""
    from cart_pkpd import dose, report
    from cart_pkpd._study import tables
    from cart_pkpd._study.folder import write_json

    table, scenarios = _table(config), scenarios_of(config)
    designs = designs_of(config)
    result = dose.compare_designs(
        designs, scenarios, table.trials, seed=config.spec.seed, pending=table.pending, jobs=jobs,
        progress=progress,
    )  # fmt: skip
    found = report.OperatingFindings(result, designs, scenarios)
    for name, frame in found.frames().items():
        tables.write_csv(folder / f"operating/{name}.csv", frame)
    write_json(folder / "operating/operating.json", found.numbers())
    return found, found.sentence()


def written(folder: Path) -> dict[str, Any]:
    """Return the numbers that a run has left in its folder; empty if the step failed."""
    path = folder / "operating/operating.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def printed(folder: Path, *, as_csv: bool) -> str:
    """Return what a run has found for a terminal: as CSV, or shares in per cent, times in days."""
    import pandas as pd

    path = folder / "operating/overall.csv"
    if as_csv:
        return path.read_text(encoding="utf-8").rstrip("\n")
    table = pd.read_csv(path)
    shown = table[["scenario", "design"]].copy()
    for name, (heading, factor) in _PRINTED.items():
        shown[heading] = (factor * table[name]).round(1)
    return f"{shown.to_string(index=False)}\nReport: {folder / 'report.html'}"


_PRINTED = {
    "correct": ("correct %", 100), "overdose_selected": ("overdose %", 100),
    "none": ("none %", 100), "size": ("patients", 1), "total_dlts": ("DLTs", 1),
    "overdosed_share": ("over-dosed %", 100), "length_median": ("days, median", 1),
    "length_q90": ("days, 90 %", 1),
}  # fmt: skip
