"""The records of an endpoint as plain arrays: picking a patient's is then a matter of masks."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Records:
    """Records of one endpoint; all arrays have shape (n,).

    Attributes
    ----------
    patient, censoring : ndarray of str
        Who, and "none", "left", "right" or "interval".
    time, nominal : ndarray
        As sampled and as planned, NaN where there is no plan. [day]
    dv, lloq : ndarray
        Value, or the limit where censored, and the LLOQ. [the endpoint's unit]
    """

    patient: NDArray[Any]
    time: Floats
    nominal: Floats
    dv: Floats
    censoring: NDArray[Any]
    lloq: Floats

    @property
    def size(self) -> int:
        """Number of records."""
        return int(self.time.size)

    def where(self, chosen: NDArray[Any]) -> Records:
        """Return the records of a mask or of positions."""
        return Records(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def of(self, *patients: str) -> Records:
        """Return the records of some patients."""
        return self.where(np.isin(self.patient, patients))


def records(dataset: xr.Dataset) -> Records:
    """Return the observations of a dataset of one endpoint."""
    time = dataset["time"].values.astype(float)
    nominal = dataset["nominal_time"].values if "nominal_time" in dataset.variables else time
    return Records(
        dataset["patient"].values.astype(str), time, nominal.astype(float),
        dataset["dv"].values.astype(float), dataset["censoring"].values.astype(str),
        dataset["lloq"].values.astype(float),
    )  # fmt: skip
