"""What a fit leaves out, counted in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from cart_pkpd._stats.design import BEFORE_INFUSION, SECOND_INFUSION, Design, Exclusion
from cart_pkpd.models import ClosedFormModel, Model


def left_out(exclusions: Iterable[Exclusion], total: int | None = None) -> str:
    """Return how many records and patients a fit leaves out and why; empty if none.

    Parameters
    ----------
    exclusions : iterable of Exclusion
        Of a design.
    total : int, optional
        All records, left out or not.

    Examples
    --------
    >>> left_out([Exclusion("1", 2, "before the infusion"), Exclusion("2", 9, "too late")])
    'Left out: 1 record before the infusion, 1 record too late.'
    >>> left_out([Exclusion("1", 2, "before the infusion")], total=20)
    'Left out: 1 of 20 records before the infusion.'
    """
    counts = Counter(("patient" if e.row is None else "record", e.reason) for e in exclusions)
    parts = [_counted(n, what, why, total) for (what, why), n in counts.items()]
    return f"Left out: {', '.join(parts)}." if parts else ""


def _counted(n: int, what: str, why: str, total: int | None) -> str:
    joint = " with " if what == "patient" else " "
    of = f" of {total}" if total is not None and what == "record" else ""
    return f"{n}{of} {what}{'' if n == 1 and not of else 's'}{joint}{why}"


def notes(design: Design) -> tuple[str, ...]:
    """Return one sentence that counts everything left out, or none."""
    said = left_out(design.exclusions, _total(design))
    return (said,) if said else ()


def warnings(model: Model, design: Design, remedy: str = "iov=") -> tuple[str, ...]:
    """Return what a user must know before a fit: records and patients that it cannot use.

    That is records after a second infusion where a closed form cannot describe them, and patients
    all of whose records are from before the infusion.

    Parameters
    ----------
    model : Model
        The declared model.
    design : Design
        Of its fit.
    remedy : str
        What keeps the records with this model, empty if nothing does.
    """
    n = sum(e.reason == SECOND_INFUSION for e in design.exclusions)
    before = _only_before(design)
    if not n or not isinstance(model, ClosedFormModel):
        return before
    other = "a model given by differential equations"
    use = f"{remedy} or {other}" if remedy else other
    said = f"{n} of {_total(design)} records after a second infusion left out; use {use}."
    return (*before, said)


def _only_before(design: Design) -> tuple[str, ...]:
    """Return who is not fitted because all records are from before the infusion, if anybody."""
    reasons: dict[str, set[str]] = {}
    for e in design.exclusions:
        if e.row is not None:
            reasons.setdefault(e.patient, set()).add(e.reason)
    lost = [e.patient for e in design.exclusions if e.row is None]
    who = [i for i in lost if reasons.get(i) == {BEFORE_INFUSION}]
    if not who:
        return ()
    of = f"{len(who)} of {design.n_patients + len(lost)} patients"
    seen = " or ".join(design.endpoints)
    return (
        f"{of} not fitted, with records of {seen} before the infusion only ({', '.join(who)}); "
        "endpoints.baseline_at_infusion counts a baseline scan as of day 0.",
    )


def _total(design: Design) -> int:
    return design.n_obs + sum(e.row is not None for e in design.exclusions)
