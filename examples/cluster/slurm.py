"""Fit a study on a SLURM cluster: workers are jobs, and this script hands them fits.

Run it where jobs are submitted, and leave it running (tmux, or a small job of its own):

    pip install 'cart-pkpd[dask]' dask-jobqueue
    python slurm.py study.toml --workers 50

A job that reaches its time limit loses one fit, which another does again. After a stop of this
script, the same command goes on where it was.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dask_jobqueue import SLURMCluster

from cart_pkpd import study

CORES = 4  # of one job, which does one fit at a time: as many as there are chains


def cluster(**options: str) -> SLURMCluster:
    """Return a cluster without any worker yet; options such as account="..." go to SLURM."""
    return SLURMCluster(
        cores=1,  # one thread of Dask in each job …
        processes=1,
        job_cpu=CORES,  # … and the processors for the chains of its fit
        memory="4GB",
        walltime="08:00:00",
        # A worker ends by itself between two fits, before SLURM ends it in the middle of one.
        worker_extra_args=["--lifetime", "7h", "--lifetime-stagger", "15m"],
        job_script_prologue=[
            f"export CART_PKPD_CORES={CORES} OMP_NUM_THREADS=1",
            # Compiled models, shared by all jobs: each is compiled once.
            "export CART_PKPD_CACHE=$HOME/.cache/cart_pkpd",
        ],
        **options,
    )


def main() -> None:
    """Start workers and run the study, or go on with it."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("study", type=Path)
    given.add_argument("--workers", type=int, default=10)
    given.add_argument("--out", type=Path)
    options = given.parse_args()
    out = options.out or Path("runs") / options.study.stem
    with cluster() as jobs:
        jobs.scale(jobs=options.workers)
        outcome = study.run(
            study.load(options.study), out, resume=True, scheduler=jobs.scheduler_address
        )
    print(f"Report: {outcome.report}")


if __name__ == "__main__":
    main()
