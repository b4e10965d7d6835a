"""Commands on a run file: run, schema, demo, dose, operating, endpoints, simulate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from cart_pkpd._cli.common import (
    EPILOG,
    WORKERS,
    Given,
    Json,
    Overwrite,
    Quiet,
    Seed,
    app,
    command,
    failed,
    run_file,
    say,
    say_json,
    stderr,
)


@app.command(epilog=EPILOG)
@command
def run(
    study_file: Annotated[Path, run_file()],
    out: Annotated[
        Path | None, typer.Option(help="Run folder.  [default: runs/<name of the run file>]")
    ] = None,
    seed: Seed = None,
    overwrite: Overwrite = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with a run in DIR that was stopped, or whose run file has changed: keep "
            "every fit that would come out the same.",
        ),
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            "-j",
            min=1,
            help="Fits at the same time; processes that share simulated trials.",
            rich_help_panel=WORKERS,
        ),
    ] = None,
    executor: Annotated[
        str | None,
        typer.Option(
            help="inline, processes or dask; the numbers are the same.  [default: processes "
            "where --jobs is above 1]",
            rich_help_panel=WORKERS,
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="tcp://HOST:PORT", help="A running Dask scheduler.", rich_help_panel=WORKERS
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the run file and say what would run.")
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Run a whole study: data check, NCA, fits, comparison, report."""
    from cart_pkpd import study

    config = study.load(study_file).with_(seed=seed)
    folder = out or Path("runs") / study_file.stem
    if dry_run:
        return _dry_run(config, folder, overwrite=overwrite, resume=resume, as_json=as_json)
    workers: Given = {"workers": executor, "jobs": jobs, "scheduler": scheduler}
    return _run(
        config, folder, overwrite=overwrite, resume=resume, quiet=quiet, as_json=as_json, **workers
    )


@app.command(epilog=EPILOG)
@command
def schema(
    out: Annotated[Path | None, typer.Option(help="File to write instead of printing.")] = None,
) -> int:
    """Print the JSON Schema of run files, with which an editor completes and checks keys."""
    from cart_pkpd import study
    from cart_pkpd._study.folder import json_text, write_text

    text = json_text(study.schema())
    if out is None:
        say(text)
    else:
        write_text(out, f"{text}\n")
    return 0


@app.command(epilog=EPILOG)
@command
def demo(
    out: Annotated[Path, typer.Option(help="Run folder; an earlier run in it is replaced.")] = Path(
        "demo"
    ),
    seed: Seed = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Run the bundled study of a simulated trial and say where its report is."""
    from cart_pkpd import study

    config = study.load(study.demo_file()).with_(seed=seed)
    return _run(config, out, overwrite=True, quiet=quiet, as_json=as_json)


@app.command(epilog=EPILOG)
@command
def dose(
    study_file: Annotated[Path, run_file("with a [dose] table")],
    out: Annotated[
        Path | None, typer.Option(help="Run folder.  [default: runs/<name of the run file>-dose]")
    ] = None,
    seed: Seed = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Decide on the dose, without the rest of the study: data check, designs, exposure, report.

    Writes report.html, dose/decisions.json and dose/*.csv with every number, and figures.
    """
    from cart_pkpd import study
    from cart_pkpd._study import dosing

    config = study.load(study_file).with_(seed=seed).only_dose()
    folder = out or Path("runs") / f"{study_file.stem}-dose"
    code = _run(config, folder, overwrite=overwrite, quiet=quiet, as_json=as_json)
    found = folder / "dose" / "decisions.json"
    if not as_json and found.is_file():
        for said in dosing.lines(json.loads(found.read_text(encoding="utf-8"))):
            say(said)
    elif not as_json:
        steps = json.loads((folder / "status.json").read_text(encoding="utf-8"))["steps"]
        why = steps.get("dose", {}).get("note") or "the step was not reached."
        stderr().print(f"No dose decision: {why}", style="red", markup=False, highlight=False,
                     soft_wrap=True)  # fmt: skip
    return code


@app.command(epilog=EPILOG)
@command
def operating(
    study_file: Annotated[Path, run_file("with an [operating] table")],
    out: Annotated[
        Path | None,
        typer.Option(help="Run folder.  [default: runs/<name of the run file>-operating]"),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(min=2, max=10**6, help="Instead of the run file's number.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that share the trials.")] = 1,
    seed: Seed = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the table as CSV.")] = False,
) -> int:
    """Simulate trials of the designs of a run file: what they select, whom they treat, how long.

    Writes report.html, operating/operating.json, operating/*.csv with every number, and figures.
    """
    from cart_pkpd import study
    from cart_pkpd._study import console
    from cart_pkpd._study import operating as work

    config = study.load(study_file).with_(seed=seed).only_operating(trials=trials)
    folder = out or Path("runs") / f"{study_file.stem}-operating"
    watch = console.watch(stderr(), quiet=quiet)
    outcome = study.run(config, folder, overwrite=overwrite, watch=watch, jobs=jobs)
    if as_json:
        say_json(outcome.as_dict() | {"operating": work.written(folder)})
    elif outcome.exit_code:
        return failed(outcome.exit_code, [step.note for step in outcome.steps[:1]], as_json)
    else:
        say(work.printed(folder, as_csv=as_csv))
    return outcome.exit_code


@app.command(epilog=EPILOG)
@command
def endpoints(
    study_file: Annotated[Path, run_file("with an [endpoints] table")],
    out: Annotated[
        Path | None,
        typer.Option(help="Run folder.  [default: runs/<name of the run file>-endpoints]"),
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Derive response, PFS and OS, without the rest of the study: data check, endpoints, report.

    Writes report.html, endpoints/endpoints.json, endpoints/*.csv with every number, and figures.
    """
    from cart_pkpd import study

    config = study.load(study_file).only_endpoints()
    folder = out or Path("runs") / f"{study_file.stem}-endpoints"
    code = _run(config, folder, overwrite=overwrite, quiet=quiet, as_json=as_json)
    found = folder / "endpoints" / "endpoints.json"
    if not as_json and found.is_file():
        for said in json.loads(found.read_text(encoding="utf-8"))["answers"]:
            say(said)
    return code


@app.command(epilog=EPILOG)
@command
def simulate(
    study_file: Annotated[Path, run_file("with a [simulate] table")],
    out: Annotated[
        Path | None, typer.Option(help="File, .nc or .zarr; the table's if none.")
    ] = None,
    seed: Seed = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file.")] = False,
    executor: Annotated[str | None, typer.Option(help="inline, processes or dask.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Chunks at the same time.")] = None,
    scheduler: Annotated[str | None, typer.Option(help="Address of a Dask scheduler.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Simulate virtual patients and write them to one file, chunk by chunk."""
    from cart_pkpd._study import console, virtual

    job = virtual.read(study_file, seed)
    watch = console.watch(stderr(), quiet=quiet or as_json)
    found, path = virtual.run(
        job, out, overwrite=overwrite, watch=watch, executor=executor, jobs=jobs,
        scheduler=scheduler,
    )  # fmt: skip
    said = virtual.summed_up(found, path)
    if as_json:
        say_json({"exit_code": 0} | said)
    elif not quiet:
        say(virtual.sentence(said))
    return 0


def _dry_run(config: Any, folder: Path, *, overwrite: bool, resume: bool, as_json: bool) -> int:
    from cart_pkpd import study

    steps = study.plan(config, folder, overwrite=overwrite, resume=resume)
    if as_json:
        listed = [{"step": name, "what": what} for name, what in steps]
        say_json({"exit_code": 0, "dry_run": True, "title": config.title, "steps": listed})
        return 0
    say(f"{config.title} (seed {config.spec.seed}) would run into {folder}:")
    for name, what in steps:
        say(f"  {name}: {what}")
    return 0


def _run(
    config: Any,
    folder: Path,
    *,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
    resume: bool = False,
    **workers: Any,
) -> int:
    from cart_pkpd import study
    from cart_pkpd._study import console

    watch = console.watch(stderr(), quiet=quiet)
    outcome = study.run(config, folder, overwrite=overwrite, resume=resume, watch=watch, **workers)
    if as_json:
        say_json(outcome.as_dict())
        return outcome.exit_code
    if outcome.exit_code:
        text = f"Not every step went well: {outcome.trouble()}."
        stderr().print(text, style="red", markup=False, highlight=False, soft_wrap=True)
    say(f"Report: {outcome.report}")
    return outcome.exit_code
