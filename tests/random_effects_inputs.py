"""Models, trials and the exact likelihood for tests of random effects."""

import numpy as np

from cart_pkpd import data, fit, models
from cart_pkpd._fit.marginal import Marginal
from cart_pkpd._fit.start import starting_values
from cart_pkpd._stats.design import design_for
from cart_pkpd._stats.population import resolve
from cart_pkpd.models.math import log

DAYS = np.array([0.0, 1.0, 2.0, 4.0, 7.0, 10.0])


class Line(models.ClosedFormModel):
    """A level that is linear in its parameters: the marginal likelihood is a normal's."""

    endpoint = "transgene"
    a = models.Real(40.0, "copies/µg", "level on day 0", iiv=4.0, spread=10.0)
    b = models.Real(3.0, "copies/µg/day", "rise", iiv=0.5, spread=1.0)

    def log_level(self, t, p):
        return log(p.a + p.b * t)


class Stock(models.OdeModel):
    """A state that grows by b a day from a: linear, and each occasion goes on from the last."""

    level = models.State("copies/µg", "stock")
    a = models.Real(40.0, "copies/µg", "level on day 0", iiv=4.0, spread=10.0)
    b = models.Real(3.0, "copies/µg/day", "rise", iiv=0.5, spread=1.0)

    def initial(self, p):
        return {"level": p.a}

    def rhs(self, t, y, p):
        return {"level": p.b}

    def observe(self, t, y, p):
        return {"transgene": y.level}


def trial_of(folder, rows, **options):
    path = folder / "table.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return data.read_table(path, units={"transgene": "copies/µg"}, echo=False, **options)


def structure_of(model, trial, **population):
    records = design_for(model, trial, "transgene", iov=bool(population.get("iov")))
    return resolve(model, fit.population(error="additive", **population), records)


def marginal_of(model, trial, method="foce", **population):
    structure = structure_of(model, trial, **population)
    return Marginal(structure, method, starting_values(structure))


class Decline3(models.ClosedFormModel):
    """Three parameters that act on ln of the level in curved ways."""

    endpoint = "transgene"
    c0 = models.Positive(300.0, "copies/µg", "level at 0", iiv=0.5)
    k = models.Positive(0.1, "1/day", "decline rate", iiv=0.3)
    share = models.Fraction(0.6, "1", "share that declines", iiv=0.4, spread=0.8)

    def log_level(self, t, p):
        return log(p.c0) + log(p.share * models.math.exp(-p.k * t) + 1 - p.share)


def ln_normal(y, mean, covariance):
    """ln density of a multivariate normal; as SciPy's, which takes ten times as long."""
    left = y - mean
    size = np.linalg.slogdet(covariance)[1] + y.size * np.log(2 * np.pi)
    return -0.5 * (left @ np.linalg.solve(covariance, left) + size)


def correlated_lines(folder):
    """30 patients with correlated level and rise (0.7), the last with two records only."""
    rng = np.random.default_rng(5)
    rows = ["ID,TIME,DV,AMT,EVID"]
    for i in range(30):
        rows.append(f"{i},0,.,1e6,1")
        u, v = rng.standard_normal(2)
        a, b = 40.0 + 5.0 * u, 3.0 + 0.6 * (0.7 * u + np.sqrt(0.51) * v)
        times = DAYS if i < 29 else DAYS[:2]
        noisy = a + b * times + 2.0 * rng.standard_normal(times.size)
        rows += [f"{i},{t},{y:.6f},.,0" for t, y in zip(times, noisy, strict=True)]
    return trial_of(folder, rows)


def two_occasions(folder):
    """12 patients with an infusion on days 0 and 30, the last one on day 0 only.

    On each occasion the level at 0 is the patient's own and one of the occasion.
    """
    rng = np.random.default_rng(11)
    rows = ["ID,TIME,DV,AMT,EVID,OCC"]
    for i in range(12):
        own = 40.0 + 4.0 * rng.standard_normal()
        b = 3.0 + 0.4 * rng.standard_normal()
        for o, begin in enumerate((0.0, 30.0) if i < 11 else (0.0,), 1):
            rows.append(f"{i},{begin},.,1e6,1,{o}")
            a = own + 3.0 * rng.standard_normal()
            y = a + b * DAYS + rng.standard_normal(DAYS.size)
            rows += [
                f"{i},{begin + t},{v:.6f},.,0,{o}" for t, v in zip(DAYS[1:], y[1:], strict=True)
            ]
    return trial_of(folder, rows)
