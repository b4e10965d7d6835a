"""Places in the table of a likelihood, :func:`cart_pkpd._engine.batch.loglik`, that others know."""

OPTIONS = 16
"""The options of the solver."""
ONE_BY_ONE = 23
"""The kernel's own address, for what spreads patients over threads and calls it for some."""
GROUPS = 24
"""Of a kernel that takes records side by side, the address of those of its own arrays."""
PLACES = 25
"""How many the table has."""
