"""The likelihood of all patients, one after the other."""

from __future__ import annotations

from cart_pkpd._engine.batch import loglik

all_patients = loglik
