"""The work behind ``cart_pkpd.crs``, one topic per file."""
