"""The work behind `cart_pkpd.study`: run files, run folders, and the steps between them."""
