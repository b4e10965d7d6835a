"""Compare simulated BLRM trials, decided in batches, with the same trials decided one by one.

Run ``python benchmarks/blrm_trial_by_trial.py [TRIALS]``. Every trial of the batch is repeated by
the plain simulation of ``tests/operating_plain.py``, which treats one patient after the other and
asks ``recommend`` and ``mtd``. What may differ: level, day of infusion, day of the outcome and DLT
of every patient, the level selected, the length of the trial. The counts go to
``benchmarks/results/blrm_trial_by_trial.json``.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from cart_pkpd import dose

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks/results/blrm_trial_by_trial.json"
SEED = 6


def compared(trials: int) -> list[dict]:
    """Return one row per scenario and way of waiting."""
    sys.path.insert(0, str(ROOT / "tests"))
    from operating_plain import differences
    from test_dose_operating import BLRM, SCENARIOS

    rows = []
    for name, scenario in SCENARIOS.items():
        for pending in ("wait", "design"):
            began = time.process_time()
            fast = dose.simulate_trials(BLRM, scenario, trials, seed=SEED, pending=pending)
            batch = time.process_time() - began
            began = time.process_time()
            found = differences(BLRM, scenario, trials, SEED, pending)
            rows.append({
                "scenario": name, "pending": pending, "trials": trials,
                "patients": int(fast["n_treated"].sum()), "decisions": found.decisions,
                "different": found.trials, "batch_cpu": batch,
                "one_by_one_cpu": time.process_time() - began,
            })  # fmt: skip
            print(rows[-1], flush=True)
            RESULT.write_text(json.dumps({"seed": SEED, "rows": rows}, indent=1) + "\n")
    return rows


if __name__ == "__main__":
    compared(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
