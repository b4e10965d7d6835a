"""Checks of a fit, computed and never drawn.

Every function takes a FitResult and returns an ``xr.Dataset`` that ``cart_pkpd.plots`` draws.
"""

from cart_pkpd._checks.exposure import exposure as exposure
from cart_pkpd._checks.predictions import predictions as predictions
from cart_pkpd._checks.shrinkage import shrinkage as shrinkage
from cart_pkpd._checks.vpc import vpc as vpc

__all__ = ["exposure", "predictions", "shrinkage", "vpc"]
