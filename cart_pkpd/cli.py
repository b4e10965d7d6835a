"""The command line: run, demo, dose, operating, endpoints, check, nca, sbc, compare and others.

Exit codes: 0 fine, 1 usage or run file, 2 data, 3 fitted but not converged, 4 engine failure,
130 stopped with Ctrl-C. Results go to standard output, everything else to standard error.
Only what `--help` needs is imported at the top.
"""

from __future__ import annotations

import functools
import inspect
import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from cart_pkpd import __version__
from cart_pkpd._core.errors import CartError
from cart_pkpd._core.safe import visible
from cart_pkpd._study import faults
from cart_pkpd._study.nca import options as nca_options

app = typer.Typer(
    name="cart-pkpd",
    help="CAR-T kinetics from a trial's tables to a report.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

_EPILOG = (
    "Exit codes: 0 fine, 1 usage or run file, 2 data, 3 fitted but not converged, "
    "4 engine failure, 130 stopped."
)
# typer's own usage errors exit with 2, which is data here; the class is public in no version.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]

_OUTPUT = "What is written"
_WORKERS = "Who does the fits"
_PLAN = "Plan (instead of a run file)"
_PANELS = {
    "analysis": "Analysis",
    "rules": "Rules (times are days since the infusion)",
    "data": "Reading the table",
}

Table = Annotated[Path, typer.Argument(help="Long table of the trial (CSV).", show_default=False)]
Given = dict[str, Any]
"""The generated flags of a command that were given, by `Option.name`."""
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for scripts.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing unless it fails.")]
Seed = Annotated[int | None, typer.Option(min=0, max=2**32 - 1, help="Instead of the run file's.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run in DIR.")]


def _run_file(about: str = "") -> Any:
    text = f"Run file {about}".rstrip() + "."
    return typer.Argument(metavar="STUDY.TOML", help=escape(text), show_default=False)


def _err() -> Console:
    return Console(stderr=True)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _say_json(value: Mapping[str, Any]) -> None:
    from cart_pkpd._study.folder import json_text

    _say(json_text(value))


def _command(work: Callable[..., int]) -> Callable[..., int]:
    """Let a command fail with one sentence and the right exit code, never with a traceback."""

    @functools.wraps(work)
    def guarded(*args: Any, **options: Any) -> int:
        as_json = bool(options.get("as_json"))
        try:
            return work(*args, **options)
        except KeyboardInterrupt:
            return _failed(130, ["stopped by Ctrl-C; what was finished is kept."], as_json)
        except CartError as error:
            return _failed(_code(error), faults.sentences(error), as_json)
        except Exception as error:
            log = faults.write_traceback(error)
            said = faults.one_line(error)
            text = f"{said} This is a fault of the program; the traceback is in {log}"
            return _failed(4, [text], as_json)

    return guarded


def _code(error: CartError) -> int:
    from cart_pkpd.study import exit_code

    return exit_code(error)


def _failed(code: int, sentences: Sequence[str], as_json: bool) -> int:
    console = _err()
    for sentence in sentences:
        # Emoji off: '--window a:b: …' would show a picture for ':b:'.
        console.print(
            visible(sentence, lines=True),
            style="red",
            markup=False,
            emoji=False,
            highlight=False,
            soft_wrap=True,
        )
    if as_json:
        _say_json({"exit_code": code, "error": sentences[0], "problems": list(sentences)})
    return code


def _with_options(*homes: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Give a command one flag per option of these homes; it gets those given as ``given``."""

    def decorate(work: Callable[..., int]) -> Callable[..., int]:
        flags = {o.name: _flag(o) for o in nca_options.all_options() if o.home in homes}

        @functools.wraps(work)
        def command(*args: Any, **options: Any) -> int:
            given = {name: options.pop(name, None) for name in flags}
            return work(
                *args, given={k: v for k, v in given.items() if v not in (None, [])}, **options
            )

        own = inspect.signature(work, eval_str=True).parameters.values()
        shared = [p for p in own if p.name != "given"]
        command.__signature__ = inspect.Signature([*shared, *flags.values()])  # type: ignore[attr-defined]
        return command

    return decorate


def _flag(option: nca_options.Option) -> inspect.Parameter:
    """Return an option as an argument of a command, without a value of its own."""
    about = typer.Option(
        option.flag,
        help=escape(option.about),
        metavar=option.kind.metavar or None,
        rich_help_panel=_PANELS[option.home],
        show_default=False,
    )
    kind: Any = bool | None if option.kind.switch else list[str] | None
    return inspect.Parameter(
        option.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, about]
    )


@app.callback(invoke_without_command=True, epilog=_EPILOG)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        _say(f"cart-pkpd {__version__}")
        raise typer.Exit(0)
    if context.invoked_subcommand is None:
        _say(context.get_help())
        raise typer.Exit(1)


@app.command(epilog=_EPILOG)
@_command
def run(
    study_file: Annotated[Path, _run_file()],
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
            "--jobs", "-j", min=1, help="Fits at the same time.", rich_help_panel=_WORKERS
        ),
    ] = None,
    executor: Annotated[
        str | None,
        typer.Option(
            help="inline, processes or dask; the numbers are the same.  [default: processes "
            "where --jobs is above 1]",
            rich_help_panel=_WORKERS,
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="tcp://HOST:PORT", help="A running Dask scheduler.", rich_help_panel=_WORKERS
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


@app.command(epilog=_EPILOG)
@_command
def schema(
    out: Annotated[Path | None, typer.Option(help="File to write instead of printing.")] = None,
) -> int:
    """Print the JSON Schema of run files, with which an editor completes and checks keys."""
    from cart_pkpd import study
    from cart_pkpd._study.folder import json_text, write_text

    text = json_text(study.schema())
    if out is None:
        _say(text)
    else:
        write_text(out, f"{text}\n")
    return 0


@app.command(epilog=_EPILOG)
@_command
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


@app.command(epilog=_EPILOG)
@_command
def dose(
    study_file: Annotated[Path, _run_file("with a [dose] table")],
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
            _say(said)
    elif not as_json:
        steps = json.loads((folder / "status.json").read_text(encoding="utf-8"))["steps"]
        why = steps.get("dose", {}).get("note") or "the step was not reached."
        _err().print(f"No dose decision: {why}", style="red", markup=False, highlight=False,
                     soft_wrap=True)  # fmt: skip
    return code


@app.command(epilog=_EPILOG)
@_command
def operating(
    study_file: Annotated[Path, _run_file("with an [operating] table")],
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
    """Simulate trials of the designs of [dose]: what they select, whom they treat, how long.

    Writes report.html, operating/operating.json, operating/*.csv with every number, and figures.
    """
    from cart_pkpd import study
    from cart_pkpd._study import console
    from cart_pkpd._study import operating as work

    config = study.load(study_file).with_(seed=seed).only_operating(trials=trials)
    folder = out or Path("runs") / f"{study_file.stem}-operating"
    watch = console.watch(_err(), quiet=quiet)
    outcome = study.run(config, folder, overwrite=overwrite, watch=watch, jobs=jobs)
    if as_json:
        _say_json(outcome.as_dict() | {"operating": work.written(folder)})
    elif outcome.exit_code:
        return _failed(outcome.exit_code, [step.note for step in outcome.steps[:1]], as_json)
    else:
        _say(work.printed(folder, as_csv=as_csv))
    return outcome.exit_code


@app.command(epilog=_EPILOG)
@_command
def endpoints(
    study_file: Annotated[Path, _run_file("with an [endpoints] table")],
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
            _say(said)
    return code


@app.command(epilog=_EPILOG)
@_command
def simulate(
    study_file: Annotated[
        Path,
        typer.Argument(
            metavar="STUDY.TOML", help="Run file with a [simulate] table.", show_default=False
        ),
    ],
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
    watch = console.watch(_err(), quiet=quiet or as_json)
    found, path = virtual.run(
        job, out, overwrite=overwrite, watch=watch, executor=executor, jobs=jobs,
        scheduler=scheduler,
    )  # fmt: skip
    said = virtual.summed_up(found, path)
    if as_json:
        _say_json({"exit_code": 0} | said)
    elif not quiet:
        _say(virtual.sentence(said))
    return 0


def _dry_run(config: Any, folder: Path, *, overwrite: bool, resume: bool, as_json: bool) -> int:
    from cart_pkpd import study

    steps = study.plan(config, folder, overwrite=overwrite, resume=resume)
    if as_json:
        listed = [{"step": name, "what": what} for name, what in steps]
        _say_json({"exit_code": 0, "dry_run": True, "title": config.title, "steps": listed})
        return 0
    _say(f"{config.title} (seed {config.spec.seed}) would run into {folder}:")
    for name, what in steps:
        _say(f"  {name}: {what}")
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

    watch = console.watch(_err(), quiet=quiet)
    outcome = study.run(config, folder, overwrite=overwrite, resume=resume, watch=watch, **workers)
    if as_json:
        _say_json(outcome.as_dict())
        return outcome.exit_code
    if outcome.exit_code:
        text = f"Not every step went well: {outcome.trouble()}."
        _err().print(text, style="red", markup=False, highlight=False, soft_wrap=True)
    _say(f"Report: {outcome.report}")
    return outcome.exit_code


@app.command("check", epilog=_EPILOG)
@_command
@_with_options("data")
def check_table(table: Table, given: Given, as_json: Json = False) -> int:
    """Read a table and print what was found in it, or everything that is wrong with it."""
    from cart_pkpd import data
    from cart_pkpd._study.nca import compute, settings, wording

    report = data.import_report(compute.read(table, settings.resolve(given)))
    if as_json:
        _say_json({"exit_code": 0, "report": json.loads(report.to_json())})
    else:
        _say(wording.as_flags(str(report)))
    return 0


@app.command("nca", epilog=_EPILOG)
@_command
@_with_options("analysis", "rules", "data")
def nca_table(
    table: Table,
    given: Given,
    out: Annotated[
        Path, typer.Option(help="Folder for tables and figures.", rich_help_panel=_OUTPUT)
    ] = Path("nca"),
    settings_file: Annotated[
        Path | None,
        typer.Option(
            "--settings",
            help="TOML file with any of these options, such as the settings.toml of an earlier "
            "NCA; flags come first.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace an earlier NCA.", rich_help_panel=_OUTPUT),
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", help="Say nothing unless it fails.", rich_help_panel=_OUTPUT),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print the result as JSON, for scripts.", rich_help_panel=_OUTPUT
        ),
    ] = False,
) -> int:
    """Non-compartmental analysis of a table: every parameter of every patient, with reasons.

    Writes parameters.csv (long, with the reason of every missing value), table.csv (wide),
    summary.csv, proportionality.csv, candidates.csv (terminal windows), persistence.csv,
    notes.csv, import_report.txt, settings.toml and figures.
    """
    from cart_pkpd._study import console
    from cart_pkpd._study.nca import compute, folder, run, say, settings

    chosen = settings.resolve(given, settings_file)
    place = folder.NcaFolder(out, overwrite=overwrite)
    analysis = compute.compute(table, chosen)
    watch = console.watch(_err(), quiet=quiet or as_json)
    outcome = run.write(analysis, place, watch=watch)
    if as_json:
        _say_json({"exit_code": 0} | outcome.as_dict() | say.summary_data(analysis))
    elif not quiet:
        _say(f"{say.summary_text(analysis)}\n\n{outcome.sentence()}")
    return 0


@app.command("sbc", epilog=_EPILOG)
@_command
def calibrate(
    study_file: Annotated[
        Path | None, typer.Argument(metavar="[STUDY.TOML]", help="Run file.", show_default=False)
    ] = None,
    fit: Annotated[str | None, typer.Option(help="Which model of the run file.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Without a run file: name of a model.", rich_help_panel=_PLAN)
    ] = None,
    patients: Annotated[int, typer.Option(min=1, rich_help_panel=_PLAN)] = 12,
    times: Annotated[
        str, typer.Option(help="Days of the samples.", rich_help_panel=_PLAN)
    ] = "0,3,7,10,14,21,28,60,90",
    lloq: Annotated[float | None, typer.Option(rich_help_panel=_PLAN)] = None,
    dose: Annotated[
        float | None, typer.Option(help="Cells, to every patient.", rich_help_panel=_PLAN)
    ] = None,
    iiv: Annotated[
        str, typer.Option(help="Parameters that vary: cmax,tmax.", rich_help_panel=_PLAN)
    ] = "",
    error: Annotated[str, typer.Option(rich_help_panel=_PLAN)] = "lognormal",
    spread: Annotated[
        list[str] | None,
        typer.Option(help="Width of a prior: cmax=0.3; repeat.", rich_help_panel=_PLAN),
    ] = None,
    fix: Annotated[
        list[str] | None, typer.Option(help="Hold: beta=0.01; repeat.", rich_help_panel=_PLAN)
    ] = None,
    prior: Annotated[
        list[str] | None,
        typer.Option(
            help="omega_cmax=lognormal:median=0.5,sigma=0.3; repeat.", rich_help_panel=_PLAN
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
    found = work.watched(problem, out, settings, console.watch(_err(), quiet=quiet or as_json))
    if as_json:
        _say_json(work.summary(found) | {"folder": str(out)})
    else:
        _say(found.attrs["sentence"])
    return work.exit_code(found)


@app.command("compare", epilog=_EPILOG)
@_command
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
        _say_json({"exit_code": code} | found.as_dict())
    else:
        _say(found.text())
    return code


def execute(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        What stands after ``cart-pkpd``; the process's own arguments by default.
    """
    logging.getLogger("cart_pkpd").addHandler(logging.NullHandler())
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = app(args=given, prog_name="cart-pkpd", standalone_mode=False)
    except _UsageError as error:
        command = next((a for a in given if not a.startswith("-")), "")
        known = {c.name or getattr(c.callback, "__name__", "") for c in app.registered_commands}
        more = f"cart-pkpd {command} --help" if command in known else "cart-pkpd --help"
        message = error.format_message()  # type: ignore[attr-defined]
        end = "" if message.endswith((".", "?")) else "."
        return _failed(1, [f"{message}{end} See '{more}'."], "--json" in given)
    except (KeyboardInterrupt, typer.Abort):
        return _failed(130, ["stopped by Ctrl-C."], "--json" in given)
    return int(code or 0)


def main() -> None:
    """Run the command line and leave with its exit code."""
    sys.exit(execute())


if __name__ == "__main__":
    main()
