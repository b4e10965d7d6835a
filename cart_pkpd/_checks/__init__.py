"""The work behind ``cart_pkpd.checks``, one check per file."""
