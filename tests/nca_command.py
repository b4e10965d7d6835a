"""`cart-pkpd nca` run in this process, a small table for it, and the files it writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cart_pkpd import cli

Command = Callable[..., tuple[int, str, str]]

FILES = [
    "candidates.csv", "import_report.txt", "notes.csv", "parameters.csv", "persistence.csv",
    "proportionality.csv", "settings.toml", "status.json", "summary.csv", "table.csv",
]  # fmt: skip


def in_process(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run ``cart-pkpd nca`` in this process; return exit code, standard output, standard error."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        code = cli.execute(["nca", *(str(a) for a in arguments)])
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return code, said.out, said.err

    return run


def write_small(folder: Path) -> Path:
    """One patient by hand: up to day 7, three halvings a week apart, then BLQ."""
    path = folder / "small.csv"
    rows = ["P1,0,0,5", "P1,3,50,5", "P1,7,800,5", "P1,14,400,5", "P1,21,200,5", "P1,28,100,5"]
    path.write_text("\n".join(["ID,TIME,DV,LLOQ", *rows, "P1,56,2,5", ""]), encoding="utf-8")
    return path


def tables(folder: Path) -> dict[str, str]:
    """Return the text of every table and settings file by name."""
    return {p.name: p.read_text(encoding="utf-8") for p in folder.glob("*.[ct][so]*")}
