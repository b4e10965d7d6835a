"""The work behind ``cart_pkpd.endpoints``: one topic per file."""
