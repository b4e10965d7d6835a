"""A good table, what is true of it, and the ways in which people damage it.

Each way is a hypothesis strategy of `Case`: the bytes of a file, how it may be read, and what must
come of it. The truth is a transcription of the table's own cells, without the package's reader.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from hypothesis import strategies as st

Row = dict[str, str]
Rows = list[Row]
Draw = Callable[[st.SearchStrategy], Any]

COLUMNS = (
    "ID", "TIME", "NTIME", "DVID", "UNIT", "DV", "CENS", "LLOQ", "ULOQ", "AMT", "EVID", "MDV",
    "OCC", "SEX", "AGE", "WEIGHT",
)  # fmt: skip
SAME, REFUSED, EITHER = "read right", "refused", "read right or refused"


@dataclass(frozen=True)
class Truth:
    """What a table says: observations and doses by patient and time, covariates by patient."""

    observations: Mapping[tuple[str, str, float], tuple[str, float]]
    doses: Mapping[tuple[str, float], float]
    covariates: Mapping[str, tuple[str, float, float]]


@dataclass(frozen=True)
class Case:
    """A damaged table: `says` must stand in the import report, `names` in the refusal."""

    content: bytes
    outcome: str
    truth: Truth | None = None
    says: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    file: str = "trial.csv"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        # Hypothesis warns instead of telling of a failure in more than 30,000 characters.
        said = f"Case({self.content[:2000]!r}, {len(self.content)} bytes, {self.outcome!r})"
        printer.text(said)


@cache
def _bundled() -> tuple[tuple[tuple[str, str], ...], ...]:
    text = (resources.files("cart_pkpd.datasets") / "fast01" / "records.csv").read_text("utf-8")
    return tuple(
        tuple((c, row[c]) for c in COLUMNS)
        for row in csv.DictReader(io.StringIO(text))
        if row["DVID"] in ("dose", "transgene", "il6")
    )


def good(patients: int = 3, until: float = 62.0) -> Rows:
    """Return the first patients of the bundled trial: doses, transgene and IL-6."""
    rows = [dict(row) for row in _bundled()]
    kept = list(dict.fromkeys(r["ID"] for r in rows))[:patients]
    return [r for r in rows if r["ID"] in kept and float(r["TIME"]) <= until]


def truth(rows: Rows) -> Truth:
    """Return what the cells say: a value below its LLOQ, or with CENS 1, is censored at it."""
    seen, doses, people = {}, {}, {}
    for r in rows:
        people[r["ID"]] = r["SEX"], float(r["AGE"]), float(r["WEIGHT"])
        if r["EVID"] == "1":
            doses[r["ID"], float(r["TIME"])] = float(r["AMT"])
        elif r["MDV"] == "0":
            value, lloq = float(r["DV"]), float(r["LLOQ"])
            below = r["CENS"] == "1" or value < lloq
            seen[r["ID"], r["DVID"], float(r["TIME"])] = (
                ("left", lloq) if below else ("none", value)
            )
    return Truth(seen, doses, people)


def text(rows: Rows, sep: str = ",", end: str = "\n", quote: bool = False) -> str:
    """Return rows as the text of a file."""
    out = io.StringIO()
    style = csv.QUOTE_ALL if quote else csv.QUOTE_MINIMAL
    writer = csv.writer(out, delimiter=sep, lineterminator=end, quoting=style)
    writer.writerow(rows[0])
    writer.writerows(list(r.values()) for r in rows)
    return out.getvalue()


def case(rows: Rows | str | bytes, outcome: str, of: Rows | None = None, **more: Any) -> Case:
    """Return a case of rows or a text; `of` are the rows whose truth must be read."""
    content = rows if isinstance(rows, bytes) else rows if isinstance(rows, str) else text(rows)
    made = content if isinstance(content, bytes) else content.encode("utf-8")
    return Case(made, outcome, None if of is None else truth(of), **more)


WAYS: dict[str, Callable[[Draw, Rows], Case]] = {}


def way(function: Callable[[Draw, Rows], Case]) -> Callable[[Draw, Rows], Case]:
    """Count a function among the ways."""
    WAYS[function.__name__] = function
    return function


def cases(name: str, rows: Callable[[], Rows] = good) -> st.SearchStrategy[Case]:
    """Return the strategy of one way."""

    @st.composite
    def made(draw: Draw) -> Case:
        return WAYS[name](draw, rows())

    return made()


def pick(draw: Draw, rows: Rows, **wanted: str) -> Row:
    """Return one of the rows that have these cells."""
    fit = [r for r in rows if all(r[k] == v for k, v in wanted.items())]
    return fit[draw(st.integers(0, len(fit) - 1))]


def measured(draw: Draw, rows: Rows) -> Row:
    """Return a row with a quantified value."""
    found = [r for r in rows if r["EVID"] == "0" and r["MDV"] == "0" and r["CENS"] == "0"]
    return found[draw(st.integers(0, len(found) - 1))]


def line(rows: Rows, row: Row) -> str:
    """Return the line of a row in the file, as messages name it."""
    return f"row {next(i for i, r in enumerate(rows, start=2) if r is row)}"


def spoiled(rows: Rows, row: Row, column: str, cell: str, **more: Any) -> Case:
    """Return the table with one bad cell, which the refusal must name."""
    row[column] = cell
    names = (f"patient {row['ID']!r}", line(rows, row), column)
    return case(rows, REFUSED, names=names, **more)


# --- files -------------------------------------------------------------------------------------


@way
def encodings(draw: Draw, rows: Rows) -> Case:
    name = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1"]))
    says = {"utf-16": ("UTF-16",), "cp1252": ("not UTF-8",), "latin-1": ("not UTF-8",)}
    for r in rows:
        r["SEX"] = draw(st.sampled_from(["é", "ß", "Ø"])) if r is rows[0] else rows[0]["SEX"]
    body = text(rows, draw(st.sampled_from(",;\t|")), draw(st.sampled_from(["\n", "\r\n", "\r"])))
    return case(body.encode(name), SAME, rows, says=says.get(name, ()))


@way
def encodings_that_cannot_be_told(draw: Draw, rows: Rows) -> Case:
    name = draw(st.sampled_from(["utf-16-le", "utf-16-be", "utf-32", "utf-32-le"]))
    body = text(rows[: draw(st.integers(2, 9))]).encode(name)
    return case(body, REFUSED, names=("trial.csv",))


@way
def damaged_utf16(draw: Draw, rows: Rows) -> Case:
    body = text(rows).encode("utf-16")
    at = 2 * draw(st.integers(20, len(body) // 2 - 2))
    lone = body[:at] + b"\x00\xd8" + body[at:]  # half of a pair
    return case(draw(st.sampled_from([lone, body + b"\x00"])), REFUSED, names=("line",))


@way
def separators_quotes_and_line_ends(draw: Draw, rows: Rows) -> Case:
    sep, end = draw(st.sampled_from(",;\t|")), draw(st.sampled_from(["\n", "\r\n", "\r"]))
    body = text(rows, sep, end, quote=draw(st.booleans()))
    head = draw(st.sampled_from(["", "\n\n", "# a remark\n", "\ufeff"]))
    told = f"sep={sep}\r\n" if draw(st.booleans()) and not head else ""
    says = () if sep == "," or told else ("separated by",)
    return case(head + told + body + end * draw(st.integers(0, 3)), SAME, rows, says=says)


@way
def decimal_commas(draw: Draw, rows: Rows) -> Case:
    sep = draw(st.sampled_from(";\t|"))
    made = [{k: v.replace(".", ",") if v != "." else v for k, v in r.items()} for r in rows]
    for r, old in zip(made, rows, strict=True):
        r["ID"] = old["ID"]
    return case(text(made, sep), SAME, rows, says=("decimal sign is a comma",))


@way
def decimal_commas_between_commas(draw: Draw, rows: Rows) -> Case:
    row = measured(draw, rows)
    row["DV"] = f"{draw(st.integers(0, 999))},{draw(st.integers(0, 99)):02d}"
    if draw(st.booleans()):
        return case(rows, REFUSED, names=(line(rows, row), "DV"))
    return case(text(rows).replace(f'"{row["DV"]}"', row["DV"]), REFUSED, names=(line(rows, row),))


@way
def thousands(draw: Draw, rows: Rows) -> Case:
    mark = draw(st.sampled_from([",", "\u00a0", "\u202f", "'", " "]))
    value = f"{draw(st.integers(1000, 9_999_999)):,}".replace(",", mark)
    return spoiled(rows, measured(draw, rows), "DV", value)


@way
def points_between_thousands(draw: Draw, rows: Rows) -> Case:
    """Times with decimal commas beside ``1.234``: no decimal sign fits both."""
    made = [{**r, "TIME": r["TIME"].replace(".", ",")} for r in rows]
    row = measured(draw, made)
    row["DV"] = f"{draw(st.integers(1000, 999_999)):,}".replace(",", ".")
    return case(text(made, ";"), REFUSED, names=("decimal",))


@way
def zipped(draw: Draw, rows: Rows) -> Case:
    body = gzip.compress(text(rows).encode(), mtime=0)
    name = draw(st.sampled_from(["trial.csv.gz", "trial.csv", "trial.dat"]))
    if draw(st.booleans()):
        return case(body, SAME, rows, file=name)
    return case(body[: draw(st.integers(20, len(body) - 9))], REFUSED, names=("gzip",), file=name)


@way
def wrong_extensions(draw: Draw, rows: Rows) -> Case:
    end = draw(st.sampled_from(
        [".txt", ".dat", ".tsv", "", ".CSV", ".xlsx", ".xpt", ".sas7bdat", ".parquet", ".json"]
    ))  # fmt: skip
    rows = rows[: draw(st.integers(8, len(rows)))]
    fine = end in (".txt", ".dat", ".tsv", "", ".CSV")
    return case(rows, SAME if fine else REFUSED, rows, names=("Export it as CSV",), file="t" + end)


@way
def other_files(draw: Draw, rows: Rows) -> Case:
    head = draw(st.sampled_from([
        b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"HEADER RECORD*******", b"PAR1", b"%PDF-1.7",
        b"<html><body>", b"<!DOCTYPE html>", b"\x89PNG\r\n\x1a\n\x00", b"\x7fELF\x00",
    ]))  # fmt: skip
    return case(head + draw(st.binary(max_size=40)), REFUSED, names=("trial.csv",))


@way
def empty_files(draw: Draw, rows: Rows) -> Case:
    head = ",".join(COLUMNS) + "\n"
    body = draw(st.sampled_from(["", "\n", " \n\t\n", "# nothing\n", head, head + "\n,,,,\n"]))
    body = draw(st.sampled_from(["", "\ufeff"])) + body
    return case(body, REFUSED, names=("trial.csv",))


@way
def headers(draw: Draw, rows: Rows) -> Case:
    """Blanks, case and a mark of the byte order in the header, and empty columns at the end."""
    change = draw(st.sampled_from([str.lower, str.title, lambda h: f" {h} ", lambda h: f'"{h}"']))
    first, *others = text(rows).split("\n")
    tail = "," * draw(st.integers(0, 3))
    body = [",".join(map(change, first.split(","))) + tail, *(o + tail for o in others if o)]
    return case("\n".join(body), SAME, rows)


@way
def merged_headers(draw: Draw, rows: Rows) -> Case:
    """A line of groups above the header, a title, or a line of units below it."""
    head, rest = text(rows).split("\n", 1)
    blank = "," * (len(COLUMNS) - 1)
    groups = "Patient,,,Sample,,,,,,Dose,,,,Subject,,"
    above = draw(st.sampled_from([groups, f"Study CART-01{blank}", f"{blank}"[:-1] + "Sample"]))
    units = ",d,d,,,copies,,,,cells,,,,,y,kg"
    if draw(st.booleans()):
        return case(f"{above}\n{head}\n{rest}", REFUSED)
    mark = draw(st.sampled_from(["", "-", "unit"]))
    return case(f"{head}\n{mark}{units}\n{rest}", REFUSED, names=("row 2",))


@way
def repeated_headers(draw: Draw, rows: Rows) -> Case:
    lines = text(rows).splitlines()
    at = draw(st.integers(2, len(lines)))
    return case("\n".join([*lines[:at], lines[0], *lines[at:]]), REFUSED, names=(f"row {at + 1}",))


@way
def columns_gone_or_doubled(draw: Draw, rows: Rows) -> Case:
    name = draw(st.sampled_from(["ID", "TIME", "DV"]))
    if draw(st.booleans()):
        other = draw(st.sampled_from(["X1", "Q", "W2"]))
        made = [{other if k == name else k: v for k, v in r.items() if k != "NTIME"} for r in rows]
        return case(made, REFUSED, names=(f"no {name} column",))
    body = text(rows).replace("WEIGHT", draw(st.sampled_from([name, name.lower()])), 1)
    return case(body, REFUSED, names=(f"'{name}' appears 2 times",))


@way
def cells_gone_or_added(draw: Draw, rows: Rows) -> Case:
    lines = text(rows).splitlines()
    at = draw(st.integers(1, len(lines) - 1))
    cut = lines[at].rsplit(",", draw(st.integers(1, 3)))[0]
    lines[at] = draw(st.sampled_from([cut, lines[at] + ",7"]))
    return case("\n".join(lines), REFUSED, names=(f"row {at + 1}", "cells"))


@way
def one_patient(draw: Draw, rows: Rows) -> Case:
    who = draw(st.sampled_from(sorted({r["ID"] for r in rows})))
    mine = [r for r in rows if r["ID"] == who]
    mine = mine[: draw(st.integers(2, len(mine)))]
    return case(mine, SAME, mine)
