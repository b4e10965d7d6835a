"""What every room of the package shares: errors, units, names, argument checks."""
