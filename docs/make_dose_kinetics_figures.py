"""Make the pictures of docs/dose_kinetics.md: ``python docs/make_dose_kinetics_figures.py``."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from cart_pkpd import datasets, dose, fit, nca, plots
from cart_pkpd.plots import _axes

FOLDER = Path(__file__).parent / "figures"
LEVELS = (1e6, 3e6, 1e7, 3e7)


def fitted():
    """Return the trial's decision data, exposure and chain."""
    trial = datasets.load("fast01")
    known = dose.data(trial, levels=dose.Levels(LEVELS, "cells"))
    params = nca.table(trial, "transgene", window=(0, 28))
    area = dose.exposure(params, trial, "auc0_28", data=known)
    toxicity = dose.Toxicity(fit.Normal(dose.log_odds(0.2), 1.5))
    chain = dose.chain(
        trial, toxicity=toxicity, reference=1e7, endpoint="transgene", data=known, seed=1
    )
    return known, area, chain


def pictures(known, area, chain):
    """Return every figure of the guide by name."""
    prior = dose.BivariateNormal((dose.log_odds(0.2), 0.0), (1.5, 0.7), 0.0)
    design = dose.BLRM(LEVELS, reference=1e7, prior=prior, intervals=(0.16, 0.33))
    return {
        "exposure": plots.exposure_power(area).figure,
        "dlt": plots.dlt_by_dose(
            chain, curve=design.curve(known), free=dose.order_free(known), target=(0.16, 0.33)
        ).figure,
    }


def main() -> None:
    """Write ``figures/dose_exposure.png`` and ``figures/dose_dlt.png``."""
    for name, figure in pictures(*fitted()).items():
        image = Image.open(io.BytesIO(_axes.png(figure)))
        image.convert("RGB").quantize(128, method=Image.Quantize.MAXCOVERAGE).save(
            FOLDER / f"dose_{name}.png", optimize=True
        )


if __name__ == "__main__":
    main()
