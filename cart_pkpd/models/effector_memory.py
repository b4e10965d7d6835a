"""Saturable expansion, smooth phases, effector and memory cells: this project's default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cart_pkpd.models._ode import OdeModel, State
from cart_pkpd.models._parameters import Fraction, Positive
from cart_pkpd.models._phases import guess_peak
from cart_pkpd.models.math import Value, exp, log, logaddexp, smooth_step


class EffectorMemory(OdeModel):
    r"""Saturable growth of effector cells between smooth phases; some become memory [1]_ [2]_.

    Not one publication: this project's own model, built from published pieces (see
    ``deviations``) for Bayesian fits of phase 1 trials in solid tumours. Growth slows as cells
    become many, phases pass into each other without a jump, and the dose counts. Choose it as
    the default; choose ``stein2019`` for very sparse data or to compare with the literature.

    The parameters are what a sampled course shows, so that a fit identifies them: ``cmax`` and
    ``tmax`` are peak and time of the peak at the usual dose, ``rho`` the slope of the early rise,
    ``alpha`` and ``beta`` the slopes of the two declines, ``fb`` sets the level between them. Lag
    and largest growth rate follow from these and from the infused cells.

    Notes
    -----
    .. math::

        \dot E = g_{lag} (1 - g_{end}) \frac{V_{max} E}{K_m + E} - g_{end}\, \alpha E, \qquad
        \dot M = g_{conv}\, f_B\, \alpha E - \beta M, \qquad C = E + M

    with gates :math:`g_x = 1 / (1 + e^{-(t - t_x)/w})` at the lag, at :math:`t_{max}` and at
    :math:`t_{max} + t_{delay}`; a dose adds ``yield_`` times its cells to E. With saturable growth
    :math:`(E - E_0) + K_m \ln (E / E_0) = V_{max} (t - t_{lag})`, hence

    - the peak rises by :math:`K_m / (K_m + C_{max})` per unit of ln dose. ``dose_slope`` is that
      number at the usual dose, so :math:`K_m = C_{max} s / (1 - s)`: no further power of the
      dose is needed, and far below the usual dose the peak falls faster;
    - the growth needed from the usual dose to the peak is known, and so are the lag (growth
      at ``rho`` starts just in time) and :math:`V_{max}`. If growth at ``rho`` from day 0 is not
      enough, it is as fast as needed.

    References
    ----------
    .. [1] Wu F et al. (2025). Clin Pharmacokinet. https://doi.org/10.1007/s40262-025-01531-2
    .. [2] Li Y, Cheng Y (2026). Preprint. https://doi.org/10.64898/2026.03.01.708830
    """

    name = "effector_memory"
    label = "Effector and memory cells, saturable growth, smooth phases (this project)"
    population = "none: priors for CAR-T cells against solid tumours"
    structure = "assumed"
    deviations = (
        "This project's own model: saturable growth is that of Wu F 2025, smooth gates and the "
        "delay of the conversion are those described in the abstract of Li & Cheng 2026, whose "
        "equations were not seen.",
        "The delay is a gate at a later time, not a delay differential equation.",
        "vmax, km and the lag are computed from cmax, tmax, rho and dose_slope, because vmax, km, "
        "the starting level and tmax are strongly correlated in a fit.",
        "alpha is the whole loss of effector cells and fb the share of the lost ones that become "
        "memory cells; Wu F 2025 has two separate rates.",
        "The dose enters as infused cells times yield_; in Wu F 2025 it is a covariate on vmax.",
        "Where growth at rho from day 0 on cannot reach cmax by tmax (two in five patients drawn "
        "from the typical values and their IIV), it is as fast as needed: rho then hardly acts.",
        "The phases are those of the first infusion: cells infused after tmax only decline.",
        "A soft end of the expansion lowers ln of the peak by about ln 2 * width * (growth + "
        "alpha); growth aims that much higher, and the peak is within about 6 % of cmax.",
        "Every value is assumed for solid tumours: typical peaks 1e3 to 5e3 copies/µg on days 7 to "
        "14, below 50 copies/µg after a month or two.",
    )
    sources = (
        "abstract of Li & Cheng 2026 (10.64898/2026.03.01.708830)",
        "machine extraction of Wu F 2025: names of parameters",
    )

    effector = State("copies/µg", "effector CAR-T cells", floor=1e-6)
    memory = State("copies/µg", "memory CAR-T cells", floor=1e-6)

    cmax = Positive(2000.0, "copies/µg", "peak level (model) at the usual dose", iiv=1.1)
    tmax = Positive(10.0, "day", "time of the peak (model)", iiv=0.25, spread=0.3)
    rho = Positive(1.0, "1/day", "early expansion rate", iiv=0.25, spread=0.3)
    alpha = Positive(0.2, "1/day", "loss rate of effector cells", iiv=0.4, spread=0.5)
    fb = Fraction(0.02, "1", "share of the lost effector cells that become memory", iiv=0.8)
    beta = Positive(0.006, "1/day", "decline rate of memory cells", iiv=0.5)
    yield_ = Positive(1e-6, "copies/µg/cells", "level per infused cell", fixed=True)
    dose_slope = Fraction(0.25, "1", "rise of ln cmax per ln dose, at the usual dose", fixed=True)
    usual_dose = Positive(1e7, "cells", "dose to which cmax refers", fixed=True)
    delay = Positive(2.0, "day", "delay of the conversion after the peak", fixed=True)
    width = Positive(0.5, "day", "how soft the phases' ends are", fixed=True)

    dosed = "effector"

    def initial(self, p: Any) -> Mapping[str, Value]:
        """Return no cells: they come with the doses."""
        return {"effector": 0.0, "memory": 0.0}

    def dose_factor(self, p: Any) -> Mapping[str, Value]:
        """Return the level that one infused cell gives."""
        return {"effector": p.yield_}

    def growth(self, p: Any) -> tuple[Value, Value, Value]:
        """Return vmax, km and the lag that give the peak at the usual dose."""
        km = p.cmax * p.dose_slope / (1.0 - p.dose_slope)
        top = p.cmax * exp(np.log(2.0) * p.width * (p.dose_slope * p.rho + p.alpha))
        start_level = p.yield_ * p.usual_dose
        needed = log(top / start_level) + (top - start_level) / km
        lag = p.tmax - needed / p.rho
        # Days of growth through the soft gate that opens at the lag, also where that is below 0.
        days = p.tmax - p.width * logaddexp(0.0, lag / p.width)
        return km * needed / days, km, lag

    def rhs(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return saturable growth, loss and conversion behind their gates."""
        vmax, km, lag = self.growth(p)
        ended = smooth_step(t - p.tmax, p.width)
        growing = smooth_step(t - lag, p.width) * (1.0 - ended)
        converting = smooth_step(t - p.tmax - p.delay, p.width)
        lost = p.alpha * y.effector
        return {
            "effector": growing * vmax * y.effector / (km + y.effector) - ended * lost,
            "memory": converting * p.fb * lost - p.beta * y.memory,
        }

    def observe(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return the transgene level."""
        return {"transgene": y.effector + y.memory}

    def drivers(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return all cells, and the effector cells during the expansion."""
        ended = smooth_step(t - p.tmax, p.width)
        _, _, lag = self.growth(p)
        activated = smooth_step(t - lag, p.width) * (1.0 - ended) * y.effector
        return {"cells": y.effector + y.memory, "activated": activated}

    def guess(self, time: NDArray[np.float64], level: NDArray[np.float64]) -> Mapping[str, float]:
        """Return the observed peak and its time."""
        return guess_peak(time, level)
