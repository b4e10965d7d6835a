"""CARRGO with dexamethasone (Brummer et al. 2022)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from cart_pkpd.models._ode import Covariate, OdeModel, State
from cart_pkpd.models._parameters import ParameterSet, Positive, Real, Reference
from cart_pkpd.models.math import Value

_FITS = "CARRGODEX fit_parameters.csv, PBT1, 0.125 CI of CAR-T cells, dexamethasone 1e-8"
_LN2 = float(np.log(2.0))
_PER_HOUR = ("rho", "c0", "kappa1", "kappa2", "theta", "c3")


def _fit(line: str, dex: str, row: str, tumour0: float, *values: float) -> ParameterSet:
    """Return the fit in one row of the table; its rates are per hour.

    `tumour0` is the first fitted row of its well.
    """
    names = ("rho", "kappainv", "c0", "kappa1", "kappa2", "theta", "c3")
    given = dict(zip(names, values, strict=True))
    return ParameterSet(
        f"line {line}, 0.125 CI of CAR-T cells, {dex} (column {row})",
        {"tumour0": tumour0, **{k: 24.0 * v if k in _PER_HOUR else v for k, v in given.items()}},
        source="CARRGODEX fit_parameters.csv",
        confidence="published",
    )


class Brummer2022(OdeModel):
    r"""CARRGO in which dexamethasone, as it is cleared, changes growth and CAR-T death [1]_.

    While dexamethasone is there the tumour grows by ``-c0`` more (``c0`` below 0 in most fits:
    it protects the tumour) and CAR-T cells die by ``c3`` more; both fade with its half-life. The
    covariate ``dex0`` says whether it is given at the start (1) or not (0); later additions are
    doses into the state ``dex``. Choose it for in-vitro killing assays, and to ask how timing of a
    steroid changes killing.

    References
    ----------
    .. [1] Brummer AB et al. (2022). PLoS Comput Biol 18.
       Preprint: https://doi.org/10.1101/2021.10.01.462697
    """

    name = "brummer2022"
    label = "CARRGO with dexamethasone, in vitro (Brummer 2022)"
    endpoint = "car_cells"
    population = "patient-derived glioblastoma lines PBT030, PBT128 and PBT138 in vitro"
    reference = Reference(
        "Brummer AB, Yang X, Ma E, Gutova M, Brown CE, Rockne RC",
        2022,
        "Dose-dependent thresholds of dexamethasone destabilize CAR T-cell treatment efficacy",
        "PLoS Comput Biol 18 (the DOI is the preprint's)",
        "10.1101/2021.10.01.462697",
    )
    structure = "published"
    sources = ("CARRGODEX (MIT, © 2021 Alex Brummer): fitting notebooks and fit_parameters.csv",)
    deviations = (
        "Cells are in cell index (CI), the impedance signal of the assay, as in the paper.",
        "Dexamethasone is a state that starts at dex0 and is cleared, instead of a function of the "
        "time since the start, so that it can be given again.",
        "The dose does not enter: CAR-T cells at the start are the parameter car0.",
        "Rates per hour are given per day.",
    )
    errata = (
        "The columns t_start_.hr. and t_end_.hr. of fit_parameters.csv are row numbers of the time "
        "series (one per 15 minutes), not hours.",
    )
    parameter_sets = MappingProxyType(
        {
            "PBT1": _fit(
                "PBT1", "no dexamethasone", "Y(C1,C2)", 0.4633,
                0.230303627, 0.558779003, 0.0, 0.399998831, 0.046346801, 0.023015543, 0.0,
            ),
            "PBT1 dex 1e-6": _fit(
                "PBT1", "dexamethasone 1e-6", "Y(C11,C12)", 0.52435,
                0.019375106, 0.119501131, -0.25724035, 0.063832604, 0.029481799, 0.023015543,
                -0.190029435,
            ),
            "PBT2": _fit(
                "PBT2", "no dexamethasone", "Y(F1,F2)", 1.13565,
                0.358709044, 0.175863091, 0.0, 1.04663218, 0.015867745, 0.013712831, 0.0,
            ),
            "PBT2 dex 1e-6": _fit(
                "PBT2", "dexamethasone 1e-6", "Y(F11,F12)", 1.1707,
                0.178567589, 0.141215984, -0.150164128, 0.549594445, 0.003861133, 0.013712831,
                -0.126723395,
            ),
            "PBT4": _fit(
                "PBT4 (PBT138, high antigen)", "no dexamethasone", "Y(F1,F2)", 0.57075,
                0.233650968, 0.00586255, 0.0, 1.447540777, 0.011853399, 1.86e-7, 0.0,
            ),
            "PBT4 dex 1e-6": _fit(
                "PBT4 (PBT138, high antigen)", "dexamethasone 1e-6", "Y(F11,F12)", 0.59685,
                0.233650968, 0.01, -0.048341123, 1.454820615, 0.007671478, 1.86e-7, 0.0,
            ),
        }
    )  # fmt: skip

    dosed = "dex"
    dose_unit = "1"

    tumour = State("1", "tumour cells (CI)", floor=1e-6)
    car = State("1", "CAR-T cells (CI)", floor=1e-6)
    dex = State("1", "dexamethasone, relative to what was given")

    dex0 = Covariate(1.0, "1", "dexamethasone at the start: 1 with, 0 without")

    rho = Positive(24 * 0.043874243, "1/day", "growth rate of the tumour", spread=0.5, source=_FITS)
    kappainv = Positive(0.14876013, "1", "inverse of the largest tumour (1/CI)", source=_FITS)
    c0 = Real(
        24 * -0.169023873, "1/day", "growth taken away by dexamethasone", spread=4.0, source=_FITS
    )
    kappa1 = Positive(24 * 0.106180956, "1/day", "killing rate per CI of CAR-T cells", source=_FITS)
    kappa2 = Real(
        24 * 0.033464508, "1/day", "proliferation minus exhaustion per CI of tumour", spread=1.0,
        source=_FITS,
    )  # fmt: skip
    theta = Positive(24 * 0.023015543, "1/day", "death rate of CAR-T cells", source=_FITS)
    c3 = Real(
        24 * -0.151027402, "1/day", "death of CAR-T cells added by dexamethasone", spread=4.0,
        source=_FITS,
    )  # fmt: skip
    halflife = Positive(
        3.33 / 24, "day", "half-life of dexamethasone", fixed=True, spread=0.3,
        source="3.33 hours, fitting notebooks",
    )  # fmt: skip
    tumour0 = Positive(
        0.54805, "1", "tumour at the start (CI)", source="first fitted row of column Y(C7,C8)",
        confidence="published", spread=0.3,
    )  # fmt: skip
    car0 = Positive(0.125, "1", "CAR-T cells at the start (CI)", source=_FITS, fixed=True)

    def initial(self, p: Any) -> Mapping[str, Value]:
        """Return what is in the well at the start."""
        return {"tumour": p.tumour0, "car": p.car0, "dex": p.dex0}

    def rhs(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return the CARRGO slopes with the two terms of dexamethasone."""
        growth = p.rho * (1.0 - p.kappainv * y.tumour) - p.c0 * y.dex
        return {
            "tumour": (growth - p.kappa1 * y.car) * y.tumour,
            "car": (p.kappa2 * y.tumour - p.theta - p.c3 * y.dex) * y.car,
            "dex": -_LN2 / p.halflife * y.dex,
        }

    def observe(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return CAR-T cells and tumour in cell index."""
        return {"car_cells": y.car, "tumour": y.tumour}

    def drivers(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return also the tumour killed per day, and the tumour."""
        return {
            **super().drivers(t, y, p),
            "killing": p.kappa1 * y.car * y.tumour,
            "antigen": y.tumour,
        }
