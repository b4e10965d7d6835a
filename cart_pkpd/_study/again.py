"""The page of a finished run, made again: for a change of the package or of what it shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cart_pkpd._core.errors import ConfigError
from cart_pkpd._study import join, kept, steps
from cart_pkpd._study.config import Config, load


def finished(folder: Path) -> Config:
    """Return the run file of a finished run, all of whose fits can be taken from its folder.

    Raises
    ------
    ConfigError
        If the folder holds no finished run, the data have changed since, or a fit of it is
        missing, damaged or of another version: then the page would show other numbers.
    """
    status = _read(folder / "status.json")
    if status is None or not (folder / "config.toml").is_file():
        raise ConfigError(f"'{folder}' holds no run; name the folder that 'cart-pkpd run' wrote.")
    if status.get("state") != "done":
        raise ConfigError(
            f"the run in '{folder}' is not finished ({status.get('state', 'unknown')}); go on "
            "with it with 'cart-pkpd run STUDY.TOML --resume'."
        )
    config = load(folder / "config.toml")
    if config.spec.data is not None:
        _check(config, folder, status)
    return config


def _check(config: Config, folder: Path, status: dict[str, Any]) -> None:
    trial = steps.load_trial(config)
    data = (_read(folder / "provenance.json") or {}).get("data", {})
    before, now = data.get("sha256"), trial.attrs.get("source_sha256", "no file")
    for name, checksum in steps.checksums(trial).items():
        if before == now and data.get(name) != checksum:
            before, now = data.get(name), checksum
    if before != now:
        raise ConfigError(
            f"the data are not those of the run in '{folder}' (sha256 {str(now)[:12]} instead of "
            f"{str(before)[:12]}); run the study again."
        )
    ran = {name for name in config.spec.models if _ended(status, f"fit {name}") != "failed"}
    found = kept.find(config, join.models(config, trial), folder / "fits") if ran else {}
    missing = sorted(n for n in ran if n not in found or kept.read(config, n, found[n]) is None)
    if missing:
        raise ConfigError(
            f"fits of the run in '{folder}' are missing, damaged or of another version "
            f"({', '.join(missing)}); fit them again with 'cart-pkpd run STUDY.TOML --resume'."
        )


def _ended(status: dict[str, Any], step: str) -> str:
    return str(status.get("steps", {}).get(step, {}).get("state", "missing"))


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
