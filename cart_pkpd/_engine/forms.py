"""Numbers that stand for forms of densities, transformations and scales in compiled code."""

UNBOUNDED, ABOVE, BETWEEN, BELOW = 0, 1, 2, 3
"""How a quantity without bounds becomes its natural value."""

NORMAL, LOG_NORMAL, LOGIT_NORMAL, STUDENT, GAMMA, BETA, FLAT = range(7)
"""Forms of prior densities, with three numbers each."""

DEVIATION, CENTRED, MIXTURE = 0, 1, 2
"""How individual values are sampled: as standardised deviations, or themselves."""

LOG, LOGIT, IDENTITY = 0, 1, 2
"""Free scales of model parameters."""
