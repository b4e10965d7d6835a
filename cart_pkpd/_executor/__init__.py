"""The work behind `cart_pkpd.executor`: one file for each way to do many tasks."""
