"""Draw the figures of docs/car22.md from a finished run of examples/car22.toml.

    cart-pkpd run examples/car22.toml --out runs/car22
    python docs/make_car22_figures.py runs/car22

Only summaries of the public patients leave the run folder: no table of records is written.
"""

from __future__ import annotations

import sys
from pathlib import Path

from cart_pkpd import checks, datasets, fit, nca, plots

FIGURES = Path(__file__).parent / "figures"
DAYS = [0, 4, 10, 17, 23, 32]


def main(folder: Path) -> None:
    """Write ``car22_vpc.png``, ``car22_posterior.png`` and ``car22_exposure.png``."""
    result = fit.load(folder / "fits" / "stein.nc")
    trial = datasets.fetch("car22", lloq={"car_abs": 1.0})
    pictures = {
        "car22_vpc": plots.vpc(checks.vpc(result, n_sims=1000, bins=DAYS)),
        "car22_posterior": plots.posterior(result.draws(), result.prior_draws()),
        "car22_exposure": plots.exposure(nca.table(trial, endpoint="car_abs"), "cmax").figure,
    }
    for name, figure in pictures.items():
        figure.savefig(FIGURES / f"{name}.png", dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
