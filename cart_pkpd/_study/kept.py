"""Finding finished fits again by what they are of, whatever the run file calls them."""

from __future__ import annotations

import hashlib
import inspect
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cart_pkpd import __version__
from cart_pkpd._core.errors import CartError
from cart_pkpd._core.files import PART
from cart_pkpd._study import plan
from cart_pkpd._study.config import Config

if TYPE_CHECKING:
    from cart_pkpd._stats.population import Structure

_LOG = logging.getLogger("cart_pkpd.study")
_SETTINGS = ("draws", "tune", "chains", "target_accept", "seed")


def find(config: Config, structures: Mapping[str, Structure], folder: Path) -> dict[str, Path]:
    """Return which fits of a run file are finished already, and where.

    A fit is the same if its model, priors, records, sampler's settings and seed are, and the
    version of the package. Its name may have changed.

    Parameters
    ----------
    config : Config
        The run file.
    structures : mapping of str to Structure
        Each model joined with the data.
    folder : Path
        Where fits are.
    """
    there = _by_key(folder)
    if not there:
        return {}
    wanted = {name: key(config, name, one) for name, one in structures.items()}
    return {name: _nearest(there[k], name) for name, k in wanted.items() if k in there}


def _nearest(paths: list[Path], name: str) -> Path:
    return next((p for p in paths if p.stem == name), paths[0])


def _by_key(folder: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.nc")):
        if not path.name.startswith(PART):
            found.setdefault(_key_of_file(path), []).append(path)
    found.pop("", None)
    return found


def _key_of_file(path: Path) -> str:
    """Return the key of a fit on disk; empty for what is not a fit of this version."""
    from cart_pkpd._fit.files import provenance

    said = provenance(path)
    if said.get("versions", {}).get("cart_pkpd") != __version__ or "fingerprint" not in said:
        return ""
    return _hashed(str(said["fingerprint"]), said)


def key(config: Config, name: str, structure: Structure) -> str:
    """Return a text that is the same for the same fit."""
    from cart_pkpd import fit
    from cart_pkpd._stats.fingerprint import fingerprint

    usual = {k: p.default for k, p in inspect.signature(fit.bayes).parameters.items()}
    settings = usual | config.sampling(name) | {"seed": config.seed(name)}
    return _hashed(fingerprint(structure), settings)


def _hashed(of_structure: str, settings: Mapping[str, Any]) -> str:
    said = [of_structure, *(settings.get(k) for k in _SETTINGS)]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def read(config: Config, name: str, path: Path) -> Any:
    """Return a finished fit under its name of today, None if it cannot be read."""
    from dataclasses import replace

    from cart_pkpd import fit

    try:
        result = fit.load(path, plan.model(config, name))
    except CartError as problem:
        _LOG.info("%s: %s", path.name, problem)
        return None
    return result if result.label == name else replace(result, label=name)
