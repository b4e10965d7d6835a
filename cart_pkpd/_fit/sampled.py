"""What fits of declared layers have in common: draws with their verdict, in memory and on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from cart_pkpd._fit.trees import read_tree, write_tree
from cart_pkpd._stats.priors import KINDS, Prior

if TYPE_CHECKING:
    from cart_pkpd._fit.verdict import Verdict

_KIND_OF = {cls: kind for kind, cls in KINDS.items()}


@dataclass(frozen=True, eq=False, kw_only=True)
class Sampled:
    """Draws of something declared.

    Attributes
    ----------
    tree : xr.DataTree
        Groups ``posterior`` and ``sample_stats`` (dims chain, draw), and what was fitted.
    verdict : Verdict
        Convergence.
    notes : tuple of str
        Who is not used where, and what the numbers do not say.
    provenance : mapping
        Settings, versions, seed.
    """

    tree: xr.DataTree
    verdict: Verdict
    notes: tuple[str, ...]
    provenance: Mapping[str, Any]

    @property
    def posterior(self) -> xr.Dataset:
        """All draws, dims chain, draw."""
        return self.tree["posterior"].to_dataset()


def save(
    result: Sampled, path: Path, record: str, version: int, declared: Mapping[str, Any]
) -> Path:
    """Write a result to `path`; the file appears whole or not at all.

    Parameters
    ----------
    result : Sampled
    path : Path
    record : str
        Name of the attribute that holds all but the arrays.
    version : int
        Format of that record.
    declared : mapping
        The declaration as plain data.
    """
    tree = result.tree.copy()
    tree.attrs[record] = json.dumps(
        {
            "format": version,
            **declared,
            "verdict": result.verdict.as_dict(),
            "notes": list(result.notes),
            "provenance": dict(result.provenance),
        }
    )
    return write_tree(tree, path)


def load(
    path: Path, record: str, version: int, what: str
) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """Return the fields of `Sampled`, and the record with the declaration.

    Raises
    ------
    FitError
        If the file is not `what`.
    """
    from cart_pkpd._fit.verdict import Verdict

    tree, found = read_tree(path, record, version, what)
    fields = {
        "tree": tree,
        "verdict": Verdict(**found["verdict"]),
        "notes": tuple(found["notes"]),
        "provenance": found["provenance"],
    }
    return fields, found


def plain(value: Any) -> Any:
    """Return a part of a declaration as plain data: priors by kind, parts by field."""
    if isinstance(value, Prior):
        return {"kind": _KIND_OF[type(value)], **asdict(value)}
    if is_dataclass(value):
        return {k: plain(v) for k, v in vars(value).items()}
    return [plain(v) for v in value] if isinstance(value, tuple) else value
