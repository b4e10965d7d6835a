"""The joint fit of tumour size and survival, and what it predicts."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from cart_pkpd._core import display
from cart_pkpd._core.errors import DataError, FitWarning
from cart_pkpd._core.validate import positive_int
from cart_pkpd._crs.result import changes
from cart_pkpd._endpoints import posteriors
from cart_pkpd._endpoints.at_infusion import with_baseline
from cart_pkpd._endpoints.groups import Patients
from cart_pkpd._endpoints.joint import (
    CHANGE,
    PLACES,
    WEIGHTS,
    Joint,
    Settings,
    joint_of,
    structure_of,
)
from cart_pkpd._endpoints.parametric import MEDIAN_PRIOR, SCALE_PRIOR
from cart_pkpd._endpoints.predictors import Given
from cart_pkpd._stats.predict import predict
from cart_pkpd._stats.priors import Prior

if TYPE_CHECKING:
    from cart_pkpd._fit.result import FitResult
    from cart_pkpd._fit.verdict import Verdict
    from cart_pkpd._stats.population import Population
    from cart_pkpd.models import Model

Floats = NDArray[np.float64]
_DOUBLING = ("2-fold", float(np.log(2.0)))
_SUFFIX = "_i"


@dataclass(frozen=True, eq=False)
class JointFit:
    """Tumour size and survival, fitted together.

    Attributes
    ----------
    joint : Joint
        Links, predictors and data.
    tumour : FitResult
        The tumours, as survival has informed them too: for checks, predictions and ``save``.
    posterior : xr.Dataset
        Draws of the quantities of survival, dims chain, draw.
    verdict : Verdict
        Convergence of everything that was sampled.
    endpoint : str
        Of the times.
    notes : tuple of str
        Who was not used, and what the data do not tell.
    provenance : mapping
        Settings, versions, seed.
    """

    joint: Joint
    tumour: FitResult
    posterior: xr.Dataset
    verdict: Verdict
    endpoint: str
    notes: tuple[str, ...]
    provenance: Mapping[str, Any]

    def __repr__(self) -> str:
        first = self.ratios().iloc[0]
        return (
            f"{self.endpoint or 'survival'} with {first['label']}: hazard ratio {first['change']} "
            f"{first['estimate']:.2f} (90 % interval {first['lower']:.2f}–{first['upper']:.2f}); "
            f"{int(self.joint.event.sum())} events of {self.joint.time.size} patients.\n"
            f"{self.verdict.sentence}"
        )

    def _repr_html_(self) -> str:
        text, said = self.verdict.sentence, f"{self.tumour.label}; {self.joint.time.size} times."
        return display.block("JointFit.", text, self.ratios(), notes=[said, *self.notes])

    def table(self, prob: float = 0.9) -> pd.DataFrame:
        """Return the quantities of survival: prior beside median, lower, upper, rhat, ess_bulk."""
        table = posteriors.quantities(self.joint.quantities, self.posterior, prob)
        table.attrs |= self._flags()
        return table

    def ratios(self, prob: float = 0.9) -> pd.DataFrame:
        """Return hazard ratios with equal-tailed intervals, those of the tumour first.

        Returns
        -------
        DataFrame
            ``term``, ``label``, ``change`` (``"2-fold"`` is per doubling), ``kind``, ``estimate``
            (median), ``lower``, ``upper``, ``p_above_1``. Attributes ``converged`` and ``verdict``
            say whether the draws can be trusted, here as in `table` and `survival`.
        """
        rows = []
        for link in self.joint.links:
            draws = self.posterior[link.quantity.name].to_numpy()
            rows.append(posteriors.ratio(link.name, link.label, _DOUBLING, draws, prob, "hazard"))
        for term in self.joint.terms:
            draws = self.posterior[f"survival_{term.name}"].to_numpy()
            rows += [posteriors.ratio(term.name, term.quantity, change, draws, prob, "hazard")
                     for change in changes(term)]  # fmt: skip
        table = pd.DataFrame(rows)
        table.attrs |= {"prob": prob, **self._flags()}
        return table

    def _flags(self) -> dict[str, Any]:
        return {"converged": int(self.verdict.ok), "verdict": self.verdict.sentence}

    def survival(self, days: ArrayLike, *, prob: float = 0.9, n_draws: int = 200) -> xr.Dataset:
        """Return predicted survival of the patients with a time, and of all together.

        Parameters
        ----------
        days : array_like
            Above 0, from time zero. [day]
        prob : float
            Level of the equal-tailed intervals.
        n_draws : int
            Draws used, evenly spread.

        Returns
        -------
        xr.Dataset
            ``survival`` (id, day, interval) and ``population`` (day, interval), interval ``mean``,
            ``lower``, ``upper``.
        """
        time = np.atleast_1d(np.asarray(days, dtype=float))
        if time.ndim != 1 or not (np.isfinite(time) & (time > 0)).all():
            raise DataError("days must be above 0 and finite.")
        chosen = self._draws(positive_int(n_draws, "n_draws"))
        alive = np.stack([np.exp(-self._hazard(t, *chosen)) for t in time], axis=-1)
        ids = self.joint.structure.design.ids[self.joint.rows].astype(str)
        return posteriors.predicted(alive, ids, time, prob, **self._flags())

    def _draws(self, most: int) -> tuple[dict[str, Floats], dict[str, Floats]]:
        """Return draws of survival (s, 1), and of the tumours' parameters (s, k)."""
        own = self.posterior.stack(sample=("chain", "draw"))
        tumours = self.tumour.tree["posterior"].to_dataset().stack(sample=("chain", "draw"))
        size = own.sizes["sample"]
        at = np.unique(np.linspace(0, size - 1, min(most, size)).round().astype(int))
        values = {q.name: own[q.name].to_numpy()[at, None] for q in self.joint.quantities}
        names = self.joint.structure.model.estimated
        drawn = {
            n: tumours[f"{n}{_SUFFIX}"].transpose("sample", "id").to_numpy()[at] for n in names
        }
        return values, drawn

    def _hazard(
        self, day: float, values: Mapping[str, Floats], drawn: Mapping[str, Floats]
    ) -> Floats:
        """Return the integral of the hazard up to a day, shape (s, n)."""
        joint = self.joint
        power = 1.0 / values["survival_scale"][..., None]
        s = day * PLACES
        relative = np.log(s) - np.log(values["survival_median"])[..., None]
        line = np.log(np.log(2.0)) + np.log(power) + power * relative - np.log(s)
        for j, term in enumerate(joint.terms):
            line = line + (values[f"survival_{term.name}"] * joint.x[:, j])[..., None]
        at = joint.days(np.full(joint.rows.size, day))[:, :-1]
        for link in joint.links:
            slope = values[link.quantity.name][..., None]
            line = line + slope * self._course(link.name, link.reference, at, drawn)
        return np.asarray((day * WEIGHTS * np.exp(line)).sum(axis=-1))

    def _course(
        self, name: str, reference: float, at: Floats, drawn: Mapping[str, Floats]
    ) -> Floats:
        if name in drawn:
            return np.asarray(np.log(drawn[name][:, self.joint.rows] / reference)[..., None])
        ln = self._ln_sizes(at, drawn)
        if name == CHANGE:
            return np.asarray(ln - self._ln_sizes(np.zeros((at.shape[0], 1)), drawn))
        return np.asarray(ln - np.log(reference))

    def _ln_sizes(self, days: Floats, drawn: Mapping[str, Floats]) -> Floats:
        structure = self.joint.structure
        found = predict(
            structure.model, structure.design, drawn, log=(True,), time=days.ravel(),
            patient=np.repeat(self.joint.rows, days.shape[1]),
        )  # fmt: skip
        return found.reshape(*found.shape[:-1], *days.shape)


def joint_bayes(
    model: Model | str,
    trial: xr.Dataset,
    population: Population,
    tte: pd.DataFrame,
    *,
    endpoint: str = "sld",
    link: str | Sequence[str] = "size",
    predictors: Sequence[Given] | Given = (),
    patients: Patients | None = None,
    median: Prior = MEDIAN_PRIOR,
    scale: Prior = SCALE_PRIOR,
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    cores: int | None = None,
    seed: int = 1,
    target_accept: float = 0.9,
) -> JointFit:
    r"""Fit tumour size and survival together: one posterior of both.

    Parameters
    ----------
    model : Model or str
        Of tumour size, as for ``fit.bayes``.
    trial : xr.Dataset
        With the records of tumour size.
    population : Population
        From ``fit.population``.
    tte : DataFrame
        As from ``endpoints.os`` or ``endpoints.from_landmark``; patients without tumour records
        are left out of survival, those without a time inform the tumours only.
    endpoint : str
        Of tumour size in the trial.
    link : str or sequence of str
        What of the tumour the hazard follows: ``"size"`` (the current size that the model
        predicts), ``"change"`` (relative to that at the infusion: a shrinkage of 50 % is one
        halving) or a parameter that varies between patients, such as the growth rate ``"g"``.
    predictors, patients
        Of survival, constant in time, as for `cox`: ``"auc0_28"``, say, from a landmark on.
    median, scale : Prior
        Of the median time [day] and of σ (the Weibull shape is 1/σ) where links and predictors are
        at their references.
    draws, tune, chains, cores, seed, target_accept
        As for ``fit.bayes``.

    Returns
    -------
    JointFit
        Its ``verdict`` judges everything that was sampled; where it is not ok, a warning says so.

    Raises
    ------
    DataError
        If nobody with tumour records has an event, or a link or predictor is unknown.
    FitError
        If model, population and data do not fit together, or the sampler stops.

    Notes
    -----
    .. math:: h_i(s) = h_0(s) \exp\left(\sum_j \beta_j x_{ij} + \sum_l \alpha_l L_{il}(s)\right)

    with a Weibull baseline and L the ln of what is linked; α and β have the prior Normal(0, 1)
    per factor e. Patients who die early have few scans, and tumours that kill are no longer
    measured: in one posterior the times inform the tumours, so that neither biases the link, as it
    does in two stages (`survival_bayes` with ``carried=``) [1]_ [2]_. A survivor's size is that of
    the model, between scans and after the last one too. The last scan before the infusion counts as
    of its day, because tumour models begin there and whoever dies before the first scan has no
    other; ``notes`` says of how many.

    References
    ----------
    .. [1] Wulfsohn and Tsiatis, Biometrics 53:330 (1997), :doi:`10.2307/2533118`.
    .. [2] Ribba et al., Clin Pharmacol Ther 95:505 (2014), :doi:`10.1038/clpt.2014.26`.
    """
    from cart_pkpd._crs.sampling import provenance
    from cart_pkpd._endpoints.joint_posterior import sample
    from cart_pkpd._fit.bayes import tree_of
    from cart_pkpd._fit.result import FitResult
    from cart_pkpd._fit.verdict import judge
    from cart_pkpd._stats.fingerprint import fingerprint

    settings = Settings(draws, tune, chains, cores, seed, target_accept)
    scans, moved = with_baseline(trial, endpoint)
    structure = structure_of(model, scans, population, endpoint)
    joint, notes = joint_of(structure, tte, link, predictors, patients, median, scale)
    notes = (*moved, *notes)
    sampled = sample(joint, settings)
    raw, stats = sampled.posterior, sampled.stats
    tree = tree_of(structure, raw, stats, sampled.predictions)
    own = xr.Dataset(
        {q.name: raw[q.name].assign_attrs(units=q.unit, long_name=q.label)
         for q in joint.quantities}
    )  # fmt: skip
    unsolved = int(sampled.unsolved.sum())
    verdict = judge(tree["posterior"].to_dataset().merge(own), stats, unsolved)
    made = provenance(**asdict(settings), fingerprint=fingerprint(structure),
                      centred=list(sampled.centred), variance_left=sampled.left,
                      compile_seconds=round(sampled.compile_seconds, 3),
                      sample_seconds=round(sampled.sample_seconds, 3))  # fmt: skip
    name = structure.model.name or type(structure.model).__name__
    tumour = FitResult(label=f"{name}, with survival", structure=structure, tree=tree,
                       verdict=verdict, provenance=made)  # fmt: skip
    said = str(tte["endpoint"].iloc[0]) if "endpoint" in tte else ""
    if not verdict.ok:
        doubt = f"{verdict.sentence} Take more draws (draws=, tune=) before using the numbers."
        warnings.warn(doubt, FitWarning, stacklevel=2)
    return JointFit(joint, tumour, own, verdict, said, notes, made)
