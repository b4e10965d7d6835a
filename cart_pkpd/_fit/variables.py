"""Names of the sampled variables, which results are translated back from.

Apart from the sampler's model, so that reading a fit does not load the sampler.
"""

TYPICAL = "typical"
OMEGA = "omega"
COEFFICIENT = "beta"
DEVIATION = "z"
INDIVIDUAL = "x"
PARTIAL = "partial"
