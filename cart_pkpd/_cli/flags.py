"""Flags that are generated from the declared rules of NCA and of reading tables."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.markup import escape

from cart_pkpd._study.nca import options as nca_options

_PANELS = {
    "analysis": "Analysis",
    "rules": "Rules (times are days since the infusion)",
    "data": "Reading the table",
}


def with_options(*homes: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
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
