"""The work behind :mod:`cart_pkpd.data`: from a long table to the trial Dataset."""
