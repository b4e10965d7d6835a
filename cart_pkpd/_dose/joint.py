"""The chain as one PyMC model, sampled by nutpie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd._core.errors import FitError
from cart_pkpd._dose.links import Links
from cart_pkpd._dose.measured import ABOVE, BELOW, EXACT, MISSING
from cart_pkpd._stats.priors import Prior

type Floats = NDArray[np.float64]
PEAK_VECTORS = ("peak_intercept", "peak_slope", "peak_sigma")
_LN_2PI = float(np.log(2.0 * np.pi))


@dataclass(frozen=True, eq=False)
class Column:
    """One quantity of all patients on the log scale: values, bounds and gaps, shape (n,)."""

    name: str
    value: Floats
    error: Floats
    status: NDArray[np.str_]

    def rows(self, *status: str) -> NDArray[np.int64]:
        """Return the rows with one of these states."""
        return np.flatnonzero(np.isin(self.status, status))


def build(found: xr.Dataset, links: Links) -> Any:
    """Return the PyMC model.

    Notes
    -----
    The true ln exposure of a patient is a variable of its own only where it is not known: measured
    with error, censored (then on its side of the bound), or missing. So also the peaks on which the
    grade depends. Other peaks are integrated out, censored ones by their probability (M3).
    """
    import pymc as pm

    x = np.log(found["dose"].values / links.reference)
    with pm.Model() as model:
        number = {n.name: _number(n.name, n.prior) for n in links.numbers() if n.part != "peaks"}
        mean = number["intercept"] + number["slope"] * x
        exposure = Column("exposure", found["exposure"].values.astype(float),
                          found["exposure_error"].values.astype(float),
                          found["exposure_status"].values.astype(str))  # fmt: skip
        z = _latent(exposure, mean, number["sigma"])
        if links.exposure_reference is None:
            centre = number["intercept"]
        else:
            centre = np.log(links.exposure_reference)
        relative = z - centre
        true = _peaks(found, links, relative)
        _grades(found, links, number, relative, true)
        _toxicity(found, number, relative, x)
    return model


def _number(name: str, prior: Prior | float) -> Any:

    from cart_pkpd._fit.pymc_model import scalar

    if isinstance(prior, Prior):
        return scalar(name, prior)
    return np.float64(prior)


def _normal(value: Any, mean: Any, sd: Any) -> Any:
    """Return the log density of a normal."""
    import pytensor.tensor as pt

    return -0.5 * ((value - mean) / sd) ** 2 - pt.log(sd) - 0.5 * _LN_2PI


def _latent(column: Column, mean: Any, sigma: Any) -> Any:
    """Add one quantity to the model and return its true values, shape (n,)."""
    import pymc as pm
    import pytensor.tensor as pt

    true = pt.as_tensor_variable(np.where(column.status == EXACT, column.value, 0.0))
    exact = column.rows(EXACT)
    sharp = exact[column.error[exact] == 0]
    if sharp.size:
        terms = _normal(column.value[sharp], mean[sharp], sigma)
        pm.Potential(f"{column.name}_measured", terms.sum())
    noisy = exact[column.error[exact] > 0]
    if noisy.size:
        value, error = column.value[noisy], column.error[noisy]
        off = pm.Normal(f"{column.name}_off", 0.0, 1.0, shape=noisy.size)
        own = value + error * off  # the error's density is that of `off`
        pm.Potential(f"{column.name}_between", _normal(own, mean[noisy], sigma).sum())
        true = pt.set_subtensor(true[noisy], own)
    for side, sign in ((BELOW, -1.0), (ABOVE, 1.0)):
        rows = column.rows(side)
        if rows.size:
            ln_gap = pm.Flat(f"{column.name}_{side}", shape=rows.size, initval=np.zeros(rows.size))
            own = column.value[rows] + sign * pt.exp(ln_gap)
            terms = _normal(own, mean[rows], sigma) + ln_gap
            pm.Potential(f"{column.name}_{side}_bound", terms.sum())
            true = pt.set_subtensor(true[rows], own)
    gone = column.rows(MISSING)
    if gone.size:
        off = pm.Normal(f"{column.name}_gap", 0.0, 1.0, shape=gone.size)
        true = pt.set_subtensor(true[gone], mean[gone] + sigma * off)
    return true


def _peaks(found: xr.Dataset, links: Links, relative: Any) -> dict[str, Any]:
    """Add the peaks; return the true ln peaks on which the grade depends."""
    import pymc as pm

    k = len(links.cytokines)
    if not k:
        return {}
    priors = links.peaks
    intercept = pm.Normal(PEAK_VECTORS[0], priors.intercept.mu, priors.intercept.sigma, shape=k)
    slope = pm.Normal(PEAK_VECTORS[1], priors.slope.mu, priors.slope.sigma, shape=k)
    sigma = pm.HalfNormal(PEAK_VECTORS[2], priors.sigma.sigma, shape=k)
    mean = intercept + slope * relative[:, None]
    known = found.sel(cytokine=list(links.cytokines))
    value, status = known["peak"].values.astype(float), known["peak_status"].values.astype(str)
    true = {}
    for name in links.linked:
        j = links.cytokines.index(name)
        column = Column(name, value[:, j], np.zeros(value.shape[0]), status[:, j])
        true[name] = _latent(column, mean[:, j], sigma[j])
    apart = [c not in links.linked for c in links.cytokines]
    for state, sign in ((EXACT, 0.0), (BELOW, 1.0), (ABOVE, -1.0)):
        i, j = np.nonzero((status == state) & np.array(apart))
        if not i.size:
            continue
        if state == EXACT:
            terms = _normal(value[i, j], mean[i, j], sigma[j])
        else:
            terms = _log_cdf(sign * (value[i, j] - mean[i, j]) / sigma[j])
        pm.Potential(f"peaks_{state}", terms.sum())
    return true


def _log_cdf(z: Any) -> Any:
    """Return ln of the normal distribution function, exact in the far tail."""
    import pytensor.tensor as pt

    tail = pt.log(0.5 * pt.erfcx(-pt.minimum(z, 0.0) / np.sqrt(2.0))) - 0.5 * z**2
    body = pt.log1p(-0.5 * pt.erfc(pt.maximum(z, 0.0) / np.sqrt(2.0)))
    return pt.switch(z < 0, tail, body)


def _grades(
    found: xr.Dataset, links: Links, number: dict[str, Any], relative: Any, true: dict[str, Any]
) -> None:
    import pymc as pm
    import pytensor.tensor as pt

    if links.grade is None:
        return
    rows = np.flatnonzero(np.isfinite(found["grade"].values))
    if not rows.size:
        return
    grade = found["grade"].values[rows].astype(int)
    eta = number["grade_exposure"] * relative[rows]
    for term in links.grade.terms:
        centred = true[term.variable][rows] - np.log(float(term.reference))
        eta = eta + number[links.term_name(term.variable)] * centred
    steps = [number[f"grade_step_{k}"] for k in links.grade.thresholds[1:]]
    fall = pt.cumsum(pt.stack([0.0 * number["grade_intercept"], *steps]))
    cuts = number["grade_intercept"] - fall  # P(grade >= k) = expit(cuts[k - 1] + eta)
    # ln of a grade's probability, a difference of neighbours expit(u) - expit(v), without loss:
    # ln expit(u) + ln expit(-v) + ln(1 - e^(v - u)).
    some, not_all = grade > 0, grade < links.grade.levels[-1]
    middle = grade[some & not_all]
    total = -pt.softplus(-cuts[grade[some] - 1] - eta[some]).sum()
    total = total - pt.softplus(cuts[grade[not_all]] + eta[not_all]).sum()
    total = total + pt.log(-pt.expm1(cuts[middle] - cuts[middle - 1])).sum()
    pm.Potential("grades", total)


def _toxicity(found: xr.Dataset, number: dict[str, Any], relative: Any, x: Floats) -> None:
    """Add DLTs; a patient inside the window counts with the share of it that was seen."""
    import pymc as pm
    import pytensor.tensor as pt

    rows = np.flatnonzero(np.isfinite(found["dlt"].values))
    y, weight = found["dlt"].values[rows], found["weight"].values[rows]
    eta = number["dlt_intercept"] + number["dlt_exposure"] * relative[rows]
    eta = eta + number["dlt_dose"] * x[rows]
    sign = np.where(y == 1, 1.0, -1.0)
    whole, part = np.flatnonzero(weight >= 1), np.flatnonzero((weight < 1) & (y == 0))
    total = -pt.softplus(-sign[whole] * eta[whole]).sum()
    if part.size:
        total = total + pt.log1p(-weight[part] * pt.sigmoid(eta[part])).sum()
    pm.Potential("dlts", total)


def sample(
    found: xr.Dataset,
    links: Links,
    *,
    draws: int,
    tune: int,
    chains: int,
    cores: int | None,
    seed: int,
    target_accept: float,
) -> tuple[xr.Dataset, xr.Dataset]:
    """Return all draws and the sampler's statistics, dims chain, draw."""
    import nutpie

    compiled = nutpie.compile_pymc_model(build(found, links))
    try:
        tree = nutpie.sample(
            compiled, draws=draws, tune=tune, chains=chains, cores=cores, seed=seed,
            target_accept=target_accept, save_warmup=False, progress_bar=False,
        )  # fmt: skip
    except RuntimeError as problem:
        raise FitError(
            f"the sampler stopped: {str(problem).splitlines()[0].rstrip('.: ')}. Look at the "
            "doses, the unit of the exposure and the priors."
        ) from problem
    return tree["posterior"].to_dataset(), tree["sample_stats"].to_dataset()
