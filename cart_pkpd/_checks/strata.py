"""Groups of patients by a patient-level variable."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._core.names import level_unit
from cart_pkpd._stats.design import Design


def by_patient(design: Design, by: str | None, asking: str) -> tuple[NDArray[np.int64], list[str]]:
    """Return the stratum of every patient, and the strata's names.

    Raises
    ------
    ValueError
        If there is no variable `by`; `asking` names the function in the message.
    """
    if by is None:
        return np.zeros(design.n_patients, dtype=np.int64), ["all"]
    if by not in design.subjects:
        raise ValueError(
            f"{asking}: the trial has no patient-level variable {by!r}. "
            f"It has: {', '.join(str(v) for v in design.subjects)}."
        )
    values, inverse = np.unique(design.subjects[by].to_numpy(), return_inverse=True)
    return inverse.astype(np.int64), [f"{v:g}" if isinstance(v, float) else str(v) for v in values]


def about(design: Design, by: str | None) -> dict[str, Any]:
    """Return unit and label of what the strata are."""
    if by is None:
        return {}
    given = design.subjects[by].attrs
    kept = {k: given[k] for k in ("units", "long_name", "column") if k in given}
    if by == "dose_level":
        own, levels = str(kept.get("units", "")), design.subjects[by].values
        unit = level_unit(own, levels, design.dose_unit)
        kept |= {"units": unit} if unit else {}
    return kept
