"""The frozen result of the chain: tables by quantity and by dose, in words and on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from cart_pkpd._core import display, words
from cart_pkpd._core.validate import probability
from cart_pkpd._dose import averaged
from cart_pkpd._dose.exposure import edges
from cart_pkpd._dose.links import Links
from cart_pkpd._fit.sampled import Sampled
from cart_pkpd._stats.priors import Prior

if TYPE_CHECKING:
    pass

type Floats = NDArray[np.float64]
_PRIOR_DRAWS = 20_000
_PER_DOSE = "log odds per factor e of dose"
_MEDIATED = {
    "slope_through": ("Effect of dose through exposure", _PER_DOSE),
    "slope_direct": ("Effect of dose at equal exposure", _PER_DOSE),
    "slope_total": ("Whole effect of dose", _PER_DOSE),
    "share": ("Part of the effect through exposure, where both parts point up", "share, 0 to 1"),
    "risk_through": ("Difference of P(DLT) through exposure", "probability"),
    "risk_direct": ("Difference of P(DLT) at equal exposure", "probability"),
    "risk_total": ("Whole difference of P(DLT)", "probability"),
}

CAUTION = (
    "Exposure is measured after treatment, so its coefficient is an association: tocilizumab or "
    "steroids for early toxicity change exposure and cytokines, a DLT with early death ends "
    "sampling, and what raises both exposure and toxicity (tumour burden) is not adjusted for.",
    "The mediated share is causal only if nothing else drives both exposure and DLT.",
)


@dataclass(frozen=True, eq=False, kw_only=True)
class ChainResult(Sampled):
    """Dose → exposure → cytokine peaks → CRS grade, and exposure and dose → DLT, fitted jointly.

    Attributes
    ----------
    links : Links
        The parts and their priors.
    tree : xr.DataTree
        Groups ``posterior`` and ``sample_stats`` (dims chain, draw) and ``patients``.
    verdict : Verdict
        Convergence.
    notes : tuple of str
        Who is not used where, and what the numbers do not say.
    provenance : mapping
        Settings, versions, seed.
    """

    links: Links

    @property
    def patients(self) -> xr.Dataset:
        """What was fitted, patient by patient."""
        return self.tree["patients"].to_dataset()

    @property
    def unit(self) -> str:
        """Unit of the doses."""
        return str(self.patients.attrs["dose_units"])

    @property
    def doses(self) -> tuple[float, ...]:
        """Planned doses, in `unit`."""
        return tuple(float(d) for d in np.atleast_1d(self.patients.attrs["levels"]))

    @cached_property
    def draws(self) -> dict[str, Floats]:
        """Every number's draws, chains joined, shape (draws,)."""
        return {n.name: self.posterior[n.name].to_numpy().ravel() for n in self.links.numbers()}

    def table(self, prob: float = 0.9) -> pd.DataFrame:
        """Return every number, prior beside posterior.

        Parameters
        ----------
        prob : float
            Probability of the equal-tailed intervals.

        Returns
        -------
        pandas.DataFrame
            Indexed by quantity: label, part, prior, prior_lower, prior_upper, median, lower,
            upper, rhat, ess_bulk (NaN for numbers that are held); ``attrs["prob"]``.
        """
        import arviz as az

        at, rows = edges(prob), {}
        free = self.posterior[[n.name for n in self.links.numbers() if not n.held]]
        rhat, bulk = az.rhat(free), az.ess(free)
        for n in self.links.numbers():
            middle, low, high = np.quantile(self.draws[n.name], at)
            if isinstance(n.prior, Prior):
                prior = np.asarray(n.prior.quantile(at[1:]), dtype=float)
                checks = (float(rhat[n.name]), float(bulk[n.name]))
                said = str(n.prior)
            else:
                prior, checks = np.full(2, float(n.prior)), (np.nan, np.nan)
                said = f"held at {float(n.prior):g}"
            rows[n.name] = (n.label, n.part, said, *prior, middle, low, high, *checks)
        columns = ["label", "part", "prior", "prior_lower", "prior_upper", "median", "lower",
                   "upper", "rhat", "ess_bulk"]  # fmt: skip
        table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
        table.attrs["prob"] = prob
        return table.rename_axis("quantity")

    def _at(self, doses: Sequence[float] | ArrayLike | None) -> tuple[Floats, Floats]:
        chosen = np.asarray(self.doses if doses is None else doses, dtype=float)
        if not (chosen > 0).all():
            raise ValueError("doses must be above 0.")
        return chosen, np.log(chosen / self.links.reference)

    def per_dose(
        self,
        doses: Sequence[float] | None = None,
        *,
        limits: tuple[float, float] | None = None,
        prob: float = 0.9,
    ) -> pd.DataFrame:
        """Return P(DLT | dose), averaged over exposure at that dose.

        Parameters
        ----------
        doses : sequence of float, optional
            The planned doses by default. [unit]
        limits : (float, float), optional
            Ends of the target interval of P(DLT), such as (0.16, 0.33): adds ``under``,
            ``target``, ``over`` (probabilities of these intervals), ``over_mcse`` and
            ``prior_over``.
        prob : float
            Probability of the equal-tailed intervals.

        Returns
        -------
        pandas.DataFrame
            Indexed by dose: ``n`` patients of that level whose outcome counts, ``dlts``, ``mean``,
            ``median``, ``lower``, ``upper``, ``mcse`` (of the mean).
        """
        chosen, x = self._at(doses)
        p = averaged.dlt_probability(self.links, self.draws, x)
        out = _summary(p, chosen, prob)
        out.insert(0, "n", self._counted(chosen, dlts=False))
        out.insert(1, "dlts", self._counted(chosen, dlts=True))
        out["mcse"] = self._mcse(p)
        if limits is not None:
            low, high = rising(limits)
            prior = averaged.prior_draws(self.links, _PRIOR_DRAWS, 1)
            out["under"] = (p < low).mean(axis=0)
            out["target"] = ((p >= low) & (p < high)).mean(axis=0)
            out["over"] = (p >= high).mean(axis=0)
            first = averaged.dlt_probability(self.links, prior, x)
            out["prior_over"] = (first >= high).mean(axis=0)
            out["over_mcse"] = self._mcse((p >= high).astype(float))
        out.attrs.update(prob=prob, unit=self.unit)
        return out

    def _counted(self, doses: Floats, *, dlts: bool) -> list[int]:
        level, dlt = self.patients["dose_level"].values, self.patients["dlt"].values
        use = np.isfinite(dlt)
        here = [use & np.isclose(level, d) for d in doses]
        return [int(dlt[h].sum()) if dlts else int(h.sum()) for h in here]

    def _mcse(self, values: Floats) -> Floats:
        """Return the Monte-Carlo error of the means of draws, shape (doses,)."""
        import arviz as az

        shape = (self.posterior.sizes["chain"], self.posterior.sizes["draw"], values.shape[1])
        data = xr.Dataset({"p": (("chain", "draw", "dose"), values.reshape(shape))})
        ess = az.ess(data, method="mean")["p"].to_numpy()
        sd = values.std(axis=0, ddof=1)
        return np.where(sd > 0, sd / np.sqrt(np.where(ess > 0, ess, np.nan)), 0.0)

    def exposure_per_dose(
        self, doses: Sequence[float] | None = None, *, prob: float = 0.9
    ) -> pd.DataFrame:
        """Return exposure by dose: typical with interval, and of a new patient."""
        chosen, x = self._at(doses)
        d = self.draws
        mean = d["intercept"][:, None] + d["slope"][:, None] * x
        return _with_new(mean, d["sigma"], chosen, prob, self.exposure_unit)

    @property
    def exposure_unit(self) -> str:
        """Unit of the exposure."""
        return str(self.patients.attrs["exposure_units"])

    def peaks_per_dose(
        self, doses: Sequence[float] | None = None, *, prob: float = 0.9
    ) -> pd.DataFrame:
        """Return cytokine peaks by dose, indexed by cytokine and dose."""
        chosen, x = self._at(doses)
        units = dict(
            zip(self.patients["cytokine"].values, self.patients["unit"].values, strict=True)
        )
        parts = {
            c: _with_new(
                *averaged.peak_of(self.links, self.draws, c, x), chosen, prob, str(units[c])
            )
            for c in self.links.cytokines
        }
        if not parts:
            return pd.DataFrame()
        out = pd.concat(parts, names=["cytokine", "dose"])
        out.attrs["prob"] = prob
        return out

    def grades_per_dose(
        self, doses: Sequence[float] | None = None, *, prob: float = 0.9
    ) -> pd.DataFrame:
        """Return P(CRS grade ≥ k | dose), indexed by grade and dose.

        Averaged over exposure and cytokine peaks at the dose; ``observed`` and ``n`` count the
        patients of that level.
        """
        if self.links.grade is None:
            return pd.DataFrame()
        chosen, x = self._at(doses)
        p = averaged.grade_probability(self.links, self.draws, x)
        parts = {}
        level, grade = self.patients["dose_level"].values, self.patients["grade"].values
        for j, k in enumerate(self.links.grade.thresholds):
            part = _summary(p[:, :, j], chosen, prob)
            here = [np.isclose(level, d) & np.isfinite(grade) for d in chosen]
            part.insert(0, "n", [int(h.sum()) for h in here])
            part.insert(1, "observed", [int((grade[h] >= k).sum()) for h in here])
            parts[k] = part
        out = pd.concat(parts, names=["grade", "dose"])
        out.attrs["prob"] = prob
        return out

    def mediated(
        self, low: float | None = None, high: float | None = None, *, prob: float = 0.9
    ) -> pd.DataFrame:
        """Return how much of the effect of dose on DLT goes through exposure.

        Parameters
        ----------
        low, high : float, optional
            Doses compared; the lowest and highest planned by default. [unit]
        prob : float
            Probability of the equal-tailed intervals.

        Returns
        -------
        pandas.DataFrame
            Rows: ``slope_through`` (c·b), ``slope_direct`` (g), ``slope_total`` of the log odds
            per factor e of dose; ``share`` c·b / (c·b + g); ``risk_through``, ``risk_direct``,
            ``risk_total``: differences of P(DLT) between the doses. Columns label, unit, median,
            lower, upper, mean, p_positive (probability that it is above 0).

        Notes
        -----
        The share has a meaning only where both parts point upwards: its row is of the draws with
        c·b ≥ 0 and a total above 0, whose part of all draws is ``attrs["share_defined"]``; with a
        flat exposure that is far from 1, and the risk differences are what to read. The risk
        through exposure changes exposure to that of the high dose while dose stays low; the
        direct risk is the remainder.
        """
        ends = (self.doses[0] if low is None else low, self.doses[-1] if high is None else high)
        _, x = self._at(ends)
        d = self.draws
        through, direct = d["dlt_exposure"] * d["slope"], d["dlt_dose"]
        total = through + direct
        defined = (through >= 0) & (direct >= 0) & (total > 0)
        share = np.where(defined, through / np.where(defined, total, 1.0), np.nan)
        p = averaged.dlt_probability(self.links, d, x)
        cross = averaged.dlt_probability(self.links, d, x[:1], x[1:])[:, 0]
        rows = {
            "slope_through": through, "slope_direct": direct, "slope_total": total,
            "share": share[defined], "risk_through": cross - p[:, 0],
            "risk_direct": p[:, 1] - cross, "risk_total": p[:, 1] - p[:, 0],
        }  # fmt: skip
        at = edges(prob)
        out = {
            k: (*np.quantile(v, at), v.mean(), (v > 0).mean()) if v.size else (np.nan,) * 5
            for k, v in rows.items()
        }
        columns = ["median", "lower", "upper", "mean", "p_positive"]
        table = pd.DataFrame.from_dict(out, orient="index", columns=columns)
        table.insert(0, "label", [_MEDIATED[k][0] for k in rows])
        table.insert(1, "unit", [_MEDIATED[k][1] for k in rows])
        table.attrs.update(prob=prob, low=ends[0], high=ends[1], unit=self.unit,
                           share_defined=float(defined.mean()))  # fmt: skip
        return table.rename_axis("quantity")

    def curve(self, relative: ArrayLike, dose: float, *, prob: float = 0.9) -> pd.DataFrame:
        """Return P(DLT) along exposure at one dose.

        Parameters
        ----------
        relative : array_like, shape (n,)
            Exposures. [exposure unit]
        dose : float
            [unit]
        prob : float
            Probability of the interval.

        Returns
        -------
        DataFrame
            Indexed by exposure: mean, median, lower, upper.
        """
        exposure = np.asarray(relative, dtype=float)
        _, x = self._at([dose])
        d, star = self.draws, self.links.exposure_reference
        centre = d["intercept"] if star is None else np.full_like(d["slope"], np.log(star))
        mean = d["dlt_intercept"] + d["dlt_dose"] * x[0]
        eta = mean[:, None] + d["dlt_exposure"][:, None] * (np.log(exposure) - centre[:, None])
        return _summary(1 / (1 + np.exp(-eta)), exposure, prob).rename_axis("exposure")

    def grades_and_dlts(self, prob: float = 0.9) -> pd.DataFrame:
        """Return DLTs among the patients of each CRS grade, with exact intervals: no model."""
        grade, dlt = self.patients["grade"].values, self.patients["dlt"].values
        use, rows = np.isfinite(grade) & np.isfinite(dlt), {}
        for k in np.unique(grade[use]):
            here = dlt[use & (grade == k)]
            rows[int(k)] = _share(int(here.sum()), here.size, prob)
        columns = ["dlts", "n", "rate", "lower", "upper"]
        table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
        return table.rename_axis("crs_grade")

    @property
    def sentence(self) -> str:
        """The result in words."""
        d, m = self.draws, self.mediated()
        label = str(self.patients.attrs["exposure_label"])
        b = np.quantile(d["slope"], [0.5, 0.05, 0.95])
        low, high = self.per_dose([m.attrs["low"], m.attrs["high"]])["mean"]
        lost, least, most = (float(m.loc["risk_through", k]) for k in ("median", "lower", "upper"))  # type: ignore[arg-type]
        return (
            f"{label} changes with dose to the power {words.fixed(b[0])} "
            f"({words.percent(0.9)} interval {words.fixed(b[1])} to {words.fixed(b[2])}; "
            f"P(power < 0.5) = {words.chance((d['slope'] < 0.5).mean())}). Averaged over exposure, "
            f"P(DLT) is {low:.2f} at {words.dose(m.attrs['low'], self.unit)} and {high:.2f} at "
            f"{words.dose(m.attrs['high'], self.unit)}; of this difference {words.fixed(lost)} "
            f"goes through exposure ({words.percent(0.9)} interval {words.fixed(least)} to "
            f"{words.fixed(most)})."
        )

    @property
    def mediated_sentence(self) -> str:
        """What goes through exposure, in words for a clinician."""
        m, label = self.mediated(), str(self.patients.attrs["exposure_label"])
        ends = [words.dose(m.attrs[k], self.unit) for k in ("low", "high")]
        total, through, direct = (
            f"{words.fixed(middle, 0)} ({words.fixed(low, 0)} to {words.fixed(high, 0)})"
            for middle, low, high in 100
            * m.loc[
                ["risk_total", "risk_through", "risk_direct"], ["median", "lower", "upper"]
            ].to_numpy(dtype=float)
        )
        return (
            f"Of 100 patients, {total} more have a DLT at {ends[1]} than at {ends[0]}: {through} "
            f"go with the difference in {label}, {direct} would be expected at equal {label} too "
            f"(medians with {words.percent(m.attrs['prob'])} intervals, which need not add up; "
            "below 0: fewer patients)."
        )

    def save(self, path: str | Path) -> Path:
        """Write the result as one netCDF file; :func:`cart_pkpd.dose.load_chain` reads it back."""
        from cart_pkpd._dose.chain_files import save

        return save(self, Path(path))

    def _repr_html_(self) -> str:
        text, notes = self.verdict.sentence, [self.sentence, *self.notes]
        return display.block("ChainResult.", text, self.table(), notes=notes)

    def __repr__(self) -> str:
        return f"ChainResult: {self.sentence}\n{self.verdict.sentence}"


def _share(events: int, n: int, prob: float) -> tuple[int, int, float, float, float]:
    interval = stats.binomtest(events, n).proportion_ci(prob, method="exact")
    return events, n, events / n, float(interval.low), float(interval.high)


def _summary(values: Floats, index: Floats, prob: float) -> pd.DataFrame:
    """Return mean, median and interval of draws (draws, k)."""
    middle, low, high = np.quantile(values, edges(prob), axis=0)
    return pd.DataFrame(
        {"mean": values.mean(axis=0), "median": middle, "lower": low, "upper": high},
        index=pd.Index(index, name="dose"),
    )


def _with_new(mean: Floats, sd: Floats, doses: Floats, prob: float, unit: str) -> pd.DataFrame:
    """Return the typical level and that of a new patient, from ln means and SDs of draws."""
    middle, low, high = np.exp(np.quantile(mean, edges(prob), axis=0))
    # One deviation per draw at all doses, so that the ends change smoothly with dose.
    noise = np.random.default_rng(1).standard_normal((mean.shape[0], 1))
    new = np.exp(np.quantile(mean + sd[:, None] * noise, edges(prob)[1:], axis=0))
    out = pd.DataFrame(
        {
            "median": middle, "lower": low, "upper": high,
            "predicted_lower": new[0], "predicted_upper": new[1],
        },
        index=pd.Index(doses, name="dose"),
    )  # fmt: skip
    out["unit"] = unit
    out.attrs["prob"] = prob
    return out


def rising(limits: tuple[float, float]) -> tuple[float, float]:
    """Return two limits of P(DLT), checked."""
    low, high = (probability(v, "a limit of P(DLT)") for v in limits)
    if not low < high:
        raise ValueError(f"limits must be two rising probabilities, not {limits!r}.")
    return low, high
