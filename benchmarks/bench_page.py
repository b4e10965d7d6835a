"""Write ``docs/benchmarks.md`` from the files that ``bench.py`` and other scripts left."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
NAMES = {"cart_pkpd": "cart_pkpd", "numpyro": "NumPyro", "stan": "Stan,", "pymc": "PyMC"}
UNMEASURED = "not measured yet"
LARGE = 1_000_000


def load(path: Path) -> dict[str, Any]:
    """Return a results file, empty where there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def many(ratio: float) -> str:
    """Return a ratio in two digits, or as a whole number from 100 on."""
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.2g}"


def both(seconds: dict[str, float]) -> str:
    """Return processor seconds, and elapsed ones in brackets."""
    return f"{seconds['cpu']:.3g} ({seconds['wall']:.3g})"


def table(head: list[str], rows: list[list[str]]) -> Iterator[str]:
    """Yield the lines of a table."""
    yield "| " + " | ".join(head) + " |"
    yield "| " + " | ".join("---" for _ in head) + " |"
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def finished(found: dict[str, Any], tool: str) -> list[dict[str, Any]]:
    return [r for r in found.get("runs", []) if r["tool"] == tool and "min_ess" in r]


def compilation(found: dict[str, Any], tool: str) -> float:
    """Return the processor seconds of a tool's first compilation, with empty caches."""
    runs = [r for r in found.get("runs", []) if r["tool"] == tool and "build" in r]
    return float(min(runs, key=lambda r: r.get("seed", 1))["build"]["cpu"])


def rate(found: dict[str, Any], tool: str, compiled: bool) -> float:
    """Return the median of the smallest ESS per processor second."""
    more = compilation(found, tool) if compiled else 0.0
    return median(r["min_ess"] / (more + r["sample"]["cpu"]) for r in finished(found, tool))


def fits(found: dict[str, Any]) -> Iterator[str]:
    """Yield the table of a row of fits, what did not finish last."""
    rows = []
    for tool in dict.fromkeys(r["tool"] for r in found.get("runs", [])):
        built = any("build" in r for r in found["runs"] if r["tool"] == tool)
        more = compilation(found, tool) if built else 0.0
        rows += [fit_row(r, more) for r in found["runs"] if r["tool"] == tool]
    head = ["tool", "chains × (warm-up + kept)", "compiles", "samples", "smallest ESS",
            "ESS per second", "with compilation", "ms per gradient", "posterior apart"]  # fmt: skip
    yield from table(head, rows)


def fit_row(r: dict[str, Any], compilation: float) -> list[str]:
    name = f"{NAMES[r['tool']]} {r.get('version', '')}".strip(" ,")
    if "failed" in r:
        return [name, f"not run: {r['failed']}", "", "", "", "", "", "", ""]
    lengths = f"{r['chains']} × ({r['tune']} + {r['draws']})" if "chains" in r else "gradient only"
    gradient = 1e3 * r["gradient"]["cpu"] if "gradient" in r else float("nan")
    shown = [name, lengths, both(r["build"])]
    shown.append(both(r["sample"]) if "sample" in r else "")
    if "min_ess" in r:
        shown += [f"{r['min_ess']:.0f} ({r['worst']})", f"{r['min_ess'] / r['sample']['cpu']:.3g}",
                  f"{r['min_ess'] / (compilation + r['sample']['cpu']):.3g}"]  # fmt: skip
    else:
        far = f"ended at transition {r['transitions']} of {r['wanted']}" if "wanted" in r else ""
        shown += [far, "", ""]
    shown.append(f"{gradient:.3g}")
    shown.append(f"{r['apart']:.1f} MCSE" if "apart" in r else "")
    return shown


def versus(found: dict[str, Any], peer: str) -> tuple[float, float] | None:
    """Return how many times the ESS per second of a peer, without and with compilation."""
    if not finished(found, "cart_pkpd") or not finished(found, peer):
        return None
    without, compiled = (
        rate(found, "cart_pkpd", how) / rate(found, peer, how) for how in (False, True)
    )
    return without, compiled


def unmeasured(found: dict[str, Any], peer: str) -> str:
    """Return why there is no comparison with a peer."""
    failed = [r["failed"] for r in found.get("runs", []) if r["tool"] == peer and "failed" in r]
    return f"not run: {failed[0]}" if failed else UNMEASURED


def verdict(found: dict[str, Any], peer: str, goal: float) -> str:
    ratio = versus(found, peer)
    name = NAMES[peer].rstrip(",")
    if ratio is None:
        return f"≥ {goal:g} × {name}: {unmeasured(found, peer)}"
    met = "met" if ratio[1] >= goal else "**missed**"
    return (
        f"≥ {goal:g} × {name}: {many(ratio[1])} × with compilation, {many(ratio[0])} × without: "
        f"{met}"
    )


def b1(results: Path) -> tuple[str, list[str]]:
    found = load(results / "B1.json")
    said = "; ".join(verdict(found, p, g) for p, g in (("stan", 25), ("numpyro", 5)))
    return said, list(fits(found)) if found else []


def b2(results: Path) -> tuple[str, list[str]]:
    found = load(results / "B2.json")
    said = []
    for peer, goal in (("stan", 50), ("numpyro", 20)):
        if versus(found, peer) is not None:
            said.append(verdict(found, peer, goal))
            continue
        ratio = gradients(found, peer)
        name = NAMES[peer].rstrip(",")
        said.append(
            f"≥ {goal:g} × {name}: {far(found, peer)}; a gradient costs it {many(ratio)} × ours: "
            + ("met for as many gradients per effective draw" if ratio >= goal else "**not shown**")
            if ratio else f"≥ {goal:g} × {name}: {unmeasured(found, peer)}"
        )  # fmt: skip
    return "; ".join(said), list(fits(found)) if found else []


def far(found: dict[str, Any], peer: str) -> str:
    """Return how far a peer came within its limit."""
    ended = [r for r in found["runs"] if r["tool"] == peer and "sample" in r]
    if not ended:
        return "sampling failed"
    r = ended[0]
    return (
        f"ended after {r['sample']['cpu']:.0f} s of the processor at transition "
        f"{r['transitions']} of {r['wanted']}"
    )


def gradients(found: dict[str, Any], peer: str) -> float | None:
    """Return how many times the cost of our gradient a peer's is."""
    costs = {
        tool: [r["gradient"]["cpu"] for r in found.get("runs", [])
               if r["tool"] == tool and "gradient" in r]
        for tool in ("cart_pkpd", peer)
    }  # fmt: skip
    if not all(costs.values()):
        return None
    return median(costs[peer]) / median(costs["cart_pkpd"])


def b3(results: Path) -> tuple[str, list[str]]:
    found = load(results / "B3.json")
    if not found:
        return UNMEASURED, []
    cost: dict[str, list[float]] = {}
    for line in found["lines"]:
        if "error" not in line:
            cost.setdefault(line["peer"], []).append(1e3 * line["cpu_seconds_per_gradient"])
    rows = [[n, f"{median(c):.3g}", f"{1e3 / median(c):.0f}", str(len(c))] for n, c in cost.items()]
    ratio = median(cost["cart_pkpd"]) / median(cost["C auto"])
    met = "met" if ratio <= 2 else "**missed**"
    head = ["engine", "ms per gradient", "gradients per second", "turns"]
    return f"within 2 × of C: {ratio:.2g} ×: {met}", list(table(head, rows))


def first_draw(lines: list[dict[str, Any]], cache: str, goal: float) -> str:
    """Return the longest wait, elapsed, and whether it meets the goal."""
    waits = [
        r["build"]["wall"] for r in lines
        if r["cache"] == cache and r.get("tool", "cart_pkpd") == "cart_pkpd"
    ]  # fmt: skip
    if not waits:
        return f"{cache} ≤ {goal:g} s: {UNMEASURED}"
    met = "met" if max(waits) <= goal else "**missed**"
    return f"{cache} ≤ {goal:g} s: {max(waits):.3g} s elapsed: {met}"


def b4(results: Path) -> tuple[str, list[str]]:
    found = load(results / "B4.json")
    if not found:
        return UNMEASURED, []
    lines = [r for r in found["lines"] if "build" in r]
    rows = [
        [NAMES[r.get("tool", "cart_pkpd")], r["fit"].upper(), r["cache"], both(r["build"])]
        for r in lines
    ]
    here = {(r.get("tool"), r["fit"].upper()) for r in lines}
    for row in ("B1", "B2"):
        for r in load(results / f"{row}.json").get("runs", []):
            if r["tool"] == "cart_pkpd" or (r["tool"], row) in here:
                continue
            if "build" in r and r.get("seed", 1) == 1:
                name = NAMES[r["tool"]].rstrip(",")
                rows.append([name, row, "cold", both(r["build"])])
    said = "; ".join(first_draw(lines, c, g) for c, g in (("warm", 3.0), ("cold", 20.0)))
    head = ["tool", "fit", "cache", "seconds to the first evaluation"]
    return said, list(table(head, rows))


def b5(results: Path) -> tuple[str, list[str]]:
    found = load(results / "B5.json")
    if not found.get("lines"):
        return UNMEASURED, []
    cost: dict[str, dict[int, dict[str, float]]] = {}
    for tool in found["versions"]:
        mine = [x for x in found["lines"] if x["tool"] == tool]
        cost[f"{tool} {found['versions'][tool]}"] = {
            n: {k: median(x[k] for x in mine if x["profiles"] == n) for k in ("cpu", "wall")}
            for n in sorted({x["profiles"] for x in mine})
        }
    ours, pkpdutils = cost.values()
    done = [r for r in found.get("pknca", []) if "calls" in r]
    pknca = {
        r["profiles"]: {k: median(c[k] for c in r["calls"]) for k in ("cpu", "wall")} for r in done
    }
    if done:
        cost[f"PKNCA {done[0]['version']}"] = pknca
    rows = [[tool, *(both(c[n]) if n in c else "" for n in ours)] for tool, c in cost.items()]
    for name, theirs in (("pkpdutils", pkpdutils), ("PKNCA", pknca)):
        if theirs:
            rows.append([f"{name} / ours", *(times(theirs, ours, n) for n in ours)])
    said = [against_pknca(found, ours, pknca)]
    said += [f"{times(pkpdutils, ours, n)} × pkpdutils at {n:,} profiles" for n in (60, 6000)]
    if LARGE in ours and 6000 in ours:
        growth = ours[LARGE]["cpu"] / ours[6000]["cpu"] * 6000 / LARGE
        said.append(f"a profile of a million costs {growth:.2g} × that of 6,000")
    lines = list(table(["tool", *(f"{n:,} profiles" for n in ours)], rows))
    return "; ".join(said), lines + list(agreements(done))


def times(theirs: dict[int, Any], ours: dict[int, Any], n: int) -> str:
    """Return how many times our processor seconds a peer needs for `n` profiles."""
    if n not in theirs or n not in ours:
        return ""
    return many(theirs[n]["cpu"] / ours[n]["cpu"])


def against_pknca(found: dict[str, Any], ours: dict[int, Any], pknca: dict[int, Any]) -> str:
    """Return the verdict, on the largest number of profiles that both were given."""
    if not pknca:
        why = [r["failed"] for r in found.get("pknca", []) if "failed" in r] or [UNMEASURED]
        return f"≥ 1,000 × PKNCA: **not shown**, not run: {why[0]}"
    ratios = {n: pknca[n]["cpu"] / ours[n]["cpu"] for n in sorted(pknca) if n in ours}
    small, large = min(ratios), max(ratios)
    met = "met" if ratios[large] >= 1000 else "**missed**"
    said = f"≥ 1,000 × PKNCA: {ratios[large]:,.0f} × at {large:,} profiles: {met}"
    return said if small == large else f"{said} ({many(ratios[small])} × at {small:,})"


def agreements(done: list[dict[str, Any]]) -> Iterator[str]:
    """Yield how many of PKNCA's values equal ours."""
    if not done:
        return
    largest = max(done, key=lambda r: r["profiles"])
    shares = ", ".join(f"{k} {100 * v:.4g} %" for k, v in largest["equal"].items())
    yield (
        f"PKNCA's values equal to ours within 1e-9, of {largest['profiles']:,} profiles "
        f"(`window` is AUC0–28d): {shares}."
    )
    yield ""


def b6(results: Path) -> tuple[str, list[str]]:
    found = load(results.parent / "virtual_patients.json")
    if not found:
        return UNMEASURED, []
    mine = [r for r in found["lines"] if r["who"] == "cart_pkpd" and r["workers"] == 1]
    peers = [r for r in found["lines"] if r["who"] != "cart_pkpd"]
    levels = {
        r["patients"]: 1e6 * r["cpu_seconds"] / r["patients"] for r in mine if r["what"] == "levels"
    }
    best = min(peers, key=lambda r: r["us_cpu"])
    ratio = best["us_cpu"] / min(levels.values())
    rows = [
        [f"cart_pkpd, {r['what']}", f"{r['patients']:,}",
         f"{1e6 * r['cpu_seconds'] / r['patients']:.3g}", f"{r['peak_mib']:.0f}"] for r in mine
    ]  # fmt: skip
    rows += [[f"{r['who']} {r['method']}", f"{r['patients']:,}", f"{r['us_cpu']:.3g}", ""]
             for r in sorted(peers, key=lambda r: r["us_cpu"])]  # fmt: skip
    met = "met" if ratio >= 10 else "**missed**"
    said = f"≥ 10 × the best peer: {ratio:.2g} × {best['who']} {best['method']}: {met}"
    head = ["tool", "patients", "µs of the processor per patient", "peak MiB"]
    return said, list(table(head, rows))


def b7(results: Path) -> tuple[str, list[str]]:
    found = load(results.parent / "operating_characteristics.json")
    if not found:
        return UNMEASURED, []
    batch = max(b["cpu"] for b in found["batches"]
                if b["design"] == "BLRM" and b["scenario"] == "complete")  # fmt: skip
    rows = [["BLRM, all trials together", f"{found['trials']:,}", f"{batch:.3g}", "1"]]
    for one in found["loops"]:
        if one["design"] == "BLRM":
            scaled = one["cpu"] / one["trials"] * found["trials"]
            rows.append([f"BLRM, one by one, by {one['by']}", str(one["trials"]), f"{scaled:.3g}",
                         f"{scaled / batch:.3g}"])  # fmt: skip
    sampled = next(one for one in found["loops"] if "NUTS" in one["by"])
    ratio = sampled["cpu"] / sampled["trials"] * found["trials"] / batch
    head = ["how", "trials timed", "seconds of the processor for 10,000", "times ours"]
    met = "met" if ratio >= 100 else "**missed**"
    return f"≥ 100 × a plain PyMC loop: {ratio:.2g} ×: {met}", list(table(head, rows))


def b8(results: Path) -> tuple[str, list[str]]:
    found = load(results / "B8.json")
    if not found:
        return UNMEASURED, []
    rows = [
        [
            f"`import {name}`",
            f"{median(c for _, c in spent):.2g} ({median(w for w, _ in spent):.2g})",
        ]
        for name, spent in found["imports"].items()
    ]
    peaks = {
        row: max((r["peak_mib"] for r in load(results / f"{row}.json").get("runs", [])
                  if r["tool"] == "cart_pkpd" and "peak_mib" in r), default=None)
        for row in ("B1", "B2")
    }  # fmt: skip
    rows += [[f"peak memory, {row} [MiB]", f"{p:.0f}"] for row, p in peaks.items() if p]
    rows.append(["installed environment [MiB]", f"{found['environment_mib']:.0f}"])
    own = median(c for _, c in found["imports"]["cart_pkpd"])
    largest = max((p for p in peaks.values() if p), default=float("nan"))
    said = (
        f"import < 0.3 s: {own:.2g} s of the processor: {'met' if own < 0.3 else '**missed**'}; "
        f"fits < 1.5 GiB: {largest / 1024:.2g} GiB: {'met' if largest < 1536 else '**missed**'}"
    )
    return said, list(table(["what", "processor seconds (elapsed)"], rows))


TITLES: dict[str, tuple[str, Callable[[Path], tuple[str, list[str]]]]] = {
    "B1": ("population NUTS, closed form: 60 patients × 16 times, one in six BLQ, six IIV", b1),
    "B2": ("population NUTS, ODE: 30 patients × 16 times × 2 endpoints, five IIV", b2),
    "B3": ("gradients of the likelihood of B2's data, beside C", b3),
    "B4": ("from the call to the first draw", b4),
    "B5": ("non-compartmental analysis", b5),
    "B6": ("virtual patients", b6),
    "B7": ("operating characteristics of 10,000 trials", b7),
    "B8": ("imports, memory, size", b8),
}


def notes() -> dict[str, str]:
    """Return what people wrote of the rows, by row; see ``bench_notes.md``."""
    text = (HERE / "bench_notes.md").read_text(encoding="utf-8")
    parts = text.split("\n## ")[1:]
    return {p.partition("\n")[0].strip(): p.partition("\n")[2].strip() for p in parts}


def machine(results: Path) -> str:
    """Return machine and versions of the rows that have a file."""
    files = [load(results / f"{row}.json") for row in TITLES]
    known = [f for f in files if "machine" in f]
    if not known:
        return ""
    newest = max(known, key=lambda f: f["date"])
    versions = ", ".join(f"{k} {v}" for k, v in newest["versions"].items())
    low, high = min(f["load"] for f in known), max(f["load"] for f in known)
    busy = (
        " The machine was busy with other work: elapsed seconds say more of that than of a tool."
        if high > 2 * newest.get("cores", 2) else ""
    )  # fmt: skip
    return (
        f"Machine: {newest['machine']}; Python "
        f"{newest['python']}, {versions}; load averages at the end of rows {low:.1f} to "
        f"{high:.1f}.{busy}\n"
    )


def write_page(results: Path, page: Path = PAGE) -> None:
    """Write the page."""
    said = notes()
    found = {row: make(results) for row, (_, make) in TITLES.items()}
    lines = [said["Introduction"], "", machine(results), "## Goals", ""]
    lines += table(
        ["row", "work", "goal: found"],
        [[f"[{row}](#{row.lower()})", title, found[row][0]] for row, (title, _) in TITLES.items()],
    )
    for row, (title, _) in TITLES.items():
        # A heading of the row alone, so that its anchor is the same here and on the site.
        lines += [f"## {row}", "", f"*{title[0].upper()}{title[1:]}.*", "", *found[row][1]]
        if row in said:
            lines += [said[row], ""]
    page.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
