"""The command line of `cart-pkpd`.

Exit codes: 0 fine, 1 usage or run file, 2 data, 3 fitted but not converged, 4 engine failure,
130 stopped with Ctrl-C. Results go to standard output, everything else to standard error.
Only what `--help` needs is imported at the top.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from cart_pkpd import __version__
from cart_pkpd._cli import interrupt

# Importing the commands registers them, in the order of the help.
from cart_pkpd._cli import studies as studies
from cart_pkpd._cli import tables as tables

from cart_pkpd._cli import fits as fits  # isort: skip
from cart_pkpd._cli.common import EPILOG, UsageError, app, failed, say


@app.callback(invoke_without_command=True, epilog=EPILOG)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        say(f"cart-pkpd {__version__}")
        raise typer.Exit(0)
    if context.invoked_subcommand is None:
        say(context.get_help())
        raise typer.Exit(1)


def execute(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        What stands after ``cart-pkpd``; the process's own arguments by default.
    """
    logging.getLogger("cart_pkpd").addHandler(logging.NullHandler())
    given = list(sys.argv[1:] if arguments is None else arguments)
    with interrupt.heard():
        try:
            return int(app(args=given, prog_name="cart-pkpd", standalone_mode=False) or 0)
        except UsageError as error:
            return _misused(error, given)
        except (KeyboardInterrupt, typer.Abort):
            return failed(130, ["stopped by Ctrl-C."], "--json" in given)


def _misused(error: Exception, given: Sequence[str]) -> int:
    """Say what is wrong with the arguments, and where the right ones are listed."""
    command = next((a for a in given if not a.startswith("-")), "")
    known = {c.name or getattr(c.callback, "__name__", "") for c in app.registered_commands}
    more = f"cart-pkpd {command} --help" if command in known else "cart-pkpd --help"
    message = error.format_message()  # type: ignore[attr-defined]
    end = "" if message.endswith((".", "?")) else "."
    return failed(1, [f"{message}{end} See '{more}'."], "--json" in given)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    interrupt.leave_with(execute(arguments))


if __name__ == "__main__":
    main()
