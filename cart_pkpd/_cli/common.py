"""What every command shares: the application, its flags, how it speaks and how it fails."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from cart_pkpd._core.errors import CartError
from cart_pkpd._core.safe import visible
from cart_pkpd._study import faults

app = typer.Typer(
    name="cart-pkpd",
    help="CAR-T kinetics from a trial's tables to a report.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

EPILOG = (
    "Exit codes: 0 fine, 1 usage or run file, 2 data, 3 fitted but not converged, "
    "4 engine failure, 130 stopped."
)
# typer's own usage errors exit with 2, which is data here; the class is public in no version.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]

OUTPUT = "What is written"
WORKERS = "Who does the fits"
PLAN = "Plan (instead of a run file)"

Table = Annotated[Path, typer.Argument(help="Long table of the trial (CSV).", show_default=False)]
Given = dict[str, Any]
"""The generated flags of a command that were given, by `Option.name`."""
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for scripts.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing unless it fails.")]
Seed = Annotated[int | None, typer.Option(min=0, max=2**32 - 1, help="Instead of the run file's.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run in DIR.")]


def run_file(about: str = "") -> Any:
    text = f"Run file {about}".rstrip() + "."
    return typer.Argument(metavar="STUDY.TOML", help=escape(text), show_default=False)


def stderr() -> Console:
    return Console(stderr=True)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def say_json(value: Mapping[str, Any]) -> None:
    from cart_pkpd._study.folder import json_text

    say(json_text(value))


def command(work: Callable[..., int]) -> Callable[..., int]:
    """Let a command fail with one sentence and the right exit code, never with a traceback."""

    @functools.wraps(work)
    def guarded(*args: Any, **options: Any) -> int:
        as_json = bool(options.get("as_json"))
        try:
            return work(*args, **options)
        except KeyboardInterrupt:
            return failed(130, [_stopped(work.__name__)], as_json)
        except CartError as error:
            return failed(_code(error), faults.sentences(error), as_json)
        except BrokenPipeError:  # who reads the output, such as head, has had enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except Exception as error:
            log = faults.write_traceback(error)
            return failed(4, [faults.of_the_program(error, log)], as_json)

    return guarded


def _stopped(name: str) -> str:
    """Return what is said of a command that was stopped: how a run goes on."""
    how = "; the same command with --resume goes on from there" if name == "run" else ""
    return f"stopped by Ctrl-C; what was finished is kept{how}."


def _code(error: CartError) -> int:
    from cart_pkpd.study import exit_code

    return exit_code(error)


def failed(code: int, sentences: Sequence[str], as_json: bool) -> int:
    console = stderr()
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
        say_json({"exit_code": code, "error": sentences[0], "problems": list(sentences)})
    return code
