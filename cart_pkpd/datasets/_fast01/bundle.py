"""Where the bundled trial lies, and the truth behind it."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

FOLDER = Path(str(resources.files("cart_pkpd.datasets") / "fast01"))


def truth() -> dict[str, Any]:
    """Return the true parameters of the bundled trial, as they stand in ``truth.toml``."""
    return tomllib.loads((FOLDER / "truth.toml").read_text(encoding="utf-8"))
