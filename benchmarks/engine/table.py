"""Write ``docs/benchmarks_engine.md`` from the last runs of ``peers.py`` and ``first_draw.py``."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "benchmarks_engine.md"
OURS, LIMIT = "cart_pkpd", "C auto"
VARIANTS = {"base": "IL-6 half-life 8 hours", "stiff": "IL-6 half-life 20 minutes"}
WRONG = 0.01
RTOL = 1e-6
EARLIER = (
    "Rows with * are of an earlier run on this machine; other engines have not changed since.\n\n"
)
RIVAL, GOAL = "diffrax tsit5-reverse-map", 6.0

INTRODUCTION = """# Speed of the engine

Written by `benchmarks/engine/table.py`; `make bench-engine` runs everything anew.

## Gradients of a population model

Thirty patients, four states (effector and memory cells, antigen, IL-6), two endpoints at 16 times
to day 365, ten parameters per patient: the log-likelihood and its gradient in all 300, relative
tolerance 1e-6, absolute tolerance 1e-6 of each state's scale, on one core
(`benchmarks/engine/problem.py`). Error: largest of any patient, relative to that patient's largest
entry, against a solve at 1e-11. Milliseconds are of the processor, medians, compilation apart.
Every engine was tried in several settings and all are listed; a gradient that is wrong by more
than 1 % is marked. `C auto` is the engine's method written by hand in C for this one model,
`gcc -O3 -march=native`: the limit, as far as gcc vectorises it, which it does not do to the norm
of the error. The machine is shared and its speed varies by a factor of up to
1.7 within the half hour that a run takes, so small ratios mean little.

"""


def lines(name: str) -> list[dict[str, Any]]:
    """Return the JSON lines of a results file."""
    text = (HERE / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines() if line]


def table(found: list[dict[str, Any]], variant: str) -> list[str]:
    """Return the rows of one variant, fastest first."""
    mine = [r for r in found if r["variant"] == variant and r.get("rtol", RTOL) == RTOL]
    ours = min(r["cpu_seconds_per_gradient"] for r in mine if r["peer"] == OURS)
    solved = [r for r in mine if "error" not in r]
    rows = [
        "| engine | version | ms per gradient | times ours | error | compiles in s |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for r in sorted(solved, key=lambda r: r["cpu_seconds_per_gradient"]):
        seconds, error = r["cpu_seconds_per_gradient"], r["max_rel_error_gradient"]
        said = f"{error:.0e}" if error < WRONG else f"**wrong** ({error:.0e})"
        name = r["peer"] if "rtol" in r else r["peer"] + " *"
        rows.append(
            f"| {name} | {r['version']} | {1e3 * seconds:.3g} | {seconds / ours:.3g} | {said} "
            f"| {r['compile_seconds']:.2g} |"
        )
    failed = [r for r in mine if "error" in r]
    return rows + [f"\n{r['peer']} failed: {r['error']}." for r in failed]


def precision(found: list[dict[str, Any]]) -> list[str]:
    """Return the table of milliseconds and errors by tolerance, for engines run at several."""
    cells: dict[str, dict[float, str]] = {}
    for r in found:
        if r["variant"] == "base" and "error" not in r:
            said = f"{1e3 * r['cpu_seconds_per_gradient']:.3g} ({r['max_rel_error_gradient']:.0e})"
            cells.setdefault(r["peer"], {})[r.get("rtol", RTOL)] = said
    shown = {peer: row for peer, row in cells.items() if len(row) > 1}
    columns = sorted({rtol for row in shown.values() for rtol in row}, reverse=True)
    rows = ["| engine | " + " | ".join(f"{c:.0e}" for c in columns) + " |"]
    rows.append("| --- " * (1 + len(columns)) + "|")
    for peer, row in shown.items():
        rows.append(f"| {peer} | " + " | ".join(row.get(c, "") for c in columns) + " |")
    return rows


def curve(found: list[dict[str, Any]], peer: str) -> list[tuple[float, float, float]]:
    """Return tolerance, error and seconds of an engine on the base problem, largest error first."""
    points = (
        (r.get("rtol", RTOL), r["max_rel_error_gradient"], r["cpu_seconds_per_gradient"])
        for r in found
        if r["variant"] == "base" and r["peer"] == peer and "error" not in r
    )
    return sorted(points, key=lambda point: -point[1])


def seconds_at(points: list[tuple[float, float, float]], error: float) -> float | None:
    """Return the seconds for an error, between two measured ones on logarithmic scales."""
    for (_, above, fast), (_, below, slow) in pairwise(points):
        if above >= error >= below and above > below:
            share = math.log(above / error) / math.log(above / below)
            return float(fast * (slow / fast) ** share)
    return None


def verdict(found: list[dict[str, Any]]) -> str:
    """Return what the goal of the base problem was, and whether it was met."""
    ours, theirs = curve(found, OURS), curve(found, RIVAL)
    _, error, mine = next(point for point in ours if point[0] == RTOL)
    same = next(seconds for rtol, _, seconds in theirs if rtol == RTOL) / mine
    said = (
        f"Goal: {GOAL:g} times as fast as {RIVAL} at rtol 1e-6: "
        f"{'met' if same >= GOAL else 'not met'}, {same:.2g} times."
    )
    equal = seconds_at(theirs, error)
    if equal is None:
        return said
    return f"{said} At the engine's gradient error there ({error:.0e}): {equal / mine:.2g} times."


def first_draw() -> list[str]:
    """Return the table of waiting times."""
    head = "| fit | cache | seconds to the first evaluation | of the processor, whole call |"
    return [head, "| --- | --- | --- | --- |"] + [
        f"| {r['fit']} | {r['cache']} | {r['seconds']:.2g} | {processor_seconds(r)} |"
        for r in lines("first_draw.jsonl")
    ]


def processor_seconds(line: dict) -> str:
    """Return the processor seconds of a call; the compiler's process is part of them."""
    return f"{line['cpu_seconds']:.2g}" if "cpu_seconds" in line else "not measured"


def main() -> None:
    found = lines("results.jsonl")
    parts = [INTRODUCTION, f"Machine: {found[0]['processor']}.\n\n"]
    if any("rtol" not in r for r in found):
        parts.append(EARLIER)
    for variant, words in VARIANTS.items():
        parts.append(f"### {variant}: {words}\n\n" + "\n".join(table(found, variant)) + "\n\n")
    parts.append(
        "### Work and precision\n\nThe base problem at several relative tolerances, absolute ones "
        "in proportion: milliseconds, and in brackets the error of the gradient. What is fair to "
        "compare is the cost at equal error.\n\n"
        + "\n".join(precision(found)) + "\n\n" + verdict(found) + "\n\n"
    )  # fmt: skip
    ours = {r["variant"]: r for r in found if r["peer"] == OURS and r.get("rtol", RTOL) == RTOL}
    stiff = json.loads((HERE / "in_turns.json").read_text())["stiff_by_base"]
    parts.append(
        f"Timed in turns (`in_turns.py`), the stiff variant costs {stiff:.2f} times the base; the "
        "goal, at most 3, is "
        f"{'met' if stiff <= 3.0 else 'not met'}. A solve works in one array of fixed "
        "size; at a tolerance of 1e-11, with many times the steps, the process grew by "
        f"{ours['base']['note'].split('grows by ')[1].split(' at')[0]}.\n\n"
    )
    parts.append(
        "## From the call to the first evaluation\n\n`fit.bayes`, imports apart; cold: an empty "
        "cache folder; warm: a new process after that.\n\n" + "\n".join(first_draw()) + "\n"
    )
    PAGE.write_text("".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
