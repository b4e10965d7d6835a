"""Checks of a fit, computed and never drawn, and of a design before there is one.

Every function returns an ``xr.Dataset``; those that take a FitResult, and
``prior_predictive``, are drawn by ``cart_pkpd.plots``.
"""

from cart_pkpd._checks.common import of_fit as _of_fit
from cart_pkpd._checks.etas import etas as _etas
from cart_pkpd._checks.exposure import exposure as _exposure
from cart_pkpd._checks.identifiability import PHASE_1 as PHASE_1
from cart_pkpd._checks.identifiability import identifiability as identifiability
from cart_pkpd._checks.k_fold import k_fold as _k_fold
from cart_pkpd._checks.leave_out import leave_one_patient_out as _leave_one_patient_out
from cart_pkpd._checks.planned import planned_trial as planned_trial
from cart_pkpd._checks.predictions import predictions as _predictions
from cart_pkpd._checks.predictive_exposure import predictive_exposure as _predictive_exposure
from cart_pkpd._checks.prior_predictive import prior_predictive as prior_predictive
from cart_pkpd._checks.prior_sensitivity import prior_sensitivity as _prior_sensitivity
from cart_pkpd._checks.residuals import residuals as _residuals
from cart_pkpd._checks.sbc import sbc as sbc
from cart_pkpd._checks.shrinkage import shrinkage as _shrinkage
from cart_pkpd._checks.vpc import vpc as _vpc

etas = _of_fit(_etas)
exposure = _of_fit(_exposure)
k_fold = _of_fit(_k_fold)
leave_one_patient_out = _of_fit(_leave_one_patient_out)
predictions = _of_fit(_predictions)
predictive_exposure = _of_fit(_predictive_exposure)
prior_sensitivity = _of_fit(_prior_sensitivity)
residuals = _of_fit(_residuals)
shrinkage = _of_fit(_shrinkage)
vpc = _of_fit(_vpc)

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
