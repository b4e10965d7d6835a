"""Models of one's own, given by differential equations, that several tests share.

They stand here, and not in the tests, so that each is compiled once.
"""

from cart_pkpd.models import Covariate, Fraction, Input, OdeModel, Positive, State, math


class EffectorMemory(OdeModel):
    """The equations behind stein2019: one switch, derived initial values, no dose."""

    effector = State("copies/µg", "effector cells")
    memory = State("copies/µg", "memory cells")

    cmax = Positive(24_000, "copies/µg", "peak level", iiv=0.65, source="Stein 2019")
    tmax = Positive(9.3, "day", "time of the peak", iiv=0.38, spread=0.5, source="Stein 2019")
    rho = Positive(0.889, "1/day", "expansion rate", spread=0.5)
    alpha = Positive(0.16, "1/day", "fast contraction rate")
    fb = Fraction(0.0079, "1", "share of the peak that persists")
    beta = Positive(0.0032, "1/day", "slow decline rate")

    def initial(self, p):
        return {"effector": p.cmax * math.exp(-p.rho * p.tmax), "memory": 0.0}

    def switches(self, p):
        return (p.tmax,)

    def rhs(self, t, y, p):
        growing = t < p.tmax
        k = p.fb * (p.alpha - p.beta)
        return {
            "effector": math.where(growing, p.rho, -p.alpha) * y.effector,
            "memory": math.where(growing, 0.0, k * y.effector - p.beta * y.memory),
        }

    def observe(self, t, y, p):
        return {"transgene": y.effector + y.memory}


class LagEffectorMemory(OdeModel):
    """The equations behind ogasawara2021: two switches; a lag above tmax acts as tmax."""

    effector = State("copies/µg", "effector cells")
    memory = State("copies/µg", "memory cells")

    cmax = Positive(20_000, "copies/µg", "peak level")
    lag = Positive(3.27, "day", "lag before expansion", spread=0.5)
    tmax = Positive(9.29, "day", "time of the peak", spread=0.5)
    rho = Positive(0.918, "1/day", "expansion rate", spread=0.5)
    alpha = Positive(0.1386, "1/day", "fast contraction rate")
    fb = Fraction(0.0079, "1", "share of the peak that persists")
    beta = Positive(0.00197, "1/day", "slow decline rate")

    def initial(self, p):
        return {
            "effector": p.cmax * math.exp(-p.rho * math.maximum(p.tmax - p.lag, 0.0)),
            "memory": 0.0,
        }

    def switches(self, p):
        return p.lag, p.tmax

    def rhs(self, t, y, p):
        growing = t < p.tmax
        k = p.fb * (p.alpha - p.beta)
        return {
            "effector": math.where(growing, math.where(t < p.lag, 0.0, p.rho), -p.alpha)
            * y.effector,
            "memory": math.where(growing, 0.0, k * y.effector - p.beta * y.memory),
        }

    def observe(self, t, y, p):
        return {"transgene": y.effector + y.memory}


class AntigenDriven(OdeModel):
    """Dosed cells that multiply on antigen and raise IL-6; tocilizumab slows their growth."""

    effector = State("copies/µg", "effector cells")
    memory = State("copies/µg", "memory cells")
    antigen = State("cells/µL", "cells that carry the antigen")
    il6 = State("pg/mL", "interleukin 6")

    burden = Covariate(400.0, "cells/µL", "antigen at the infusion")
    toci = Input(0.0, "1", "tocilizumab: 1 while it acts")

    gain = Positive(2e-7, "copies/µg/cells", "level per infused cell")
    growth = Positive(1.1, "1/day", "largest growth rate")
    half = Positive(60.0, "cells/µL", "antigen of half the largest growth")
    death = Positive(0.25, "1/day", "death of effector cells")
    turn = Positive(0.02, "1/day", "effector to memory")
    fade = Positive(0.004, "1/day", "loss of memory cells")
    kill = Positive(2e-4, "µg/copies/day", "killing rate")
    block = Fraction(0.3, "1", "growth taken away by tocilizumab")
    base = Positive(5.0, "pg/mL", "IL-6 without cells")
    rise = Positive(30.0, "1", "largest relative rise of IL-6")
    ec50 = Positive(3000.0, "copies/µg", "cells of half the largest rise")
    steep = Positive(1.6, "1", "Hill exponent", spread=0.3)

    dosed = "effector"

    def initial(self, p):
        return {"effector": 0.0, "memory": 0.0, "antigen": p.burden, "il6": p.base}

    def dose_factor(self, p):
        return {"effector": p.gain}

    def rhs(self, t, y, p):
        growing = p.growth * (1.0 - p.block * p.toci) * math.hill(y.antigen, p.half)
        leaving = p.turn * y.effector
        il6_out = 4.0 * p.death  # four times as fast as the cells
        raised = 1.0 + p.rise * math.hill(y.effector, p.ec50, p.steep)
        return {
            "effector": (growing - p.death) * y.effector - leaving,
            "memory": leaving - p.fade * y.memory,
            "antigen": -p.kill * y.effector * y.antigen,
            "il6": il6_out * (p.base * raised - y.il6),
        }

    def observe(self, t, y, p):
        return {"transgene": y.effector + y.memory, "il6": y.il6}


class PredatorPrey(OdeModel):
    """Lotka and Volterra: cells that kill and feed on a growing tumour."""

    prey = State("cells/µL", "tumour cells")
    predator = State("cells/µL", "CAR-T cells")

    prey0 = Positive(10.0, "cells/µL", "tumour at the infusion")
    predator0 = Positive(5.0, "cells/µL", "CAR-T cells at the infusion")
    growth = Positive(1.1, "1/day", "tumour growth rate")
    kill = Positive(0.4, "µL/cells/day", "killing rate")
    feed = Positive(0.1, "µL/cells/day", "growth per tumour cell")
    death = Positive(0.4, "1/day", "death rate of CAR-T cells")

    def initial(self, p):
        return {"prey": p.prey0, "predator": p.predator0}

    def rhs(self, t, y, p):
        return {
            "prey": (p.growth - p.kill * y.predator) * y.prey,
            "predator": (p.feed * y.prey - p.death) * y.predator,
        }

    def observe(self, t, y, p):
        return {"transgene": y.predator, "log_tumour": math.log(y.prey / p.prey0)}


class Saturable(OdeModel):
    """Absorption written as a function of time, and elimination of Michaelis and Menten."""

    central = State("mg/L", "drug")

    amount = Covariate(200.0, "mg", "swallowed amount")

    ka = Positive(2.4, "1/day", "absorption rate")
    volume = Positive(40.0, "L", "volume")
    vmax = Positive(1.5, "mg/L/day", "largest elimination rate")
    km = Positive(0.6, "mg/L", "level of half the largest elimination rate")

    def initial(self, p):
        return {"central": 0.0}

    def rhs(self, t, y, p):
        absorbed = p.ka * p.amount / p.volume * math.exp(-p.ka * t)
        return {"central": absorbed - p.vmax * y.central / (p.km + y.central)}

    def observe(self, t, y, p):
        return {"drug": y.central}


class FastCytokine(OdeModel):
    """Stiff: IL-6 with a half-life of 20 minutes beside cells that last a year."""

    cells = State("copies/µg", "CAR-T cells")
    il6 = State("pg/mL", "interleukin 6")

    start_level = Positive(5.0, "copies/µg", "cells at the infusion")
    rho = Positive(0.9, "1/day", "expansion rate")
    alpha = Positive(0.02, "1/day", "contraction rate")
    tmax = Positive(9.0, "day", "end of the expansion")
    width = Positive(0.3, "day", "how soft that end is")
    base = Positive(4.0, "pg/mL", "IL-6 without cells")
    rise = Positive(40.0, "1", "largest relative rise of IL-6")
    ec50 = Positive(2000.0, "copies/µg", "cells of half the largest rise")
    kout = Positive(50.0, "1/day", "loss of IL-6: ln 2 / 20 min", spread=0.3)

    def initial(self, p):
        return {"cells": p.start_level, "il6": p.base}

    def rhs(self, t, y, p):
        late = math.smooth_step(t - p.tmax, p.width)
        raised = p.base * (1.0 + p.rise * math.hill(y.cells, p.ec50))
        return {
            "cells": (p.rho * (1.0 - late) - p.alpha * late) * y.cells,
            "il6": p.kout * (raised - y.il6),
        }

    def observe(self, t, y, p):
        return {"transgene": y.cells, "il6": y.il6}


class OneCompartment(OdeModel):
    """Linear: levels are sums of exponentials, whatever the doses."""

    central = State("mg/L", "drug")

    clearance = Positive(12.0, "L/day", "clearance")
    volume = Positive(30.0, "L", "volume")

    dosed = "central"
    dose_unit = "mg"

    def initial(self, p):
        return {"central": 0.0}

    def dose_factor(self, p):
        return {"central": 1.0 / p.volume}

    def rhs(self, t, y, p):
        return {"central": -p.clearance / p.volume * y.central}

    def observe(self, t, y, p):
        return {"drug": y.central}


class BlowUp(OdeModel):
    """dy/dt = rate y², which is infinite at day 1 / (rate y(0))."""

    level = State("copies/µg", "level")

    start_level = Positive(1.0, "copies/µg", "level at the start")
    rate = Positive(0.1, "µg/copies/day", "growth")
    shift = Covariate(0.0, "copies/µg", "background of the assay")

    dosed = "level"
    dose_unit = "copies/µg"

    def initial(self, p):
        return {"level": p.start_level}

    def rhs(self, t, y, p):
        return {"level": p.rate * y.level**2}

    def observe(self, t, y, p):
        return {"transgene": y.level + p.shift}


ALL = (
    EffectorMemory,
    LagEffectorMemory,
    AntigenDriven,
    PredatorPrey,
    Saturable,
    FastCytokine,
    OneCompartment,
    BlowUp,
)
