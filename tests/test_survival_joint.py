"""The two-stage joint model of tumour size and survival, from a fit of the tumours onwards."""

import numpy as np
import pandas as pd
import pytest

from cart_pkpd import data, endpoints, fit, models

pytestmark = pytest.mark.slow


class GrowthAndDecay(models.ClosedFormModel):
    """y = y0 (e^(−d t) + e^(g t) − 1), the form of Stein et al. (2011)."""

    endpoint = "sld"
    y0 = models.Positive(70.0, "mm", "sum of diameters at the infusion", iiv=0.3)
    d = models.Positive(0.01, "1/day", "decay rate of sensitive cells", iiv=0.3)
    g = models.Positive(0.003, "1/day", "growth rate of resistant cells", iiv=0.6)

    def log_level(self, t, p):
        exp, log = models.math.exp, models.math.log
        return log(p.y0) + log(exp(-p.d * t) + exp(p.g * t) - 1)


def test_survival_follows_the_growth_rate_of_the_tumours():
    """Made with a hazard proportional to g: a ratio of 2 per doubling, in a 98 % interval."""
    rng = np.random.default_rng(7)
    n, days = 50, np.array([0.0, 28, 56, 84, 112, 168, 224])
    y0 = 70 * np.exp(0.3 * rng.normal(size=n))
    d = 0.01 * np.exp(0.3 * rng.normal(size=n))
    g = 0.003 * np.exp(0.6 * rng.normal(size=n))
    size = y0[:, None] * (np.exp(-d[:, None] * days) + np.exp(g[:, None] * days) - 1)
    ids = [f"p{i:02d}" for i in range(n)]
    table = pd.DataFrame(
        {"ID": np.repeat(ids, days.size), "TIME": np.tile(days, n),
         "DV": (size * np.exp(0.05 * rng.normal(size=size.shape))).ravel(), "DVID": "sld",
         "UNIT": "mm"}
    )  # fmt: skip
    trial = data.read_table(table, echo=False)
    model = GrowthAndDecay()
    fitted = fit.bayes(model, trial, fit.population(iiv=["y0", "d", "g"]), endpoint="sld",
                       draws=200, tune=400, chains=2, cores=1, seed=2)  # fmt: skip
    growth = endpoints.carry(fitted, "g")
    assert growth.sizes["id"] == n
    middle = growth.median("sample").sel(id=ids).values
    assert np.corrcoef(np.log(middle), np.log(g))[0, 1] > 0.9
    time = rng.exponential(300 * 0.003 / g)
    tte = pd.DataFrame({"id": ids, "endpoint": "OS", "time": np.minimum(time, 700) + 1,
                        "event": time <= 700})  # fmt: skip
    found = endpoints.survival_bayes(
        tte, carried=growth, imputations=8, draws=300, tune=300, chains=2, cores=1, seed=1
    )
    row = found.ratios(0.98).set_index("change").loc["2-fold"]
    assert row["lower"] < 2.0 < row["upper"]
    assert row["lower"] > 1.0
    # A mean survival time of 300 days at g = 0.003/day is a median of 208.
    assert found.table(0.98).loc["survival_median", "lower"] < 300 * np.log(2) * 1.3
