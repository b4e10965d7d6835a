"""Pharmacokinetics and pharmacodynamics of CAR-T cell therapy.

From a trial's raw tables to a dose decision. Submodules load when first used, so
``import cart_pkpd`` is quick and brings neither a sampler nor a figure library.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cart_pkpd import checks as checks
    from cart_pkpd import compare as compare
    from cart_pkpd import crs as crs
    from cart_pkpd import data as data
    from cart_pkpd import datasets as datasets
    from cart_pkpd import dose as dose
    from cart_pkpd import endpoints as endpoints
    from cart_pkpd import executor as executor
    from cart_pkpd import fit as fit
    from cart_pkpd import models as models
    from cart_pkpd import nca as nca
    from cart_pkpd import plots as plots
    from cart_pkpd import report as report
    from cart_pkpd import simulate as simulate
    from cart_pkpd import study as study

__version__ = "0.1.0"

_SUBMODULES = (
    "checks",
    "compare",
    "crs",
    "data",
    "datasets",
    "dose",
    "endpoints",
    "executor",
    "fit",
    "models",
    "nca",
    "plots",
    "report",
    "simulate",
    "study",
)

__all__ = ["__version__", *_SUBMODULES]


def __getattr__(name: str) -> ModuleType:
    if name in _SUBMODULES:
        return importlib.import_module(f"cart_pkpd.{name}")
    raise AttributeError(f"module 'cart_pkpd' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_SUBMODULES])
