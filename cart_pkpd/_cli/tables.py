"""Commands on a table of a trial: check, nca."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cart_pkpd._cli.common import (
    EPILOG,
    OUTPUT,
    Given,
    Json,
    Table,
    app,
    command,
    say,
    say_json,
    stderr,
)
from cart_pkpd._cli.flags import with_options


@app.command("check", epilog=EPILOG)
@command
@with_options("data")
def check_table(table: Table, given: Given, as_json: Json = False) -> int:
    """Read a table and print what was found in it, or everything that is wrong with it."""
    from cart_pkpd import data
    from cart_pkpd._study.nca import compute, settings, wording

    report = data.import_report(compute.read(table, settings.resolve(given)))
    if as_json:
        say_json({"exit_code": 0, "report": json.loads(report.to_json())})
    else:
        say(wording.as_flags(str(report)))
    return 0


@app.command("nca", epilog=EPILOG)
@command
@with_options("analysis", "rules", "data")
def nca_table(
    table: Table,
    given: Given,
    out: Annotated[
        Path, typer.Option(help="Folder for tables and figures.", rich_help_panel=OUTPUT)
    ] = Path("nca"),
    settings_file: Annotated[
        Path | None,
        typer.Option(
            "--settings",
            help="TOML file with any of these options, such as the settings.toml of an earlier "
            "NCA; flags come first.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace an earlier NCA.", rich_help_panel=OUTPUT),
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", help="Say nothing unless it fails.", rich_help_panel=OUTPUT),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print the result as JSON, for scripts.", rich_help_panel=OUTPUT
        ),
    ] = False,
) -> int:
    """Non-compartmental analysis of a table: every parameter of every patient, with reasons.

    Writes parameters.csv (long, with the reason of every missing value), table.csv (wide),
    summary.csv, proportionality.csv, candidates.csv (terminal windows), persistence.csv,
    notes.csv, import_report.txt, settings.toml and figures.
    """
    from cart_pkpd._study import console
    from cart_pkpd._study.nca import compute, folder, run, settings
    from cart_pkpd._study.nca import say as saying

    chosen = settings.resolve(given, settings_file)
    place = folder.NcaFolder(out, overwrite=overwrite)
    analysis = compute.compute(table, chosen)
    watch = console.watch(stderr(), quiet=quiet or as_json)
    outcome = run.write(analysis, place, watch=watch)
    if as_json:
        say_json({"exit_code": 0} | outcome.as_dict() | saying.summary_data(analysis))
    elif not quiet:
        say(f"{saying.summary_text(analysis)}\n\n{outcome.sentence()}")
    return 0
