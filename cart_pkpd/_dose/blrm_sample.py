"""The BLRM sampled in full, with the Monte-Carlo error of every decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import expit

from cart_pkpd._core import words
from cart_pkpd._core.errors import FitError
from cart_pkpd._dose.rules import EWOC

if TYPE_CHECKING:
    from cart_pkpd._dose.blrm import BLRM
    from cart_pkpd._dose.patients import DoseData
    from cart_pkpd._fit.verdict import Verdict

_LIMIT = 1.96  # |z| below which a decision lies inside the Monte-Carlo error


@dataclass(frozen=True, eq=False)
class BlrmSample:
    """Draws from the posterior of a BLRM.

    Attributes
    ----------
    design : BLRM
    posterior : xr.Dataset
        ``log_alpha`` and ``log_beta``, dims chain, draw.
    verdict : Verdict
        Convergence.
    """

    design: BLRM
    posterior: xr.Dataset
    verdict: Verdict

    def probabilities(self) -> xr.DataArray:
        """Return draws of the DLT probability, dims chain, draw, level."""
        x = xr.DataArray(self.design.x, dims="level")
        eta = self.posterior["log_alpha"] + np.exp(self.posterior["log_beta"]) * x
        return xr.DataArray(expit(eta.values), dims=eta.dims)

    def table(self) -> pd.DataFrame:
        """Return means and interval probabilities with their Monte-Carlo standard errors.

        Returns
        -------
        pandas.DataFrame
            One row per level: dose, mean, under, target, over, each with ``_mcse``; and for every
            EWOC rule the quantile at 1 − bound, its MCSE, z = (quantile − threshold)/MCSE,
            ``eligible``, and ``decided``: whether z is at least 1.96 away from 0.
        """
        import arviz as az

        draws = self.probabilities()
        low, high = self.design.intervals
        parts = {
            "mean": draws,
            "under": (draws < low).astype(float),
            "target": ((draws >= low) & (draws < high)).astype(float),
            "over": (draws >= high).astype(float),
        }
        out = pd.DataFrame({"dose": self.design.planned.array})
        for name, values in parts.items():
            out[name] = values.mean(("chain", "draw")).values
            out[f"{name}_mcse"] = [
                _mcse(az, values.isel(level=k).values, "mean") for k in range(len(out))
            ]
        rules = [r for r in self.design.rules if isinstance(r, EWOC)]
        for i, rule in enumerate(rules):
            self._ewoc(az, out, draws, rule, "" if i == 0 else f"_{i + 1}")
        out.index = pd.RangeIndex(1, len(out) + 1, name="level")
        out.attrs |= {"units": {"dose": self.design.planned.unit}}
        return out

    def _ewoc(
        self, az: Any, out: pd.DataFrame, draws: xr.DataArray, rule: EWOC, suffix: str
    ) -> None:
        prob = 1 - rule.bound
        columns = [draws.isel(level=k).values for k in range(len(out))]
        quantile = np.array([np.quantile(c, prob) for c in columns])
        error = np.array([_mcse(az, c, "quantile", prob=prob) for c in columns])
        z = (quantile - rule.threshold) / error
        out[f"quantile{suffix}"], out[f"quantile_mcse{suffix}"] = quantile, error
        out[f"z{suffix}"] = z
        out[f"eligible{suffix}"] = quantile < rule.threshold
        out[f"decided{suffix}"] = np.abs(z) >= _LIMIT

    @property
    def flags(self) -> tuple[str, ...]:
        """Doses whose eligibility lies inside the Monte-Carlo error, and failed convergence."""
        table, unit = self.table(), self.design.planned.unit
        said = [] if self.verdict.ok else [self.verdict.sentence]
        for name in (c for c in table if str(c).startswith("decided")):
            said += [
                f"{words.dose(d, unit)}: EWOC is decided inside the Monte-Carlo error "
                "(|z| < 1.96); draw more, or decide by quadrature."
                for d in table["dose"][~table[name]]
            ]
        return tuple(said)


def _mcse(az: Any, values: np.ndarray, method: str, **more: float) -> float:
    """Return a Monte-Carlo standard error; 0 where all draws are equal."""
    if np.all(values == values.flat[0]):
        return 0.0
    return float(az.mcse(values, method=method, **more))


def sample(
    design: BLRM, data: DoseData, *, draws: int, tune: int, chains: int, seed: int, progress: bool
) -> BlrmSample:
    """Return draws by nutpie; see ``BLRM.pymc``."""
    import nutpie

    from cart_pkpd._fit.verdict import judge

    model = _model(design, data)
    try:
        tree = nutpie.sample(
            nutpie.compile_pymc_model(model), draws=draws, tune=tune, chains=chains, seed=seed,
            save_warmup=False, progress_bar=progress, target_accept=0.95,
        )  # fmt: skip
    except RuntimeError as problem:
        raise FitError(f"the sampler stopped: {str(problem).splitlines()[0]}") from problem
    posterior = tree["posterior"].to_dataset()[["log_alpha", "log_beta"]]
    return BlrmSample(design, posterior, judge(posterior, tree["sample_stats"].to_dataset()))


def _model(design: BLRM, data: DoseData) -> Any:
    """Return the PyMC model: prior by its density, one Bernoulli-like term per patient."""
    import pymc as pm
    import pytensor.tensor as pt

    dose, dlt, day = data.observations()
    share = np.where(dlt, 1.0, day / data.window)
    weight = np.where(share >= 1, 1.0, design.weight(share))
    parts = design.prior.components
    with pm.Model() as model:
        a, b = (pm.Flat(name, initval=_centre(parts, i)) for i, name in enumerate(_NAMES))
        prior = [_log_normal(pt, w, p, a, b) for w, p in parts]
        pm.Potential("prior", pt.logsumexp(pt.stack(prior)))
        if dose.size:
            eta = a + pt.exp(b) * np.log(dose / design.reference)
            late = np.where(weight < 1, weight, 0.0)
            part = pt.log1p(-late * pm.math.sigmoid(eta))
            none = pt.switch(weight >= 1, -pt.softplus(eta), part)
            pm.Potential("likelihood", pt.switch(dlt, -pt.softplus(-eta), none).sum())
    return model


_NAMES = ("log_alpha", "log_beta")


def _centre(parts: Any, i: int) -> float:
    return float(sum(w * p.mean[i] for w, p in parts))


def _log_normal(pt: Any, weight: float, part: Any, a: Any, b: Any) -> Any:
    u, v = (a - part.mean[0]) / part.sd[0], (b - part.mean[1]) / part.sd[1]
    r = 1 - part.corr**2
    norm = np.log(weight / (2 * np.pi * part.sd[0] * part.sd[1] * np.sqrt(r)))
    return norm - 0.5 * (u * u - 2 * part.corr * u * v + v * v) / r
