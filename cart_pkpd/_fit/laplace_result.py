"""The frozen result of a marginal likelihood fit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy import special

from cart_pkpd._core import words
from cart_pkpd._core.validate import probability
from cart_pkpd._fit.draws import patient_means
from cart_pkpd._fit.fitted import INDIVIDUAL_SUFFIX, PopulationFit
from cart_pkpd._fit.laplace_verdict import LaplaceVerdict
from cart_pkpd._fit.marginal import MOST_LOGIT, partial_of
from cart_pkpd._stats.quantities import Quantity

_DRAWS, _SEED = 1000, 1
_AT_ZERO = "0 as far as the data tell"
_OF_ZERO = "the standard deviation of one of the two is 0"
_AT_LIMIT = "at the limit, where a deviation follows wholly from others"
_STEP = 1e-6
_ONE_PATIENT = "se_sandwich compares patients, and there is one"
_NO_CURVATURE = "the curvature at the end is not that of a minimum"

type Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LaplaceResult(PopulationFit):
    """A population fitted by maximum marginal likelihood.

    Attributes
    ----------
    label : str
        Name of the fit in tables and figures.
    structure : Structure
        Model, population and data; priors are not used.
    tree : xr.DataTree
        Groups ``estimates`` (coordinates, gradient and covariances of the search), ``individual``
        (parameters, deviations and their covariance, dim id) and ``records`` (dim obs).
    verdict : LaplaceVerdict
        Convergence.
    provenance : mapping
        Versions, method, seed, starts, data hash, seconds.
    """

    verdict: LaplaceVerdict

    @property
    def method(self) -> str:
        """``laplace`` or ``foce``."""
        return str(self.provenance["method"])

    @property
    def ofv(self) -> float:
        """-2 ln L of all records, of densities of the levels themselves and with n ln 2π."""
        return float(self._estimates.attrs["ofv"])

    @property
    def ofv_nonmem(self) -> float:
        """-2 ln L as NONMEM gives it.

        Without n ln 2π of the n quantified records with a normal error, and of densities of
        the logarithm (data transformed before the fit) where the error is on the log scale.
        """
        return self.ofv - float(self._estimates.attrs["ofv_constant"])

    @property
    def n_estimated(self) -> int:
        """Number of quantities estimated; standard deviations held at 0 count too."""
        return len(self._names)

    @property
    def aic(self) -> float:
        """Akaike's criterion, ofv + 2 n_estimated."""
        return self.ofv + 2.0 * self.n_estimated

    @property
    def bic(self) -> float:
        """Schwarz's criterion with the number of records, ofv + n_estimated ln n_obs."""
        return self.ofv + self.n_estimated * float(np.log(self.structure.design.n_obs))

    @property
    def bic_patients(self) -> float:
        """Schwarz's criterion with the number of patients, as Monolix has it for omegas."""
        return self.ofv + self.n_estimated * float(np.log(self.structure.design.n_patients))

    @property
    def bic_mixed(self) -> float:
        """Schwarz's criterion that counts patients where they differ and records elsewhere.

        ofv + r ln n_patients + f ln n_obs, with r the quantities of parameters that vary between
        patients or occasions (typical values, coefficients, standard deviations, correlations),
        and f the others (Delattre, Lavielle & Poursat 2014, Electron J Stat 8:456).
        """
        structure, design = self.structure, self.structure.design
        varying = {*structure.population.iiv, *structure.population.iov}
        spread, acting = ("omega", "iov", "correlation"), tuple(f"beta_{n}_" for n in varying)
        random = sum(
            q.role in spread or q.parameter in varying or q.name.startswith(acting)
            for q in structure.quantities
        )
        others = self.n_estimated - random
        return self.ofv + float(random * np.log(design.n_patients) + others * np.log(design.n_obs))

    @property
    def estimates(self) -> dict[str, float]:
        """Estimates on their natural scales; omegas and residual parameters as SD."""
        found = self._all_natural(self._x)
        return {n: np.nan if self._unknown(n) else found[n] for n in self._names}

    @property
    def coordinates(self) -> dict[str, float]:
        """Estimates on the scale of the search, by name; those held at a limit left out."""
        held = self._estimates["held"].to_numpy()
        both = zip(self._names, self._x, held, strict=True)
        return {n: float(x) for n, x, h in both if not h and np.isfinite(x)}

    def table(self, prob: float = 0.95) -> pd.DataFrame:
        """Return the estimates with their errors.

        Parameters
        ----------
        prob : float
            Confidence of the intervals, which are symmetric on the scale of the search (log,
            logit or identity of typical values, log of standard deviations).

        Returns
        -------
        pandas.DataFrame
            Indexed by quantity: label, unit, role, estimate, se, rse [%], lower, upper,
            se_sandwich, rse_sandwich [%], cv [%] (of omegas on the log scale: between-patient
            coefficient of variation), shrinkage_sd and shrinkage_var [%] (of omegas; between
            occasions of all deviations together), gradient, and reason where there is no error;
            ``attrs["prob"]``. Errors on natural scales are by the delta method, intervals of
            correlations on Fisher's scale.
        """
        z = float(special.ndtri((1.0 + probability(prob, "prob")) / 2.0))
        rows = {n: self._row(n, z) for n in (q.name for q in self.structure.quantities)}
        table = pd.DataFrame.from_dict(rows, orient="index")
        table.index.name = "parameter"
        table.attrs["prob"] = prob
        return table

    def shrinkage(self) -> xr.Dataset:
        """Return how far deviations and residuals are drawn to 0.

        Returns
        -------
        xr.Dataset
            Dim varying: ``eta_sd`` = 1 - sd(eta) / omega and ``eta_var`` = 1 - var(eta) / omega²;
            dim measure: ``epsilon_sd`` = 1 - sd(iwres) and ``epsilon_var``, of quantified
            records. Savic & Karlsson (2009), AAPS J 11:558.
        """
        random, estimates = self.structure.random, self.estimates
        omega = np.array([estimates[n] for n in random.sds])
        left = _ratio(self._scatter_of_etas(), omega)
        iwres, measure = self.records()["iwres"].to_numpy(), self.structure.design.measure
        scatter = [_sd(iwres[measure == m]) for m in range(len(self.endpoints))]
        return xr.Dataset(
            {
                "eta_sd": ("varying", 1.0 - left),
                "eta_var": ("varying", 1.0 - left**2),
                "epsilon_sd": ("measure", 1.0 - np.array(scatter)),
                "epsilon_var": ("measure", 1.0 - np.array(scatter) ** 2),
            },
            coords={"varying": list(random.names), "measure": list(self.endpoints)},
        )

    def _scatter_of_etas(self) -> Array:
        """Return the SD of each effect over the patients in whom it acts."""
        eta, acts = self.tree["individual"]["eta"].to_numpy(), self.structure.acts
        columns = [_sd(eta[acts[:, i], i]) for i in range(eta.shape[1])]
        return np.array(columns, dtype=float)

    def correlation(self) -> pd.DataFrame:
        """Return the correlation matrix of the estimates on the scale of the search."""
        covariance = self._estimates["covariance"].to_numpy()
        sd = np.sqrt(np.diag(covariance))
        return pd.DataFrame(covariance / np.outer(sd, sd), self._names, self._names)

    def individual_estimates(self) -> xr.Dataset:
        """Return every patient's parameters at their mode (EBE), deviations ``eta``, and ``ofv``.

        Returns
        -------
        xr.Dataset
            Dim id: one variable per model parameter, natural scale; ``eta`` (id, varying) and
            ``eta_covariance`` (id, varying, ``varying_``), free scale; ``ofv``.
        """
        return self.tree["individual"].to_dataset()

    def records(self) -> xr.Dataset:
        """Return ``dv``, ``pred``, ``ipred`` [unit of the endpoint] and ``iwres`` by record."""
        return self.tree["records"].to_dataset()

    @cached_property
    def posterior(self) -> xr.Dataset:
        """Draws about the estimates: what checks of a Bayesian fit take, dims chain, draw, id.

        Population quantities from a normal with the curvature's covariance on the scale of the
        search, patients' deviations from normals about their modes; 1000 draws, always the same.
        Where there is no covariance the estimate stands in every draw.
        """
        rng = np.random.default_rng(_SEED)
        draws = xr.Dataset(self._population_draws(rng))
        individual = self._individual_draws(draws, rng)
        suffixed = {f"{k}{INDIVIDUAL_SUFFIX}": v for k, v in individual.items()}
        return draws.assign(suffixed).assign_coords(
            chain=[0], draw=np.arange(_DRAWS), id=self.structure.design.ids
        )

    def _table_shown(self) -> pd.DataFrame:
        table = self.table()
        return pd.DataFrame(
            {
                "quantity": table["label"],
                "unit": table["unit"].map(words.unit),
                "estimate": table["estimate"],
                "RSE (%)": table["rse"],
                words.percent(table.attrs["prob"]): words.intervals(table),
                "CV (%)": table["cv"],
                "shrinkage (%)": table["shrinkage_sd"],
                "remark": table["reason"],
            }
        )

    def __repr__(self) -> str:
        return f"{self._said()}; -2 ln L {self.ofv:.3f} ({self.method}).\n{self.verdict.sentence}"

    @cached_property
    def _estimates(self) -> xr.Dataset:
        return self.tree["estimates"].to_dataset()

    @cached_property
    def _names(self) -> list[str]:
        return [str(n) for n in self._estimates["quantity"].to_numpy()]

    @cached_property
    def _x(self) -> Array:
        return self._estimates["coordinate"].to_numpy()

    def _all_natural(self, x: Array) -> dict[str, Any]:
        """Return all quantities on their natural scales, of coordinates of shape (..., d)."""
        random = self.structure.random
        out = {n: self._natural(n, x[..., i]) for i, n in enumerate(self._names)}
        places = [self._names.index(n) for n in random.correlations]
        correlated = random.correlated(partial_of(x[..., places]))
        return out | {n: correlated[..., i] for i, n in enumerate(random.correlations)}

    def _unknown(self, name: str) -> bool:
        """Return True for a correlation of an effect that is 0."""
        q = self.structure.quantity(name)
        at = self._names.index(name)
        held = bool(self._estimates["held"][at])
        return q.role == "correlation" and held and abs(self._x[at]) < MOST_LOGIT - 1e-6

    def _natural(self, name: str, x: Any) -> Any:
        """Return a quantity on its natural scale from where the search has it alone."""
        q = self.structure.quantity(name)
        if q.role == "correlation":  # made of several coordinates
            return np.full(np.shape(x), np.nan)
        if q.role == "typical":
            return self.structure.model.parameters[q.parameter].to_natural(x)
        return x if q.role == "covariate" else np.exp(x)

    def _slope(self, q: Quantity, natural: float) -> float:
        """Return d natural / d coordinate."""
        if q.role == "typical":
            scale = self.structure.model.parameters[q.parameter].scale
            by_scale = {"log": natural, "logit": natural * (1.0 - natural), "identity": 1.0}
            return by_scale[scale]
        return 1.0 if q.role == "covariate" else natural

    def _correlation_row(self, name: str, z: float) -> dict[str, Any]:
        """Return a row of the table for a correlation, which depends on several coordinates."""
        q, i = self.structure.quantity(name), self._names.index(name)
        value = float(self.estimates[name])
        slope = np.zeros(len(self._names))
        for j in [self._names.index(n) for n in self.structure.random.correlations]:
            step = _STEP * (np.arange(slope.size) == j)
            up, down = (float(self._all_natural(self._x + s)[name]) for s in (step, -step))
            slope[j] = (up - down) / (2.0 * _STEP)
        own, robust = (self._error(k, slope) for k in ("covariance", "sandwich"))
        held = bool(self._estimates["held"][i])
        why = _OF_ZERO if self._unknown(name) else _AT_LIMIT if held else self._lacking(name)
        percent = 100.0 / abs(value) if value else np.nan
        with np.errstate(all="ignore"):
            middle, width = np.arctanh(value), z * own / (1.0 - value**2)
        return {
            "label": q.label,
            "unit": q.unit,
            "role": q.role,
            "estimate": value,
            "se": own,
            "rse": own * percent,
            "lower": float(np.tanh(middle - width)),
            "upper": float(np.tanh(middle + width)),
            "se_sandwich": robust,
            "rse_sandwich": robust * percent,
            "cv": np.nan,
            "shrinkage_sd": np.nan,
            "shrinkage_var": np.nan,
            "gradient": float(self._estimates["gradient"][i]),
            "reason": why if held or not np.isfinite(own) else self._one_patient(),
        }

    def _error(self, kind: str, slope: Array) -> float:
        """Return the standard error of what changes with the coordinates by `slope`."""
        acting = np.flatnonzero(slope)
        covariance = self._estimates[kind].to_numpy()[np.ix_(acting, acting)]
        variance = float(slope[acting] @ covariance @ slope[acting]) if acting.size else np.nan
        return float(np.sqrt(variance)) if variance > 0 else np.nan

    def _lacking(self, name: str) -> str:
        """Return why a quantity that is not held has no error."""
        if "reason" not in self._estimates:  # files written before there were reasons
            return _NO_CURVATURE
        own = str(self._estimates["reason"].to_numpy()[self._names.index(name)])
        return own or _NO_CURVATURE

    def _one_patient(self) -> str:
        return _ONE_PATIENT if self.structure.design.n_patients < 2 else ""

    def _row(self, name: str, z: float) -> dict[str, Any]:
        if self.structure.quantity(name).role == "correlation":
            return self._correlation_row(name, z)
        q, i = self.structure.quantity(name), self._names.index(name)
        value = float(self._natural(name, self._x[i]))
        variances = [float(self._estimates[k][i, i]) for k in ("covariance", "sandwich")]
        own, sandwich = (float(np.sqrt(v)) for v in variances)
        se, robust = (s * abs(self._slope(q, value)) for s in (own, sandwich))
        percent = 100.0 / abs(value) if value else np.nan
        held = bool(self._estimates["held"][i])
        why = _AT_ZERO if held else self._lacking(name)
        lacking = self._one_patient() if np.isfinite(own) else why
        return {
            "label": q.label,
            "unit": q.unit,
            "role": q.role,
            "estimate": value,
            "se": se,
            "rse": se * percent,
            "lower": float(self._natural(name, self._x[i] - z * own)),
            "upper": float(self._natural(name, self._x[i] + z * own)),
            "se_sandwich": robust,
            "rse_sandwich": robust * percent,
            **self._of_omega(q, value),
            "gradient": float(self._estimates["gradient"][i]),
            "reason": lacking,
        }

    def _of_omega(self, q: Quantity, omega: float) -> dict[str, float]:
        if q.role not in ("omega", "iov"):
            return {"cv": np.nan, "shrinkage_sd": np.nan, "shrinkage_var": np.nan}
        on_log = self.structure.model.parameters[q.parameter].scale == "log"
        eta, acts = self.tree["individual"]["eta"].to_numpy(), self.structure.acts
        own = [i for i, sd in enumerate(self.structure.random.sds) if sd == q.name]
        scatter = _sd(eta[:, own][acts[:, own]])
        left = float(_ratio(np.array(scatter), np.array(omega)))
        return {
            "cv": 100.0 * float(np.sqrt(np.expm1(omega**2))) if on_log else np.nan,
            "shrinkage_sd": 100.0 * (1.0 - left),
            "shrinkage_var": 100.0 * (1.0 - left**2),
        }

    def _population_draws(self, rng: np.random.Generator) -> dict[str, xr.DataArray]:
        covariance = self._estimates["covariance"].to_numpy()
        known = np.isfinite(np.diag(covariance))
        x = np.tile(self._x, (_DRAWS, 1))
        if known.any():
            root = np.linalg.cholesky(covariance[np.ix_(known, known)])
            x[:, known] += rng.standard_normal((_DRAWS, int(known.sum()))) @ root.T
        out, natural = {}, self._all_natural(x)
        for q in self.structure.quantities:
            values = np.asarray(natural[q.name])[None]
            attrs = {"units": q.unit, "long_name": q.label, "role": q.role}
            out[q.name] = xr.DataArray(values, dims=("chain", "draw"), attrs=attrs)
        return out

    def _individual_draws(
        self, draws: xr.Dataset, rng: np.random.Generator
    ) -> dict[str, xr.DataArray]:
        """Return parameters of patients; those that vary stay about the patient's own mode.

        What does not vary, its standard deviation being 0, follows the population.
        """
        structure, own = self.structure, self.tree["individual"].to_dataset()
        names, sds = list(structure.random.names), structure.random.sds
        vary = {n for n, sd in zip(names, sds, strict=True) if self.estimates[sd] > 0}
        values, vectors = np.linalg.eigh(own["eta_covariance"].to_numpy())
        roots = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
        noise = rng.standard_normal((_DRAWS, *own["eta"].shape))
        shift = np.einsum("kab,skb->ska", roots, noise)
        out = {}
        for name in structure.model.estimated:
            parameter = structure.model.parameters[name]
            if name in vary:
                free = parameter.to_free(own[name].to_numpy()) + shift[:, :, names.index(name)]
            else:
                free = patient_means(structure, name, draws).to_numpy()[0]
            attrs = {"units": parameter.unit, "long_name": parameter.about}
            natural = np.asarray(parameter.to_natural(free))[None]
            out[name] = xr.DataArray(natural, dims=("chain", "draw", "id"), attrs=attrs)
        return out


def _ratio(a: Array, b: Array) -> Array:
    """Return a / b, NaN where b is 0."""
    return np.where(b > 0, a / np.where(b > 0, b, 1.0), np.nan)


def _sd(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(np.std(known, ddof=1)) if known.size > 1 else np.nan
