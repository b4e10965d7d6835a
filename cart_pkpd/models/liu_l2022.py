"""CAR-T response, relapse and non-response in B-ALL (Liu et al. 2022)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from cart_pkpd.models._ode import Covariate, OdeModel, State
from cart_pkpd.models._parameters import Positive, Reference
from cart_pkpd.models.math import Value

_REFERENCE = Reference(
    "Liu L, Ma C, Zhang Z, et al.",
    2022,
    "Computational model of CAR T-cell immunotherapy dissects and predicts leukemia patient "
    "responses at remission, resistance, and relapse",
    "J Immunother Cancer 10 (the DOI is the preprint's)",
    "10.1101/2021.09.21.21263913",
)
_CODE = "authors' simulation script (CD19-positive)"
_of_code = partial(Positive, source=_CODE, confidence="transcribed")
_CODE_NEGATIVE = "authors' simulation script (CD19-negative relapse)"
_of_negative = partial(Positive, source=_CODE_NEGATIVE, confidence="transcribed")
_DEVIATIONS = (
    "The dose does not enter: the non-activated CAR-T cells at the start are a parameter, as in "
    "the paper.",
    "Typical values are those of one example simulation by the authors, not population estimates.",
)


class LiuL2022(OdeModel):
    r"""Non-activated CAR-T cells that antigen activates, expands and no longer keeps alive [1]_.

    Activation, expansion and killing each saturate with the CD19-positive blasts. Fitted patient
    by patient it gives continuous remission, CD19-positive relapse and non-response; blasts at
    the infusion are a covariate (``b0``). Choose it for B-ALL where both CAR-T cells and blasts are
    counted per µL; for escape see ``liu_l2022_negative``.

    References
    ----------
    .. [1] Liu L et al. (2022). J Immunother Cancer 10.
       Preprint: https://doi.org/10.1101/2021.09.21.21263913
    """

    name = "liu_l2022"
    label = "B-ALL: activation, expansion and killing that saturate (Liu L 2022)"
    endpoint = "car_cells"
    population = "32 patients with B-ALL from published trials (Monolix)"
    reference = _REFERENCE
    structure = "transcribed"
    sources: ClassVar[tuple[str, ...]] = (
        "Lunan12/CAR-T-model: Mlxtran and MATLAB files of the authors (no licence: facts only)",
    )
    deviations: ClassVar[tuple[str, ...]] = _DEVIATIONS
    errata: ClassVar[tuple[str, ...]] = (
        "The authors' note on identifiability writes the death of active cells as lA times the "
        "non-activated ones; their fitting and simulation code has the active ones.",
    )

    b0 = Covariate(2200.24, "cells/µL", "CD19-positive blasts at the infusion")

    blasts = State("cells/µL", "CD19-positive blasts", floor=1e-3)
    active = State("cells/µL", "active CAR-T cells", floor=1e-3)
    resting = State("cells/µL", "non-activated CAR-T cells", floor=1e-6)

    rb = _of_code(0.069, "1/day", "growth rate of blasts")
    ra = _of_code(1.62, "1/day", "largest growth rate of active cells", spread=0.5)
    la = _of_code(0.12, "1/day", "death rate of active cells")
    ln = _of_code(3e-5, "1/day", "death rate of non-activated cells", fixed=True)
    nm = _of_code(2939.1, "cells/µL", "largest number of blasts", fixed=True)
    eb = _of_code(22.72, "1/day", "largest killing rate")
    ka = _of_code(0.65, "1/day", "largest activation rate")
    kb = _of_code(5891.45, "cells/µL", "blasts of half the killing")
    kr = _of_code(637.64, "cells/µL", "blasts of half the growth")
    kn = _of_code(1808.02, "cells/µL", "blasts of half the activation")
    n0 = _of_code(16.46, "cells/µL", "non-activated cells at the start")
    marrow = _of_code(97.19, "%", "blasts in marrow where there are most", fixed=True)
    half = _of_code(1909.0, "cells/µL", "blasts in blood at half of that", fixed=True)

    def initial(self, p: Any) -> Mapping[str, Value]:
        """Return blasts and non-activated cells; no cell is active yet."""
        return {"blasts": p.b0, "active": 0.0, "resting": p.n0}

    def rhs(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return growth, killing, activation and death."""
        b = y.blasts
        activated = p.ka * b / (b + p.kn) * y.resting
        return {
            "blasts": p.rb * b * (1.0 - b / p.nm) - p.eb * b / (b + p.kb) * y.active,
            "active": (p.ra * b / (b + p.kr) - p.la) * y.active + activated,
            "resting": -activated - p.ln * y.resting,
        }

    def observe(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return active cells, blasts, and the share of blasts in marrow."""
        return {
            "car_cells": y.active,
            "tumour": y.blasts,
            "blast_percent": p.marrow * y.blasts / (y.blasts + p.half),
        }

    def drivers(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return also the share of active cells that meet blasts, killing, and blasts."""
        return {
            **super().drivers(t, y, p),
            "activated": y.active * y.blasts / (y.blasts + p.kr),
            "killing": p.eb * y.blasts / (y.blasts + p.kb) * y.active,
            "antigen": y.blasts,
        }


class LiuL2022Negative(LiuL2022):
    r"""The model of Liu 2022 with blasts that have lost CD19 and come back [1]_.

    CD19-negative blasts do not stimulate CAR-T cells and are killed ``kappa``-fold less; they may
    also arise from CD19-positive ones (``km``, 0 in the example). Choose it for antigen escape.

    References
    ----------
    .. [1] Liu L et al. (2022). J Immunother Cancer 10.
       Preprint: https://doi.org/10.1101/2021.09.21.21263913
    """

    name = "liu_l2022_negative"
    label = "B-ALL with CD19-negative relapse (Liu L 2022)"
    structure = "transcribed"
    sources = LiuL2022.sources
    deviations = (
        *_DEVIATIONS,
        "The loss of CD19 km, 0 in the example, is 1e-12 per day, which changes nothing.",
    )
    errata = LiuL2022.errata

    b0 = Covariate(17212.23022, "cells/µL", "CD19-positive blasts at the infusion")

    negative = State("cells/µL", "CD19-negative blasts", floor=1e-6)

    rb = _of_negative(0.086, "1/day", "growth rate of blasts")
    ra = _of_negative(1.7, "1/day", "largest growth rate of active cells", spread=0.5)
    la = _of_negative(0.04, "1/day", "death rate of active cells")
    ln = _of_negative(0.073, "1/day", "death rate of non-activated cells", fixed=True)
    nm = _of_negative(19988.53, "cells/µL", "largest number of blasts", fixed=True)
    eb = _of_negative(8.6, "1/day", "largest killing rate")
    ka = _of_negative(0.19, "1/day", "largest activation rate")
    kb = _of_negative(794.99, "cells/µL", "blasts of half the killing")
    kr = _of_negative(827.08, "cells/µL", "blasts of half the growth")
    kn = _of_negative(93066.8, "cells/µL", "blasts of half the activation")
    n0 = _of_negative(0.3, "cells/µL", "non-activated cells at the start")
    rneg = _of_negative(0.1, "1/day", "growth rate of CD19-negative blasts")
    km = Positive(
        1e-12, "1/day", "loss of CD19 from blasts",
        source="0 in the authors' simulation script", confidence="transcribed", fixed=True,
    )  # fmt: skip
    kappa = _of_negative(7.9, "1", "how much less CD19-negative blasts are killed")
    kneg = _of_negative(
        5956.03, "cells/µL", "CD19-negative blasts of half their killing", fixed=True
    )
    negative0 = Positive(
        19.88984724, "cells/µL", "CD19-negative blasts at the infusion",
        source="authors' Mlxtran file", confidence="transcribed",
    )  # fmt: skip

    def initial(self, p: Any) -> Mapping[str, Value]:
        """Return also the CD19-negative blasts."""
        return {**super().initial(p), "negative": p.negative0}

    def rhs(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return the slopes of the CD19-positive model, and of CD19-negative blasts."""
        n = y.negative
        killed = p.eb / p.kappa * n / (n + p.kneg) * y.active
        grown = p.rneg * n * (1.0 - n / p.nm)
        return {**super().rhs(t, y, p), "negative": grown + p.km * y.blasts - killed}

    def observe(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return active cells, blasts of both kinds, and the share of all blasts in marrow."""
        every = y.blasts + y.negative
        return {
            "car_cells": y.active,
            "tumour": y.blasts,
            "tumour_negative": y.negative,
            "blast_percent": p.marrow * every / (every + p.half),
        }

    def drivers(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return the drivers with killing of both kinds of blasts."""
        killed = p.eb / p.kappa * y.negative / (y.negative + p.kneg) * y.active
        given = super().drivers(t, y, p)
        return {**given, "killing": given["killing"] + killed}
