"""Comparing fits and searching for the best population."""
