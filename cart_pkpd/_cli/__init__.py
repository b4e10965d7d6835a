"""The commands of `cart-pkpd`, by what they work on; `cart_pkpd.cli` is their face."""
