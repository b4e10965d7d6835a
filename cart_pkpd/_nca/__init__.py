"""Vectorised kernels of the non-compartmental analysis and the parameter registry."""
