"""Time simulated trials: in batches, one trial at a time by ``recommend``, and with PyMC.

Run ``python benchmarks/operating_characteristics.py``; the numbers go to
``benchmarks/results/operating_characteristics.json`` and into docs/dose_operating.md. The two loops
are run for a few trials and scaled to 10,000; their decisions cost the same in every trial.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cart_pkpd import dose

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks/results/operating_characteristics.json"
PAGE = ROOT / "docs/dose_operating.md"
LEVELS = (1e6, 3e6, 1e7, 3e7, 1e8)
P = (0.05, 0.15, 0.30, 0.45, 0.60)
SKELETON = (0.05, 0.12, 0.25, 0.40, 0.55)
TRIALS = 10_000
LOOP, SAMPLED = 20, 1
PLAIN = dose.Scenario(levels=LEVELS, p=P, target=0.3, max_patients=30, accrual=2.0)
BUSY = dose.Scenario(
    levels=LEVELS, p=P, target=0.3, max_patients=30, accrual=2.0, stagger=7, dropout=0.1,
    below=0.1, below_amount=0.4,
)  # fmt: skip
BLRM = (
    dose.BLRM(
        LEVELS, reference=1e7, prior=dose.BivariateNormal((-0.85, 0.0), (2.0, 1.0), 0.0),
        intervals=(0.16, 0.33),
    ) & dose.EWOC(0.33, 0.25) & dose.NoSkip() & dose.StopIfToxic(0.33, 0.9)
)  # fmt: skip
DESIGNS = {
    "BLRM": BLRM,
    "TITE-CRM": dose.TITECRM(SKELETON, 0.3, sd=1.34**0.5) & dose.NoSkip(),
    "CRM": dose.CRM(SKELETON, 0.3, sd=1.34**0.5) & dose.NoSkip(),
    "TITE-BOIN": dose.TITEBOIN(0.3),
    "BOIN": dose.BOIN(0.3),
    "keyboard": dose.Keyboard(0.3, 0.05, 0.05),
    "3+3": dose.ThreePlusThree("de-escalate"),
}


def timed(work: Callable[[], object]) -> dict[str, float]:
    """Return elapsed and processor seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def loop(design: dose.Design, trials: int, decide: Callable[[dose.DoseData], float | None],
         seed: int = 1) -> int:  # fmt: skip
    """Simulate trials one after the other in cohorts of three; return the decisions made."""
    rng, decisions = np.random.default_rng(seed), 0
    for _ in range(trials):
        n, y, level = np.zeros(5, int), np.zeros(5, int), 0
        while n.sum() < 30:
            n[level] += 3
            y[level] += int((rng.random(3) < P[level]).sum())
            seen = {d: (int(y[k]), int(n[k])) for k, d in enumerate(LEVELS) if n[k]}
            data = dose.counts(seen, levels=LEVELS, current=LEVELS[level])
            found = decide(data)
            decisions += 1
            if found is None:
                break
            level = LEVELS.index(found)
    return decisions


def by_recommend(design: dose.Design) -> Callable[[dose.DoseData], float | None]:
    """Return a decision by ``recommend``."""
    return lambda data: design.recommend(data).dose


def by_sampling(design: dose.BLRM) -> Callable[[dose.DoseData], float | None]:
    """Return a decision by NUTS: largest P(target) among the doses EWOC permits."""

    def decide(data: dose.DoseData) -> float | None:
        table = design.pymc(data, draws=1000, tune=500, chains=2, seed=1).table()
        highest = LEVELS.index(LEVELS[data.current or 0]) + 1
        fine = (table["over"].to_numpy() <= 0.25) & (np.arange(5) <= highest)
        score = np.where(fine, table["target"].to_numpy(), -1.0)
        return LEVELS[int(score.argmax())] if fine.any() else None

    return decide


def measure() -> dict:
    """Return all timings."""
    batches = []
    for name, design in DESIGNS.items():
        for where, scenario in (("complete", PLAIN), ("dropout, low products", BUSY)):
            for pending in ("design", "wait") if design.uses_follow_up else ("design",):
                dose.simulate_trials(design, scenario, 50, seed=2, pending=pending)  # grids
                took = timed(
                    lambda d=design, s=scenario, w=pending: dose.simulate_trials(
                        d, s, TRIALS, seed=1, pending=w
                    )
                )
                batches.append({"design": name, "scenario": where, "pending": pending, **took})
                print(batches[-1], flush=True)
    loops = []
    for name in ("BLRM", "CRM", "BOIN", "3+3"):
        took = timed(lambda n=name: loop(DESIGNS[n], LOOP, by_recommend(DESIGNS[n])))
        loops.append({"design": name, "by": "recommend", "trials": LOOP, **took})
        print(loops[-1], flush=True)
    took = timed(lambda: loop(BLRM, SAMPLED, by_sampling(BLRM)))
    loops.append({"design": "BLRM", "by": "NUTS, 2 × 1000 draws", "trials": SAMPLED, **took})
    print(loops[-1], flush=True)
    return {
        "machine": f"{platform.machine()}, 2 shared cores, one thread",
        "python": platform.python_version(), "numpy": np.__version__, "trials": TRIALS,
        "batches": batches, "loops": loops,
    }  # fmt: skip


def page(found: dict) -> str:
    """Return the timings as Markdown."""
    out = [
        f"10,000 trials of 30 patients, five levels ({found['machine']}, numpy {found['numpy']};"
        " processor seconds, elapsed in brackets: others used the machine):",
        "",
        "| design | complete data | with patients pending | dropout and low products "
        "| the same, pending |",
        "| --- | --- | --- | --- | --- |",
    ]
    cell = {(b["design"], b["scenario"], b["pending"]): b for b in found["batches"]}
    for name, design in DESIGNS.items():
        row = [name]
        for where in ("complete", "dropout, low products"):
            late = design.uses_follow_up
            row.append(seconds(cell[name, where, "wait" if late else "design"]))
            row.append(seconds(cell[name, where, "design"]) if late else "")
        out.append(f"| {' | '.join(row)} |")
    out += [
        "",
        "Against one trial at a time, scaled to 10,000 trials from the number in brackets:",
        "",
        "| loop | processor time for 10,000 |",
        "| --- | --- |",
    ]
    for one in found["loops"]:
        hours = one["cpu"] / one["trials"] * found["trials"] / 3600
        text = f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.1f} min"
        out.append(f"| {one['design']} by {one['by']} ({one['trials']}) | {text} |")
    out += [
        "",
        "The loop with NUTS compiles its model at every decision, as a plain loop does; most of "
        "its time may be that.",
    ]
    return "\n".join(out)


def seconds(one: dict) -> str:
    """Return processor and elapsed seconds."""
    return f"{one['cpu']:.1f} ({one['wall']:.1f})"


def main() -> None:
    """Measure and write."""
    found = measure()
    RESULT.write_text(json.dumps(found, indent=1) + "\n")
    text = PAGE.read_text()
    begin, end = "<!-- speed: begin -->\n", "<!-- speed: end -->"
    first, rest = text.split(begin)
    PAGE.write_text(first + begin + page(found) + "\n" + end + rest.split(end)[1])


if __name__ == "__main__":
    main()
