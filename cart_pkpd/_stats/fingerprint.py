"""What a fit depends on, as text: two structures with the same text are the same problem."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from cart_pkpd._stats.design import QUANTIFIED
from cart_pkpd._stats.population import Structure


def described(structure: Structure, *, measured: bool = True) -> dict[str, Any]:
    """Return design, model, priors and solver as plain data.

    Parameters
    ----------
    structure : Structure
        Model, population and data.
    measured : bool
        Whether quantified measurements count, or only when and with which limits they were taken.
    """
    d = structure.design
    dv = d.dv if measured else np.where(d.code == QUANTIFIED, 0.0, d.dv)
    arrays = (d.time, d.code, d.low, d.lloq, d.uloq, d.patient, d.measure, d.dose_patient,
              d.dose_time, d.dose_amount, d.dose_duration, *(e.column for e in structure.effects),
              dv)  # fmt: skip
    more = {"occasions": [str(o) for o in d.occasions]} if len(d.occasions) > d.n_patients else {}
    if d.known:
        known = b"".join(np.asarray(v).tobytes() for v in d.known.values())
        more["known"] = [*d.known, hashlib.sha256(known).hexdigest()]
    return more | {
        "design": hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest(),
        "changes": [str(c) for c in d.changes],
        "model": structure.sentence(),
        "quantities": [f"{q.name} {q.prior!r}" for q in structure.quantities],
        "solver": str(structure.model.solver),
    }


def fingerprint(structure: Structure) -> str:
    """Return a SHA-256 of all that a fit of `structure` depends on, its settings apart."""
    said = json.dumps(described(structure), sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()
