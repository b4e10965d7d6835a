"""NCA of 60 to a million profiles beside pkpdutils, in turns in one process.

    PYTHONPATH=. peers-env/bin/python benchmarks/peers/run_nca.py out.json --profiles 60 6000

The same profiles, rules and parameters as ``nca_peers.py``, where the values are compared; there
λz and the areas of both agree but for what pkpdutils does with BLQ at the ends.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import sys
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")

import jobs
import numpy as np

sys.path.insert(0, str(jobs.HERE.parent))

from nca_peers import TOOLS, simulated_job

from cart_pkpd import __version__

COMPARED = ("cart_pkpd", "pkpdutils")


def turns(profiles: int, repeats: int) -> list[dict]:
    """Return one line per call, the tools taking turns; each tool's first call is not counted."""
    job, lines = simulated_job(profiles), []
    for repeat in range(-1, repeats):
        for tool in COMPARED:
            clock = jobs.Clock()
            found = TOOLS[tool](job)
            if repeat >= 0 or repeats == 0:
                spent = clock.look()
                known = {k: int(np.isfinite(v).sum()) for k, v in found.items()}
                lines.append({"tool": tool, "profiles": profiles, **spent, "values": known})
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out")
    parser.add_argument("--profiles", type=int, nargs="+", default=[60, 6000])
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    versions = {"cart_pkpd": __version__, "pkpdutils": importlib.metadata.version("pkpdutils")}
    lines: list[dict] = []
    for profiles in args.profiles:
        repeats = args.repeats if profiles <= 10_000 else 0
        lines += turns(profiles, repeats)
    jobs.finish(args.out, {"versions": versions, "lines": lines})


if __name__ == "__main__":
    main()
