"""Parts of the generator of the simulated trial ``fast01``; see `simulate_fast01`."""
