"""Public CD22 CAR-T patients: found on this machine, or fetched, checked and tidied.

The data stand behind Lichtenstein et al. [1]_ and are public under the GPL-3.0, which is why
they are fetched by the user and never part of this package.

References
----------
.. [1] Lichtenstein DA et al. Blood 2021;138(24):2469, :doi:`10.1182/blood.2021011898`;
   repository ``harel-coffee/car22-hlh-auto``.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from types import MappingProxyType

import numpy as np
import pandas as pd
import xarray as xr

from cart_pkpd import data
from cart_pkpd._core.errors import DataError
from cart_pkpd.datasets._car22_tidy import tidy

FOLDER_VARIABLE = "CART_PKPD_DATA"
"""Environment variable: a folder with ``car22/observations.csv`` and ``car22/subjects.csv``."""

TABLES: Mapping[str, str] = MappingProxyType(
    {
        "observations.csv": "f803b98570c29cde3f699064c581f50af0bb62756449b3062b4fbdb0db85d13b",
        "subjects.csv": "3e9fe6beff293634085538055f77a9a13d3ce7744a7b6cd148ad5e8b3128ab62",
    }
)
"""The tidy tables and their sha256; the originals give exactly these bytes."""

COMMIT = "7501ecfbfdbdaeb32d92efc714e8c2aac7fdb059"

ORIGINALS: Mapping[str, str] = MappingProxyType(
    {
        "data/clinical_data_05-12-20_v1.xlsx": (
            "9abb08baf702196c4e1165da8ef58664fa1f167235d840ff2d691b142e8e5e0d"
        ),
        "revisions/data/day_after_infusion_data_export.csv": (
            "4733967ef49737b857d6d85d57cb06049ec4e9f29c1db9baf1d80a5f08150552"
        ),
    }
)
"""The public files at `COMMIT` and their sha256."""

LABELS: Mapping[str, str] = MappingProxyType({"car_abs": "CAR+ T cells"})
LLOQ: Mapping[str, float] = MappingProxyType({"car_abs": 0.04})
"""Assumed, always applied: zeros are not detected, the smallest positive count is 0.0406."""

FLOORS: Mapping[str, float] = MappingProxyType({"il2": 0.80, "il4": 0.16})
CEILINGS: Mapping[str, float] = MappingProxyType(
    {"ifng": 2760.0, "il6": 1470.0, "il8": 1147.0, "il10": 749.0}
)
"""Assumed limits [pg/mL], applied on request: just beyond the values at which records pile up.

Limits differ between assay batches. The highest floor and the lowest ceiling of all batches are
taken, so that every record that may stand for a limit counts as censored, and with them a few
true measurements.
"""


def fetch(
    *, limits: bool = False, lloq: Mapping[str, float] | None = None, echo: bool = False
) -> xr.Dataset:
    """Return the CD22 CAR-T patients as a trial Dataset; see `cart_pkpd.datasets.fetch`."""
    folder = local_folder() or cached_folder() or download(cache())
    assumed = {**LLOQ, **FLOORS} if limits else dict(LLOQ)
    trial = data.read_table(
        folder / "observations.csv",
        subjects=folder / "subjects.csv",
        lloq={**assumed, **(lloq or {})},
        uloq=dict(CEILINGS) if limits else None,
        echo=echo,
    )
    measures = zip(trial["measure"].values, trial["label"].values, strict=True)
    named = np.array([LABELS.get(str(name), str(label)) for name, label in measures])
    return trial.assign(label=trial["label"].copy(data=named))


def local_folder() -> Path | None:
    """Return the folder that the environment names, or None if it names none.

    Raises
    ------
    DataError
        If the tables are not there, or are not the expected ones.
    """
    named = os.environ.get(FOLDER_VARIABLE)
    if not named:
        return None
    folder = Path(named) / "car22"
    for name in TABLES:
        if not (folder / name).is_file():
            raise DataError(
                f"{FOLDER_VARIABLE} is set to {named!r}, but {folder / name} does not exist. "
                "Put the two car22 tables there, or unset the variable to download them."
            )
    _verify(folder)
    return folder


def cache() -> Path:
    """Return the folder in which fetched tables are kept."""
    import pooch

    return Path(pooch.os_cache("cart_pkpd")) / "car22"


def cached_folder() -> Path | None:
    """Return the cache if it holds the tables, or None."""
    folder = cache()
    if not all((folder / name).is_file() for name in TABLES):
        return None
    _verify(folder)
    return folder


def download(folder: Path) -> Path:
    """Fetch the public originals, tidy them into `folder` and return it.

    Raises
    ------
    DataError
        Without a network, or when what came is not what was published.
    """
    clinical, cytokines = (_retrieve(path, sha, folder) for path, sha in ORIGINALS.items())
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in zip(TABLES, tidy(clinical, cytokines), strict=True):
        _write(table, folder / name)
    _verify(folder)
    return folder


def _retrieve(path: str, sha256: str, folder: Path) -> Path:
    """Return the fetched file; one that is already there and sound is not fetched again."""
    import pooch

    url = f"https://raw.githubusercontent.com/harel-coffee/car22-hlh-auto/{COMMIT}/{path}"
    name = path.rsplit("/", 1)[-1]
    try:
        return Path(
            pooch.retrieve(url, known_hash=f"sha256:{sha256}", fname=name, path=folder / "original")
        )
    except (OSError, ValueError) as error:  # no connection; another checksum
        reason = f"{type(error).__name__}: {shorten(str(error), 90)}"
        raise DataError(
            f"car22 could not be fetched from {url} ({reason}). With a "
            f"network try again; without one, put observations.csv and subjects.csv into a folder "
            f"car22 and set {FOLDER_VARIABLE} to the folder above it."
        ) from error


def _write(table: pd.DataFrame, path: Path) -> None:
    """Write the table whole or not at all: an interrupted run leaves no half of a cache."""
    part = path.with_suffix(".part")
    part.write_bytes(table.to_csv(index=False, lineterminator="\n").encode("utf-8"))
    part.replace(path)


def _verify(folder: Path) -> None:
    for name, expected in TABLES.items():
        found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        if found != expected:
            raise DataError(
                f"{folder / name} is not the published table: its sha256 is {found[:12]}…, "
                f"expected {expected[:12]}…. Delete it to fetch it again, or read it as your own "
                "data with data.read_table."
            )
