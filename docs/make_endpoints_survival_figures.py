"""Make the pictures of docs/endpoints_survival.md."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from cart_pkpd import datasets, endpoints, nca, plots
from cart_pkpd.plots import _axes

FOLDER = Path(__file__).parent / "figures"
_COURSE = (1, 1, 2, 3, 4, 2, 1)  # of the worst patient, day by day from the onset


def vitals(ids: list[str], seed: int = 3) -> pd.DataFrame:
    """Return made-up records of vital signs, one a day."""
    rng = np.random.default_rng(seed)
    rows = []
    for who in ids:
        onset, top = int(rng.integers(1, 6)), int(rng.integers(0, 5))
        rows += [_record(who, day, day - onset, top) for day in range(15)]
    return pd.DataFrame(rows)


def _record(who: str, day: int, since: int, top: int) -> dict[str, object]:
    sick = top > 0 and 0 <= since < len(_COURSE)
    grade = min(top, _COURSE[since]) if sick else 0
    return {
        "id": who, "day": day, "temperature": 38.8 if sick else 37.0, "hypotension": grade >= 2,
        "vasopressors": max(0, grade - 2), "tocilizumab": sick and since == 2,
        "steroid": sick and since == 3 and top > 2,
    }  # fmt: skip


def pictures():
    """Return every figure of the guide by name."""
    trial = datasets.load("fast01")
    followup = endpoints.read_followup(datasets.load("fast01", table="followup"))
    points = endpoints.recist(datasets.load("fast01", table="lesions"))
    pfs = endpoints.pfs(points, followup)
    params = nca.table(trial, endpoint="transgene", window=(0, 28))
    km = endpoints.kaplan_meier(pfs, "dose_level", patients=trial)
    grades = endpoints.crs_grade(vitals(trial["id"].values[:12].tolist()))
    er = endpoints.exposure_response(
        params, "crs_grade", "cmax", at_least=2, covariates=["dose_level", "tumour_burden"]
    )
    return {
        "km": plots.survival(km).figure,
        "crs": plots.crs_course(grades, patients=trial, by="dose_level").figure,
        "er": plots.exposure_response(er),
    }


def main() -> None:
    """Write ``figures/endpoints_survival_*.png``."""
    for name, figure in pictures().items():
        image = Image.open(io.BytesIO(_axes.png(figure)))
        target = FOLDER / f"endpoints_survival_{name}.png"
        image.convert("RGB").quantize(128, method=Image.Quantize.MAXCOVERAGE).save(
            target, optimize=True
        )


if __name__ == "__main__":
    main()
