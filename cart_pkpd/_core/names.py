"""The glossary as data: what a name means, how it is labelled, and its CDISC code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from cart_pkpd._core.units import canonical


@dataclass(frozen=True)
class Endpoint:
    """A measured quantity that the package knows by name.

    Attributes
    ----------
    name : str
        Name used in the Dataset.
    label : str
        For axes and tables.
    unit : str
        Usual unit, canonical spelling.
    kind : str
        ``"cells"`` (cellular kinetics), ``"cytokine"``, ``"marker"`` or ``"tumour"``.
    aliases : tuple of str
        Other spellings met in tables, lower case, without spaces, dashes and underscores.
    """

    name: str
    label: str
    unit: str
    kind: str
    aliases: tuple[str, ...] = ()


def _endpoint(name: str, label: str, unit: str, kind: str, *aliases: str) -> Endpoint:
    return Endpoint(name, label, canonical(unit), kind, aliases)


_ALL = (
    _endpoint("transgene", "CAR transgene", "copies/µg", "cells", "vcn", "qpcr", "ddpcr", "car"),
    _endpoint("car_cells", "CAR+ T cells", "cells/µL", "cells", "flow", "cart", "cartcells"),
    _endpoint("il2", "IL-2", "pg/mL", "cytokine", "interleukin2"),
    _endpoint("il4", "IL-4", "pg/mL", "cytokine", "interleukin4"),
    _endpoint("il6", "IL-6", "pg/mL", "cytokine", "interleukin6"),
    _endpoint("il8", "IL-8", "pg/mL", "cytokine", "interleukin8", "cxcl8"),
    _endpoint("il10", "IL-10", "pg/mL", "cytokine", "interleukin10"),
    _endpoint("il15", "IL-15", "pg/mL", "cytokine", "interleukin15"),
    _endpoint("ifng", "IFN-γ", "pg/mL", "cytokine", "ifngamma", "ifnγ", "interferongamma"),
    _endpoint("tnfa", "TNF-α", "pg/mL", "cytokine", "tnfalpha", "tnfα", "tnf"),
    _endpoint("mcp1", "MCP-1", "pg/mL", "cytokine", "ccl2"),
    _endpoint("gmcsf", "GM-CSF", "pg/mL", "cytokine"),
    _endpoint("crp", "CRP", "mg/L", "marker", "creactiveprotein"),
    _endpoint("ferritin", "Ferritin", "µg/L", "marker"),
    _endpoint("ldh", "LDH", "U/L", "marker"),
    _endpoint("m_protein", "M-protein", "g/L", "marker", "mprotein", "paraprotein"),
    _endpoint("sbcma", "sBCMA", "ng/mL", "marker"),
    _endpoint("b_cells", "B cells", "cells/µL", "marker", "bcells"),
    _endpoint("sld", "Sum of diameters", "mm", "tumour", "sod", "sumofdiameters"),
)  # fmt: skip

ENDPOINTS: Mapping[str, Endpoint] = MappingProxyType({e.name: e for e in _ALL})

CYTOKINES: tuple[str, ...] = ("il2", "il4", "il6", "il8", "il10", "il15", "ifng", "tnfa", "mcp1")
"""The nine cytokines of the trial."""


def normalise(text: str) -> str:
    """Return `text` in lower case without spaces, dashes, underscores and dots."""
    return "".join(c for c in text.lower() if c not in " -_./")


_BY_ALIAS = {
    alias: e.name for e in _ALL for alias in (normalise(e.name), normalise(e.label), *e.aliases)
}


def recognise(text: str) -> str | None:
    """Return the known endpoint that `text` spells, or None.

    Examples
    --------
    >>> recognise("IFN-gamma"), recognise("IL 6"), recognise("pasta")
    ('ifng', 'il6', None)
    """
    return _BY_ALIAS.get(normalise(text))


GRADES = ("crs_grade", "icans_grade")
"""Patient-level grades of toxicity."""

HIGHEST_GRADE = 5
"""Of CRS and ICANS in every scale in use: death, where the scale has it."""

SMALLEST_DOSE = 1000.0  # cells; a smaller dose level is a label


def level_unit(own: str, levels: Any, of_amounts: str) -> str:
    """Return the unit of dose levels.

    Parameters
    ----------
    own : str
        What the table says of the level, empty if nothing.
    levels : array_like
        The levels.
    of_amounts : str
        Unit of the amounts given, empty if there are none.

    Returns
    -------
    str
        The level's own, or that of the amounts, unless the levels are text or too small to be
        amounts of cells: then they are labels such as 1, 2, 3, which have none.
    """
    values = np.asarray(levels)
    if own or values.dtype.kind not in "fiu" or not (values >= SMALLEST_DOSE).any():
        return own
    return of_amounts


def label(name: str) -> str:
    """Return the label of a known endpoint, or the name itself."""
    return ENDPOINTS[name].label if name in ENDPOINTS else name
