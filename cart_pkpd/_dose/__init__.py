"""Dose-finding designs: what the data say about each dose, and which is next."""
