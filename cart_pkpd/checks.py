"""Checks of a fit, computed and never drawn, and of a design before there is one.

Every function returns an ``xr.Dataset``; those that take a FitResult, and
``prior_predictive``, are drawn by ``cart_pkpd.plots``.
"""

from cart_pkpd._checks.etas import etas as etas
from cart_pkpd._checks.exposure import exposure as exposure
from cart_pkpd._checks.identifiability import PHASE_1 as PHASE_1
from cart_pkpd._checks.identifiability import identifiability as identifiability
from cart_pkpd._checks.k_fold import k_fold as k_fold
from cart_pkpd._checks.leave_out import leave_one_patient_out as leave_one_patient_out
from cart_pkpd._checks.planned import planned_trial as planned_trial
from cart_pkpd._checks.predictions import predictions as predictions
from cart_pkpd._checks.predictive_exposure import predictive_exposure as predictive_exposure
from cart_pkpd._checks.prior_predictive import prior_predictive as prior_predictive
from cart_pkpd._checks.prior_sensitivity import prior_sensitivity as prior_sensitivity
from cart_pkpd._checks.residuals import residuals as residuals
from cart_pkpd._checks.sbc import sbc as sbc
from cart_pkpd._checks.shrinkage import shrinkage as shrinkage
from cart_pkpd._checks.vpc import vpc as vpc

__all__ = [
    "PHASE_1",
    "etas",
    "exposure",
    "identifiability",
    "k_fold",
    "leave_one_patient_out",
    "planned_trial",
    "predictions",
    "predictive_exposure",
    "prior_predictive",
    "prior_sensitivity",
    "residuals",
    "sbc",
    "shrinkage",
    "vpc",
]
