"""Time the base and the stiff problem in turns: a machine's changing speed meets both alike."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import problem
from run_engine import evaluation

RESULT = Path(__file__).parent / "in_turns.json"
REPEATS = 200


def main() -> None:
    """Write the median of the paired ratios, and both medians."""
    problems = {name: problem.load(name) for name in ("base", "stiff")}
    functions = {name: evaluation(at)[0] for name, at in problems.items()}
    seconds: dict[str, list[float]] = {name: [] for name in problems}
    for _ in range(REPEATS):
        for name, at in problems.items():
            began = time.process_time()
            functions[name](at.log_params)
            seconds[name].append(time.process_time() - began)
    ratio = float(np.median(np.array(seconds["stiff"]) / np.array(seconds["base"])))
    said = {"stiff_by_base": ratio, **{k: float(np.median(v)) for k, v in seconds.items()}}
    RESULT.write_text(json.dumps(said) + "\n")
    print(said)


if __name__ == "__main__":
    main()
