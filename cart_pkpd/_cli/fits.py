"""Commands on models and fits: sbc, compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cart_pkpd._cli.common import (
    EPILOG,
    PLAN,
    Given,
    Json,
    Quiet,
    Seed,
    app,
    command,
    say,
    say_json,
    stderr,
)


@app.command("sbc", epilog=EPILOG)
@command
def calibrate(
    study_file: Annotated[
        Path | None, typer.Argument(metavar="[STUDY.TOML]", help="Run file.", show_default=False)
    ] = None,
    fit: Annotated[str | None, typer.Option(help="Which model of the run file.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Without a run file: name of a model.", rich_help_panel=PLAN)
    ] = None,
    patients: Annotated[int, typer.Option(min=1, rich_help_panel=PLAN)] = 12,
    times: Annotated[
        str, typer.Option(help="Days of the samples.", rich_help_panel=PLAN)
    ] = "0,3,7,10,14,21,28,60,90",
    lloq: Annotated[float | None, typer.Option(rich_help_panel=PLAN)] = None,
    dose: Annotated[
        float | None, typer.Option(help="Cells, to every patient.", rich_help_panel=PLAN)
    ] = None,
    iiv: Annotated[
        str, typer.Option(help="Parameters that vary: cmax,tmax.", rich_help_panel=PLAN)
    ] = "",
    error: Annotated[str, typer.Option(rich_help_panel=PLAN)] = "lognormal",
    spread: Annotated[
        list[str] | None,
        typer.Option(help="Width of a prior: cmax=0.3; repeat.", rich_help_panel=PLAN),
    ] = None,
    fix: Annotated[
        list[str] | None, typer.Option(help="Hold: beta=0.01; repeat.", rich_help_panel=PLAN)
    ] = None,
    prior: Annotated[
        list[str] | None,
        typer.Option(
            help="omega_cmax=lognormal:median=0.5,sigma=0.3; repeat.", rich_help_panel=PLAN
        ),
    ] = None,
    simulations: Annotated[int, typer.Option(min=1, help="Trials to simulate and fit.")] = 200,
    ranks: Annotated[int, typer.Option(min=2, help="Values that a rank can have.")] = 100,
    draws: Annotated[int | None, typer.Option(min=10, help="Per chain.")] = None,
    tune: Annotated[int | None, typer.Option(min=10, help="Warm-up per chain.")] = None,
    chains: Annotated[int | None, typer.Option(min=2)] = None,
    cores: Annotated[int | None, typer.Option(min=1)] = None,
    retries: Annotated[
        int, typer.Option(min=0, help="Longer chains for fits that did not converge.")
    ] = 1,
    seed: Seed = None,
    out: Annotated[
        Path, typer.Option(help="Folder; finished simulations in it are found again.")
    ] = Path("sbc"),
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Simulation-based calibration: fit trials simulated from the priors, rank the truth.

    Takes model, priors and design of a run file, or of the options under Plan. Writes
    quantities.csv (uniformity of each quantity's ranks), ranks.csv, simulations.csv (what became
    of every fit), sbc.png, sbc.json and sbc.nc. Ends with 3 if ranks are not uniform or no fit
    converged.
    """
    from cart_pkpd._core.errors import ConfigError
    from cart_pkpd._study import calibrate as work
    from cart_pkpd._study import console

    if (study_file is None) == (model is None):
        raise ConfigError("give either a run file or --model, to say what is to be calibrated.")
    given: Given = {"draws": draws, "tune": tune, "chains": chains, "cores": cores}
    settings = {k: v for k, v in given.items() if v is not None}
    if study_file is not None:
        from cart_pkpd import study

        config = study.load(study_file).with_(seed=seed)
        problem, sampling = work.of_run_file(config, fit)
        settings, seed = sampling | settings, config.spec.seed
    else:
        planned = work.PlannedTrial(
            str(model), patients, times, lloq, dose, iiv, error, spread or (), fix or (),
            prior or (),
        )  # fmt: skip
        problem = planned.problem()
    settings |= {"simulations": simulations, "ranks": ranks, "retries": retries}
    settings["seed"] = 1 if seed is None else seed
    found = work.watched(problem, out, settings, console.watch(stderr(), quiet=quiet or as_json))
    if as_json:
        say_json(work.summary(found) | {"folder": str(out)})
    else:
        say(found.attrs["sentence"])
    return work.exit_code(found)


@app.command("compare", epilog=EPILOG)
@command
def compare_fits(
    paths: Annotated[
        list[Path], typer.Argument(help="Run folders, or saved fits.", show_default=False)
    ],
    by: Annotated[str, typer.Option(help="Leave out in turn: patient or record.")] = "patient",
    criterion: Annotated[str, typer.Option(help="Ranks likelihood fits.")] = "bic_mixed",
    csv: Annotated[Path | None, typer.Option(help="Write the table here.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write it as a page here.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1)] = 1,
    as_json: Json = False,
) -> int:
    """Compare saved fits of the same records: elpd or criteria, exposure, run time."""
    from cart_pkpd._study import comparing

    code, found = comparing.compared(comparing.Asked(paths, by, criterion, csv, html, seed))
    if as_json:
        say_json({"exit_code": code} | found.as_dict())
    else:
        say(found.text())
    return code
