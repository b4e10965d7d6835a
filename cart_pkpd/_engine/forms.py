"""Numbers that stand for forms of densities, transformations and scales in compiled code."""

UNBOUNDED, ABOVE, BETWEEN, BELOW = 0, 1, 2, 3
"""How a quantity without bounds becomes its natural value."""

NORMAL, LOG_NORMAL, LOGIT_NORMAL, STUDENT, GAMMA, BETA, FLAT = range(7)
"""Forms of prior densities, with three numbers each."""

DEVIATION, CENTRED, MIXTURE, BLOCK_DEVIATION, BLOCK_CENTRED = range(5)
"""How individual values are sampled: as standardised deviations, or themselves.

Those of blocks are correlated with others.
"""

NOWHERE = -1
"""In place of the quantity that is a parameter's typical value: it is 0."""

LOG, LOGIT, IDENTITY = 0, 1, 2
"""Free scales of model parameters."""

NODES, FINE = 5, 33
"""Nodes of a piece of a course, and points at which the polynomial through them is looked at."""
