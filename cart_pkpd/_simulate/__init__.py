"""The work behind ``cart_pkpd.simulate``: one topic per file."""
