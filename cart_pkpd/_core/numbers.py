"""Numbers of patients from what their tables hold; apart from the checks that need no NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._core.errors import DataError


def patient_numbers(values: Any, ids: Any, name: str) -> NDArray[np.float64]:
    """Return a patient-level variable as floats, NaN where it is empty.

    Parameters
    ----------
    values, ids : array_like, shape (n,)
        One of each patient.
    name : str
        Of the variable, for the message; what ends with ``_day`` is days since the infusion.

    Raises
    ------
    DataError
        If a value is text that is no number, such as a date.
    """
    found = np.full(len(ids), np.nan)
    for i, (value, who) in enumerate(zip(values, ids, strict=True)):
        if isinstance(value, str) and not value.strip():
            continue
        try:
            found[i] = float(value)
        except (TypeError, ValueError):
            wanted = "days since the infusion" if name.endswith("_day") else "a number"
            raise DataError(
                f"the variable {name!r} is {str(value)!r} for patient {str(who)!r}, which is no "
                f"number. Write {wanted}, or leave it empty."
            ) from None
    return found
