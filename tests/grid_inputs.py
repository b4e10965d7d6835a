"""A small trial and a grid of small fits, for tests of runs."""

from __future__ import annotations

# Two patients, copies/µg with an LLOQ of 50.
TRIAL = """ID,TIME,DVID,DV,AMT,EVID,DOSELEVEL
A,0,,.,1000000,1,1
A,1,transgene,<50,.,0,1
A,7,transgene,900,.,0,1
A,10,transgene,4000,.,0,1
A,14,transgene,2100,.,0,1
A,21,transgene,600,.,0,1
A,28,transgene,150,.,0,1
B,0,,.,3000000,1,3
B,3,transgene,70,.,0,3
B,10,transgene,300,.,0,3
B,28,transgene,<50,.,0,3
"""

STUDY = """
seed = 7
[data]
table = "trial.csv"
[fit]
least_squares = false
draws = 30
tune = 30
chains = 2
[compare]
by = "record"
[checks]
skip = ["predictions", "vpc", "corrected", "residuals", "etas", "sensitivity", "exposure"]
[report]
details = 0
[models.stein]
model = "stein2019"
iiv = ["cmax"]
[models.stein.parameters]
rho = { fixed = 0.9 }
alpha = { fixed = 0.2 }
fb = { fixed = 0.01 }
beta = { fixed = 0.01 }
"""

TWO = STUDY + '[grid.axes]\nerror = ["lognormal", "student_t"]\n'
FOUR = TWO + 'iiv = [["cmax"], ["cmax", "tmax"]]\n'
