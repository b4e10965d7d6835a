"""A model of two endpoints that is solved by hand, and a table of it, for tests of fits."""

import xarray as xr

from cart_pkpd import models

BOTH = ("hare", "lynx")


class Pair(models.OdeModel):
    """Hares decline after each dose; lynx move in a straight line and may be below 0.

    Solved by hand: every dose of 1e6 adds a exp(-k (t - dose time)) hares, and there are
    b + t/2 lynx.
    """

    hares = models.State("1", "hares")
    lynxes = models.State("1", "lynx")
    a = models.Positive(100.0, "1", "hares of each dose of 1e6")
    k = models.Positive(0.1, "1/day", "decline rate of the hares")
    b = models.Real(-3.0, "1", "lynx on day 0")
    pace = models.Input(0.5, "1/day", "lynx that come each day")
    million = models.Input(1e6, "cells", "the dose that makes a hares")
    dosed = "hares"

    def initial(self, p):
        return {"hares": 0.0, "lynxes": p.b}

    def dose_factor(self, p):
        return {"hares": p.a / p.million}

    def rhs(self, t, y, p):
        return {"hares": -p.k * y.hares, "lynxes": p.pace}

    def observe(self, t, y, p):
        return {"hare": y.hares, "lynx": y.lynxes}

    def guess(self, time, level):
        return {"a": float(level[0])}


TABLE = """ID,TIME,DV,DVID,AMT,EVID,CENS,LLOQ
b,0,.,dose,1e6,1,0,.
b,1,95,hare,.,0,0,5
b,1,7.5,lynx,.,0,0,.
b,4,60,hare,.,0,0,.
b,9,.,dose,2e6,1,0,.
b,10,200,hare,.,0,0,5
b,10,12.2,lynx,.,0,0,.
a,0,.,dose,3e6,1,0,.
a,2,250,hare,.,0,0,5
a,2,8.2,lynx,.,0,0,.
a,40,5,hare,.,0,1,5
c,0,.,dose,1e6,1,0,.
c,3,8.6,lynx,.,0,0,.
d,0,.,dose,1e6,1,0,.
d,3,7,il6,.,0,0,.
"""
UNITS = {"hare": "1", "lynx": "1", "il6": "pg/mL"}


def lowered(trial: xr.Dataset) -> xr.Dataset:
    """Move the lynx down by 10, since tables hold no negative values."""
    lynx = trial["endpoint"].to_numpy() == "lynx"
    return trial.assign(dv=trial["dv"] - 10.0 * lynx)
