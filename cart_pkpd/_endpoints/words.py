"""What people write in lesion tables, and our words for it."""

from __future__ import annotations

from cart_pkpd._endpoints.fields import Found
from cart_pkpd._endpoints.records import Record

TARGET, NON_TARGET, NEW = "target", "non-target", "new"
MEASURED, TOO_SMALL, ABSENT, PRESENT = "measured", "too small", "absent", "present"
NOT_EVALUATED, EQUIVOCAL, UNEQUIVOCAL = "not evaluated", "equivocal", "unequivocal"

KINDS = {
    TARGET: ("target", "t", "target lesion"),
    NON_TARGET: ("non-target", "nontarget", "non target", "nt", "non-target lesion"),
    NEW: ("new", "n", "new lesion"),
}

STATUSES = {
    MEASURED: ("measured", "measurable"),
    TOO_SMALL: ("too small", "too small to measure", "tstm", "below measurable limit"),
    ABSENT: ("absent", "disappeared", "resolved", "not present", "not seen", "normal"),
    PRESENT: ("present", "still present", "persistent", "stable"),
    NOT_EVALUATED: (
        "not evaluated", "not assessed", "not evaluable", "not done", "inevaluable", "ne",
        "missing",
    ),
    EQUIVOCAL: ("equivocal", "suspected", "equivocal progression"),
    UNEQUIVOCAL: ("unequivocal", "unequivocal progression", "progressed", "progression", "pd"),
}  # fmt: skip

ALLOWED = {
    TARGET: (MEASURED, TOO_SMALL, ABSENT, NOT_EVALUATED),
    NON_TARGET: (PRESENT, ABSENT, NOT_EVALUATED, EQUIVOCAL, UNEQUIVOCAL),
    NEW: (EQUIVOCAL, UNEQUIVOCAL, ABSENT, NOT_EVALUATED),
}

_READ_AS = {  # a lesion seen that is not measured for the sum
    NON_TARGET: {MEASURED: PRESENT, TOO_SMALL: PRESENT},
    NEW: {MEASURED: UNEQUIVOCAL, TOO_SMALL: UNEQUIVOCAL, PRESENT: UNEQUIVOCAL},
}

_BASES = {
    "radiological": (
        "radiological", "radiologic", "radiographic", "radiology", "imaging", "scan", "ct", "mri",
        "recist", "radiological progression", "radiographic progression", "disease progression",
    ),
    "clinical": (
        "clinical", "clinically", "symptomatic", "symptoms", "clinical progression",
        "clinical deterioration", "symptomatic progression", "symptomatic deterioration",
    ),
}  # fmt: skip

_BASELINE = ("bl", "base", "week 0", "day 0", "pre infusion", "preinfusion", "pre treatment")
_BEGIN_BASELINE = ("baseline", "screening", "screen", "pre infusion", "preinfusion")


def basis(cell: str) -> str:
    """Return whether a progression is radiological or clinical, or "" for an unknown word."""
    return _word(cell, _BASES)


def is_node(measure: str, site: str) -> bool:
    """Return whether a lesion is a lymph node by the axis measured, or by its site."""
    axis = measure.lower().replace("-", " ").replace("_", " ")
    place = site.lower().replace("-", " ")
    return "short axis" in axis or axis == "saxis" or "lymph node" in place


def is_baseline(visit: str) -> bool:
    """Return whether a visit's name says that it is the baseline: "Screening (D-14 to D-1)"."""
    plain = " ".join(visit.lower().replace("-", " ").replace("_", " ").split())
    begins = any(plain == w or plain.startswith((f"{w} ", f"{w}(")) for w in _BEGIN_BASELINE)
    return plain in _BASELINE or begins


def kind(cell: str) -> str:
    """Return the kind of lesion, or "" for an unknown word."""
    return _word(cell, KINDS)


def status(cell: str, of: str, diameter: float) -> str:
    """Return the status of a lesion of a known kind, or "" for one that it cannot have."""
    if not cell:
        return _unsaid(of, diameter)
    found = _word(cell, STATUSES)
    found = _READ_AS.get(of, {}).get(found, found)
    return found if found in ALLOWED.get(of, ()) else ""


def is_status(cell: str) -> bool:
    """Return whether a cell is a word for the status of a lesion."""
    return bool(_word(cell, STATUSES))


def same_status(cell: str, other: str) -> bool:
    """Return whether two words for a status mean the same."""
    return _word(cell, STATUSES) == _word(other, STATUSES)


def _word(cell: str, known: dict[str, tuple[str, ...]]) -> str:
    plain = cell.lower().replace("_", " ")
    return next((name for name, words in known.items() if plain in words), "")


def _unsaid(of: str, diameter: float) -> str:
    """Return the status that a diameter alone tells."""
    if diameter != diameter:
        return NOT_EVALUATED if of != NEW else ""
    if of == TARGET:
        return ABSENT if diameter == 0 else MEASURED
    return PRESENT if of == NON_TARGET else UNEQUIVOCAL


def unknown(name: str, cell: str, known: tuple[str, ...], r: Record, found: Found) -> None:
    """Note a word that is not known."""
    found.error(
        f"unknown_{name}",
        f"the {name} of patient {r.id} in row {r.row} is {cell!r}; write one of: "
        f"{', '.join(known)}.",
        patient=r.id, row=r.row, column=name, value=cell,
    )  # fmt: skip
