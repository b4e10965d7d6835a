"""What a report is written from, brought into one shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

import pandas as pd
import xarray as xr

from cart_pkpd import data
from cart_pkpd._core.errors import DataError

if TYPE_CHECKING:
    from cart_pkpd._compare.searched import Search
    from cart_pkpd.report._endpoints import EndpointFindings, NotDone
    from cart_pkpd.report._findings import DoseFindings
    from cart_pkpd.report._operating import OperatingFindings


class FitLike(Protocol):
    """What the report asks of a fit; ``fit.FitResult`` has it."""

    @property
    def model_name(self) -> str:
        """Name of the model."""

    @property
    def label(self) -> str:
        """Name of the fit for people."""

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The measures that were fitted."""

    @property
    def verdict(self) -> Any:
        """Convergence: ``ok``, ``sentence`` and the numbers behind them."""

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Versions, seed, settings, times."""

    @property
    def tree(self) -> xr.DataTree:
        """Draws and sampler statistics."""

    def table(self) -> pd.DataFrame:
        """Return the population parameters, prior beside posterior."""

    def draws(self) -> xr.Dataset:
        """Return posterior draws of the population parameters."""

    def prior_draws(self) -> xr.Dataset:
        """Return prior draws of the same."""


type Checks = xr.Dataset | tuple[xr.Dataset, ...] | None


@dataclass(frozen=True)
class Fit:
    """One fit with the checks that are shown beside it.

    Attributes
    ----------
    result : FitResult
        The fit.
    predictions, vpc : xr.Dataset, tuple of xr.Dataset or None
        From ``checks.predictions`` and ``checks.vpc``, one for each endpoint; left out where None.
    exposure : xr.Dataset, tuple of xr.Dataset or None
        From ``checks.exposure``, one for each endpoint; shown beside the NCA of the same endpoint
        where the fit converged.
    residuals, corrected : xr.Dataset, tuple of xr.Dataset or None
        From ``checks.residuals`` and ``checks.vpc(prediction_corrected=True)``, one for each
        endpoint; left out where None.
    etas, sensitivity : xr.Dataset or None
        From ``checks.etas`` and ``checks.prior_sensitivity``; left out where None.
    priors : DataFrame or None
        From ``fit.priors``; by default that of the result.
    missing : tuple of str
        Why checks are left out, in sentences.
    references : tuple of str
        Citations of the model; by default what ``models.cite`` says of the fitted one.
    truth : mapping or None
        True values, for simulated data.
    """

    result: FitLike
    predictions: Checks = None
    vpc: Checks = None
    references: tuple[str, ...] = ()
    truth: Mapping[str, float] | None = None
    exposure: Checks = None
    residuals: Checks = None
    corrected: Checks = None
    etas: xr.Dataset | None = None
    sensitivity: xr.Dataset | None = None
    priors: pd.DataFrame | None = None
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Inputs:
    """Everything a report shows."""

    title: str
    trial: xr.Dataset
    nca: Mapping[str, tuple[xr.Dataset, ...]]
    nca_summary: Mapping[str, pd.DataFrame]
    fits: Mapping[str, Fit]
    failures: Mapping[str, str]
    comparison: pd.DataFrame | None
    patients: xr.Dataset | None
    notes: tuple[str, ...]
    methods: tuple[str, ...]
    references: tuple[str, ...]
    provenance: Mapping[str, Any]
    data_cutoff: str | None
    draft: bool
    generated: datetime
    endpoints: EndpointFindings | NotDone | None = None
    dose: DoseFindings | None = None
    search: Search | None = None
    operating: OperatingFindings | None = None

    @property
    def has_trial(self) -> bool:
        """Whether there are patients' records; else only decisions and simulated trials."""
        return "id" in self.trial.dims

    @property
    def analysed(self) -> list[str]:
        """Endpoints that were analysed by NCA or fitted."""
        named = [*self.nca, *(e for fit in self.fits.values() for e in fit.result.endpoints)]
        known = data.endpoints(self.trial)
        return [name for name in dict.fromkeys(named) if name in known]


def no_trial(dose: DoseFindings | None) -> xr.Dataset:
    """Return what stands for the trial where there is none: only where the numbers come from."""
    source = "counts of patients and DLTs, no trial table" if dose else "none, simulated trials"
    return xr.Dataset(attrs={"source": source})


def each(found: Checks) -> tuple[xr.Dataset, ...]:
    """Return the checks of a fit, one for each endpoint; none if there are none."""
    if found is None:
        return ()
    return (found,) if isinstance(found, xr.Dataset) else tuple(found)


def by_endpoint(
    given: xr.Dataset | Mapping[str, xr.Dataset | Sequence[xr.Dataset]] | None,
) -> dict[str, tuple[xr.Dataset, ...]]:
    """Return NCA results by endpoint, each a tuple with one Dataset per window.

    Raises
    ------
    DataError
        If one Dataset holds several endpoints.
    """
    if given is None:
        return {}
    if isinstance(given, xr.Dataset):
        given = {str(given.attrs.get("endpoint", "endpoint")): given}
    made = {
        str(name): (found,) if isinstance(found, xr.Dataset) else tuple(found)
        for name, found in given.items()
    }
    if any("endpoint" in one.dims for windows in made.values() for one in windows):
        raise DataError(
            "the NCA holds several endpoints in one Dataset: pass one Dataset per endpoint, "
            "as nca.table(trial, endpoint=name) returns it, in a mapping by name."
        )
    return made


def frames(
    given: pd.DataFrame | Mapping[str, pd.DataFrame] | None, first: str
) -> dict[str, pd.DataFrame]:
    """Return NCA summaries by endpoint; a lone table belongs to the endpoint `first`."""
    if given is None:
        return {}
    return {first: given} if isinstance(given, pd.DataFrame) else dict(given)


def bundles(given: Mapping[str, Fit | FitLike] | None) -> dict[str, Fit]:
    """Return fits with their checks; a bare result gets none."""
    return {
        str(name): found if isinstance(found, Fit) else Fit(found)
        for name, found in (given or {}).items()
    }
