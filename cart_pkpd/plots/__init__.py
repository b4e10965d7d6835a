"""Pictures of results: each function takes a result Dataset or table and draws it.

Functions with one panel take ``ax=`` and return the Axes; those with several return the
Figure. Nothing is computed here beyond geometric means and kernel densities, nothing is
shown on a screen, and no global matplotlib state is touched: call ``figure.savefig``, or let
a notebook display what is returned.
"""

from __future__ import annotations

from cart_pkpd.plots._axes import TimeScale as TimeScale
from cart_pkpd.plots._chains import ranks as ranks
from cart_pkpd.plots._chains import trace as trace
from cart_pkpd.plots._comparison import comparison as comparison
from cart_pkpd.plots._crs import crs_incidence as crs_incidence
from cart_pkpd.plots._crs import crs_odds_ratios as crs_odds_ratios
from cart_pkpd.plots._crs import crs_response as crs_response
from cart_pkpd.plots._crs_course import crs_course as crs_course
from cart_pkpd.plots._dose import dose_intervals as dose_intervals
from cart_pkpd.plots._dose import dose_toxicity as dose_toxicity
from cart_pkpd.plots._dose_kinetics import dlt_by_dose as dlt_by_dose
from cart_pkpd.plots._dose_kinetics import exposure_power as exposure_power
from cart_pkpd.plots._dose_kinetics import mediated_share as mediated_share
from cart_pkpd.plots._dose_kinetics import peaks_by_dose as peaks_by_dose
from cart_pkpd.plots._dose_kinetics import toxicity_by_exposure as toxicity_by_exposure
from cart_pkpd.plots._dose_rules import boin_table as boin_table
from cart_pkpd.plots._dose_rules import dose_scenarios as dose_scenarios
from cart_pkpd.plots._etas import eta_covariates as eta_covariates
from cart_pkpd.plots._etas import etas as etas
from cart_pkpd.plots._exposure import exposure as exposure
from cart_pkpd.plots._exposure_response import exposure_response as exposure_response
from cart_pkpd.plots._individual import individual as individual
from cart_pkpd.plots._nca import nca_profile as nca_profile
from cart_pkpd.plots._nca import nca_profiles as nca_profiles
from cart_pkpd.plots._operating import operating_characteristics as operating_characteristics
from cart_pkpd.plots._patient_elpd import patient_elpd as patient_elpd
from cart_pkpd.plots._persistence import persistence as persistence
from cart_pkpd.plots._posterior import intervals as intervals
from cart_pkpd.plots._posterior import posterior as posterior
from cart_pkpd.plots._predicted import goodness_of_fit as goodness_of_fit
from cart_pkpd.plots._predicted import observed_vs_predicted as observed_vs_predicted
from cart_pkpd.plots._predictive import predictive_exposure as predictive_exposure
from cart_pkpd.plots._prior_predictive import prior_predictive as prior_predictive
from cart_pkpd.plots._prior_sensitivity import prior_sensitivity as prior_sensitivity
from cart_pkpd.plots._profiles import cytokines as cytokines
from cart_pkpd.plots._profiles import profiles as profiles
from cart_pkpd.plots._residuals import gof as gof
from cart_pkpd.plots._residuals import npde as npde
from cart_pkpd.plots._residuals import residual as residual
from cart_pkpd.plots._response import spider as spider
from cart_pkpd.plots._response import waterfall as waterfall
from cart_pkpd.plots._sbc import sbc as sbc
from cart_pkpd.plots._search import search as search
from cart_pkpd.plots._simulated import simulated as simulated
from cart_pkpd.plots._survival import survival as survival
from cart_pkpd.plots._swimmer import swimmer as swimmer
from cart_pkpd.plots._twin import exposure_twin as exposure_twin
from cart_pkpd.plots._twin import exposure_twins as exposure_twins
from cart_pkpd.plots._vpc import vpc as vpc

__all__ = [
    "TimeScale",
    "boin_table",
    "comparison",
    "crs_course",
    "crs_incidence",
    "crs_odds_ratios",
    "crs_response",
    "cytokines",
    "dlt_by_dose",
    "dose_intervals",
    "dose_scenarios",
    "dose_toxicity",
    "eta_covariates",
    "etas",
    "exposure",
    "exposure_power",
    "exposure_response",
    "exposure_twin",
    "exposure_twins",
    "gof",
    "goodness_of_fit",
    "individual",
    "intervals",
    "mediated_share",
    "nca_profile",
    "nca_profiles",
    "npde",
    "observed_vs_predicted",
    "operating_characteristics",
    "patient_elpd",
    "peaks_by_dose",
    "persistence",
    "posterior",
    "predictive_exposure",
    "prior_predictive",
    "prior_sensitivity",
    "profiles",
    "ranks",
    "residual",
    "sbc",
    "search",
    "simulated",
    "spider",
    "survival",
    "swimmer",
    "toxicity_by_exposure",
    "trace",
    "vpc",
    "waterfall",
]
