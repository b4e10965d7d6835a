"""Non-compartmental analysis of cellular kinetics: complete, exact, explained, fast.

One call gives every parameter of every patient with its unit, and a reason for every value
that cannot be had::

    params = nca.table(trial, endpoint="transgene", window=(0, 28))
    nca.label_table(params, by="dose_level")

Every rule is a field of `Rules`; what a parameter means is in `parameters()`.

Defaults, and why
-----------------
- Areas by lin-up/log-down trapezoids: cells rise in steps and decline exponentially.
- Where no sample was taken at the infusion, 0 is inserted; a reported value at time 0 is kept and
  remarked in ``note``. Samples before the infusion are baseline and part of nothing.
- BLQ samples before the first and after the last quantifiable sample count as 0, those in between
  are left out of the areas (the rule of PKNCA and Pumas; ICH M13A leaves BLQ out of the slope).
- A window such as AUC0–28d is cut at exactly its end, by interpolation to the next sample. Beyond
  Tlast the area follows the line to the first BLQ sample and is nothing without one
  (``tail="triangle"``): it uses only what was measured. ``auc0_28_rule`` says what was done and
  ``auc0_28_pext`` how much of the area lies beyond Tlast.
- One terminal slope per patient, from the whole profile: few patients have three samples after
  Tmax within 28 days.
- Cytokines and markers have a baseline: choose ``start_rule="predose"`` or ``"none"`` for them.
- Infusions within 7 days are fractions of one dose; a later one ends the profile.
- No acceptance limit is set; the quality of each slope is in the result.
"""

from __future__ import annotations

from cart_pkpd._nca.adpp import adpp, from_adpp
from cart_pkpd._nca.longform import long
from cart_pkpd._nca.power import Proportionality, proportionality
from cart_pkpd._nca.rules import Blq, Rules
from cart_pkpd._nca.single import Slope, auc, cmax, half_life, lambda_z, tmax
from cart_pkpd._nca.summary import label_table, summary
from cart_pkpd._nca.survival import kaplan_meier, persistence, turnbull
from cart_pkpd._nca.tables import candidates, parameters, profiles, table

__all__ = [
    "Blq",
    "Proportionality",
    "Rules",
    "Slope",
    "adpp",
    "auc",
    "candidates",
    "cmax",
    "from_adpp",
    "half_life",
    "kaplan_meier",
    "label_table",
    "lambda_z",
    "long",
    "parameters",
    "persistence",
    "profiles",
    "proportionality",
    "summary",
    "table",
    "tmax",
    "turnbull",
]
