"""What a run was made with: versions, machine kind, hashes."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from cart_pkpd._study.config import Config
from cart_pkpd._study.folder import sha256

_PACKAGES = (
    "cart-pkpd", "arviz", "h5netcdf", "lmfit", "matplotlib", "numba", "numpy", "nutpie",
    "pandas", "pydantic", "pymc", "pytensor", "scipy", "xarray",
)  # fmt: skip


def provenance(config: Config, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is needed to repeat a run; nothing that tells whose machine it was.

    Parameters
    ----------
    config : Config
        The run file.
    data : mapping
        File name and SHA-256 of the data.
    """
    return {
        "title": config.title,
        "seed": config.spec.seed,
        "config_sha256": config_hash(config),
        "data": dict(data),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "packages": versions(),
    }


def config_hash(config: Config) -> str:
    """Return the SHA-256 of what the run file says, apart from layout, comments and order."""
    said = config.spec.given()
    return sha256(json.dumps(said, sort_keys=True, ensure_ascii=False).encode())


def versions() -> dict[str, str]:
    """Return the installed version of every package that can change a number."""
    found: dict[str, str] = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
