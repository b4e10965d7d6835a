"""Dose selection: designs, exposure, toxicity and activity by dose."""
