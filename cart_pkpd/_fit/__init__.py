"""The work behind ``cart_pkpd.fit``: models for the sampler, sampling, results."""
