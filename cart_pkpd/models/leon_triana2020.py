"""CAR-T cells that feed on leukaemia and healthy B cells (León-Triana et al. 2020)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from cart_pkpd.models._ode import OdeModel, State
from cart_pkpd.models._parameters import Fraction, Positive, Reference
from cart_pkpd.models.math import Value

_SBML = "BIOMD0000001011"
_SBML_SOURCE = "BIOMD0000001012"
_VOLUME = (
    "The paper follows total cell numbers; levels per blood volume assume that all cells are in "
    "5 L of blood."
)


class LeonTriana2020Ball(OdeModel):
    r"""CAR-T cells that multiply on every CD19-positive cell they meet, leukaemic or healthy [1]_.

    Growth and killing are mass action without saturation, so that expansion is driven by the
    burden and hardly by the dose: the peak is near ``rhoc / alpha`` times the CD19-positive
    cells at the infusion. The leukaemia never dies out and comes back after months, as prey
    does when the predator starves. Choose it for B-ALL with B-cell aplasia as an endpoint; for
    recovery of B cells from immature ones see ``leon_triana2020_ball_source``.

    References
    ----------
    .. [1] León-Triana O et al. (2021). Commun Nonlinear Sci Numer Simul 94:105570.
       https://doi.org/10.1016/j.cnsns.2020.105570
    """

    name = "leon_triana2020_ball"
    label = "B-ALL: CAR-T cells feed on leukaemia and B cells (León-Triana 2020)"
    endpoint = "car_cells"
    population = "no data fitted: constants for children and adults with B-ALL from the literature"
    reference = Reference(
        "León-Triana O, Sabir S, Calvo GF, Belmonte-Beitia J, Chulián S, Martínez-Rubio Á, Rosa M, "
        "Pérez-Martínez A, Ramirez-Orellana M, Pérez-García VM",
        2021,
        "CAR T cell therapy in B-cell acute lymphoblastic leukaemia: Insights from mathematical "
        "models",
        "Commun Nonlinear Sci Numer Simul 94:105570 (online 2020)",
        "10.1016/j.cnsns.2020.105570",
    )
    structure = "transcribed"
    sources: ClassVar[tuple[str, ...]] = (
        "BioModels BIOMD0000001011 (equations 4a-4c of the paper)",
    )
    deviations: ClassVar[tuple[str, ...]] = (
        _VOLUME,
        "The 1e7 infused cells of the paper are a dose instead of an initial value.",
        "The file ties rhoc to alpha (rhoc = 0.25 alpha); here both are free.",
    )

    dosed = "car"

    car = State("cells", "CAR-T cells", floor=1.0)
    leukaemia = State("cells", "leukaemic cells", floor=1.0)
    healthy = State("cells", "healthy CD19-positive B cells", floor=1.0)

    rhoc = Positive(
        1.125e-11, "1/cells/day", "growth of CAR-T cells per CD19-positive cell", spread=0.5,
        source=_SBML, confidence="transcribed",
    )  # fmt: skip
    tauc = Positive(
        14.0, "day", "life of CAR-T cells", spread=0.5, source=_SBML, confidence="transcribed"
    )
    rhol = Positive(
        1 / 30, "1/day", "growth rate of the leukaemia", source=_SBML, confidence="transcribed"
    )
    alpha = Positive(
        4.5e-11, "1/cells/day", "killing rate per CAR-T cell", source=_SBML,
        confidence="transcribed",
    )  # fmt: skip
    taub = Positive(
        60.0, "day", "life of B cells", spread=0.5, source=_SBML, confidence="transcribed",
        fixed=True,
    )  # fmt: skip
    leukaemia0 = Positive(
        5e10, "cells", "leukaemic cells at the infusion", source=_SBML, confidence="transcribed"
    )
    b_cells0 = Positive(
        2.5e10, "cells", "B cells at the infusion", source=_SBML, confidence="transcribed"
    )
    blood = Positive(5e6, "µL", "blood volume", fixed=True)

    def initial(self, p: Any) -> Mapping[str, Value]:
        """Return the burden; CAR-T cells come with the dose."""
        return {"car": 0.0, "leukaemia": p.leukaemia0, "healthy": p.b_cells0}

    def rhs(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return mass-action growth on and killing of both targets."""
        killing = p.alpha * y.car
        return {
            "car": p.rhoc * (y.leukaemia + y.healthy) * y.car - y.car / p.tauc,
            "leukaemia": (p.rhol - killing) * y.leukaemia,
            "healthy": -killing * y.healthy - y.healthy / p.taub,
        }

    def observe(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return CAR-T and B cells per blood volume, and the leukaemic cells."""
        return {
            "car_cells": y.car / p.blood,
            "tumour": y.leukaemia,
            "b_cells": y.healthy / p.blood,
        }

    def drivers(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return also cells killed per day and CD19-positive cells left."""
        targets = y.leukaemia + y.healthy
        return {
            **super().drivers(t, y, p),
            "killing": p.alpha * y.car * targets,
            "antigen": targets,
        }


class LeonTriana2020BallSource(LeonTriana2020Ball):
    r"""B-ALL with immature B cells that feed mature ones and, weakly, the CAR-T cells [1]_.

    As ``leon_triana2020_ball``; CD19-negative progenitors keep making B cells, fewer while
    there are many CAR-T cells, so that B-cell aplasia ends once the CAR-T cells are gone. Choose
    it where the duration of B-cell aplasia matters.

    References
    ----------
    .. [1] León-Triana O et al. (2021). Commun Nonlinear Sci Numer Simul 94:105570.
       https://doi.org/10.1016/j.cnsns.2020.105570
    """

    name = "leon_triana2020_ball_source"
    label = "B-ALL with B cells made from immature ones (León-Triana 2020)"
    structure = "transcribed"
    sources = ("BioModels BIOMD0000001012 (equations 3a-3d of the paper)",)
    deviations = (
        *LeonTriana2020Ball.deviations,
        "As in the file the number of immature cells is constant, so they are a parameter and not "
        "a state.",
    )
    errata = (
        "In the file the growth of CAR-T cells on immature B cells, rhoc beta I, lacks the factor "
        "C that its unit and its meaning ask for; here it is rhoc beta I C (a rate of 1e-5 per "
        "day at the published values, which changes nothing visible).",
    )

    beta = Fraction(
        0.1, "1", "growth on an immature cell relative to a mature one", source=_SBML_SOURCE,
        confidence="transcribed", fixed=True,
    )  # fmt: skip
    i0 = Positive(1e7, "cells", "immature B cells", source=_SBML_SOURCE, confidence="transcribed")
    c50 = Positive(
        1e9, "cells", "CAR-T cells that halve the contribution of immature cells",
        source=_SBML_SOURCE, confidence="transcribed", fixed=True,
    )  # fmt: skip
    taui = Positive(
        6.0, "day", "maturation time of immature B cells", source=_SBML_SOURCE,
        confidence="transcribed", fixed=True,
    )  # fmt: skip

    def rhs(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return the slopes of the model without a source, plus what immature cells add."""
        slopes = super().rhs(t, y, p)
        immature = p.i0 / (1.0 + y.car / p.c50)
        return {
            "car": slopes["car"] + p.rhoc * p.beta * immature * y.car,
            "leukaemia": slopes["leukaemia"],
            "healthy": slopes["healthy"] + immature / p.taui,
        }
