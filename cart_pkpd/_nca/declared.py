"""Importing this module fills the catalogue, in the order in which results list parameters."""

# ruff: isort: skip_file
from cart_pkpd._nca import observed as observed
from cart_pkpd._nca import slopes as slopes
from cart_pkpd._nca import exposure as exposure
from cart_pkpd._nca import cells as cells
