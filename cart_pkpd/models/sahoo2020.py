"""CARRGO: CAR-T cells as predators of glioma (Sahoo et al. 2020)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from cart_pkpd.models._ode import OdeModel, State
from cart_pkpd.models._parameters import ParameterSet, Positive, Real, Reference
from cart_pkpd.models.math import Value

_MRI = "MRI fits of patient tumours T6 and T7"


class Sahoo2020Carrgo(OdeModel):
    r"""A logistic tumour, and CAR-T cells that kill it and grow or tire in doing so [1]_.

    ``kappa2`` is the net effect of an encounter on the CAR-T cells: proliferation above 0,
    exhaustion below. Where it is above 0, tumour and CAR-T cells settle at
    ``theta / kappa2`` and ``rho / kappa1 (1 - theta / (kappa2 k))`` cells; where it is below, CAR-T
    cells only decline. Choose it for solid tumours with local delivery and few data: it has the
    fewest parameters of the models with a tumour.

    References
    ----------
    .. [1] Sahoo P et al. (2020). J R Soc Interface 17:20190734.
       https://doi.org/10.1098/rsif.2019.0734
    """

    name = "sahoo2020_carrgo"
    label = "CARRGO: predator and prey with exhaustion, glioma (Sahoo 2020)"
    endpoint = "car_cells"
    population = "patient-derived glioma lines in vitro; MRI of one patient's tumours (IL13Rα2)"
    reference = Reference(
        "Sahoo P, Yang X, Abler D, Maestrini D, Adhikarla V, Frankhouser D, Cho H, Machuca V, "
        "Wang D, Barish M, Gutova M, Branciamore S, Brown CE, Rockne RC",
        2020,
        "Mathematical deconvolution of CAR T-cell proliferation and exhaustion from real-time "
        "killing assay data",
        "J R Soc Interface 17:20190734",
        "10.1098/rsif.2019.0734",
    )
    structure = "published"
    deviations = (
        "Levels per volume divide by an assumed 10 mL in and around the tumour: the cells of the "
        "paper are in the brain and not in blood.",
        "The tumour at the start was not read in the paper and is assumed; it must be below `k`.",
        "The whole dose reaches the tumour; the paper lets 5 to 10 % of it arrive.",
        "The infused cells are a dose instead of an initial value.",
    )
    parameter_sets = MappingProxyType(
        {
            "T9": ParameterSet(
                "tumour T9: faster killing, and encounters that exhaust the CAR-T cells",
                {"rho": 0.2, "kappa1": 9e-8, "kappa2": -2e-13, "theta": 5e-5},
                source="MRI fit of tumour T9",
            ),
        }
    )

    dosed = "car"

    tumour = State("cells", "tumour cells", floor=1.0)
    car = State("cells", "CAR-T cells", floor=1.0)

    rho = Positive(
        0.065, "1/day", "growth rate of the tumour", spread=0.5, confidence="computed",
        source=f"middle of 0.06 to 0.07 per day, {_MRI}",
    )  # fmt: skip
    k = Positive(
        1e9, "cells", "largest tumour", fixed=True, source="section 4: of the order of 1e9"
    )
    kappa1 = Positive(6e-9, "1/cells/day", "killing rate per CAR-T cell", source=_MRI)
    # Both signs are possible, so the free scale is the natural one and the spread is in its unit.
    kappa2 = Real(
        3e-11, "1/cells/day", "proliferation minus exhaustion per encounter", spread=3e-11,
        source=_MRI,
    )  # fmt: skip
    theta = Positive(1e-6, "1/day", "death rate of CAR-T cells", source=_MRI, fixed=True)
    tumour0 = Positive(3e8, "cells", "tumour cells at the infusion")
    volume = Positive(1e4, "µL", "volume in which CAR-T cells are counted", fixed=True)

    def initial(self, p: Any) -> Mapping[str, Value]:
        """Return the tumour; CAR-T cells come with the dose."""
        return {"tumour": p.tumour0, "car": 0.0}

    def rhs(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return logistic growth, killing, and what encounters do to CAR-T cells."""
        return {
            "tumour": (p.rho * (1.0 - y.tumour / p.k) - p.kappa1 * y.car) * y.tumour,
            "car": (p.kappa2 * y.tumour - p.theta) * y.car,
        }

    def observe(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return CAR-T cells per volume and tumour cells."""
        return {"car_cells": y.car / p.volume, "tumour": y.tumour}

    def drivers(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return also tumour cells killed per day, and the tumour."""
        return {
            **super().drivers(t, y, p),
            "killing": p.kappa1 * y.car * y.tumour,
            "antigen": y.tumour,
        }
