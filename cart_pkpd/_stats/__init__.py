"""The statistical model around the kinetics: priors, residual error and censoring, population."""
