"""``python -m cart_pkpd``: the same as ``cart-pkpd``."""

from cart_pkpd.cli import main

if __name__ == "__main__":
    main()
