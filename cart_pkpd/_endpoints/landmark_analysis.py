"""Landmark analysis: what was known by a day divides those still at risk on it."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import number, shown, yes_or_no
from cart_pkpd._endpoints.survival import usable
from cart_pkpd._endpoints.tables import CR, DAYS_PER_MONTH, MISSING, PR, RESPONSES

Known = pd.DataFrame | Mapping[str, object]


def from_landmark(
    tte: pd.DataFrame, day: float, known: Known | None = None, *, confirmed: bool = False
) -> pd.DataFrame:
    """Return the patients still at risk on a day, with times from then and what was known by then.

    Parameters
    ----------
    tte : DataFrame
        As from ``endpoints.pfs``.
    day : float
        Landmark, counted from the infusion (day 0). [day]
    known : DataFrame or mapping, optional
        What divides the patients: time-point responses of ``endpoints.recist`` (the best overall
        response by the day), best responses of ``endpoints.best_response`` (whether a response
        had begun by the day), or a value per id that was known by then.
    confirmed : bool
        With best responses: count only those that had been confirmed by the day.

    Returns
    -------
    DataFrame
        The rows of patients at risk: ``time`` [day] and ``months`` from the landmark, ``landmark``
        (its day), ``by_landmark`` (the group). ``attrs["notes"]`` names who was left out.

    Raises
    ------
    DataError
        If nobody is at risk, or a patient has no value.

    Notes
    -----
    To compare responders with others from the infusion favours the responders, who had to
    live long enough to respond (immortal time). From the landmark on, the groups are fixed by what
    was known; events and censorings up to it count for nobody.

    References
    ----------
    .. [1] Anderson, Cain and Gelber, J Clin Oncol 1:710 (1983), :doi:`10.1200/JCO.1983.1.11.710`.
    """
    number(day, "day")
    yes_or_no(confirmed, "confirmed")
    rows, notes = usable(tte)
    start = _starts(rows)
    on_day = rows["time"].astype(float) - 1 + start  # the inverse of day - start + 1
    chosen = on_day > day
    gone = [str(i) for i in rows.loc[~chosen, "id"]]
    if not chosen.any():
        raise DataError(f"nobody is at risk after day {day:g}; choose an earlier landmark.")
    kept = rows[chosen].assign(time=(on_day - day)[chosen]).reset_index(drop=True)
    kept["months"] = kept["time"] / DAYS_PER_MONTH
    kept["landmark"] = float(day)
    if known is not None:
        groups = _groups(kept["id"].astype(str).tolist(), day, known, confirmed)
        kept["by_landmark"] = pd.Series(groups, index=kept.index)
    if gone:
        said = f"{len(gone)} with event or censoring by day {day:g} left out ({', '.join(gone)})."
        notes = (*notes, said)
    kept.attrs["notes"] = notes
    return kept


def _starts(rows: pd.DataFrame) -> pd.Series | float:
    """Return each patient's time zero, day 0 where it is not told."""
    if "start_day" not in rows:
        return 0.0
    start = pd.to_numeric(rows["start_day"], errors="coerce").astype(float)
    wrong = start.isna() & rows["start_day"].notna()
    if wrong.any():
        first = rows[wrong].iloc[0]
        raise DataError(
            f"the start_day of patient {first['id']} is {first['start_day']!r}; write a number."
        )
    return start.fillna(0.0)


def _groups(ids: list[str], day: float, known: Known, confirmed: bool) -> list[object]:
    if not isinstance(known, pd.DataFrame):
        if not isinstance(known, Mapping):
            raise DataError(
                "known= must be the table of endpoints.recist or endpoints.best_response, or a "
                f"value by patient, not {shown(known)}."
            )
        held = {str(k): v for k, v in known.items()}
        missing = [i for i in ids if i not in held]
        if missing:
            raise DataError(f"nothing is known of patient {missing[0]!r} at the landmark; give it.")
        return [held[i] for i in ids]
    if "overall" in known:
        return [_best_by(known[known["id"].astype(str) == i], day) for i in ids]
    if "response_day" in known:
        return _responders(ids, day, known, confirmed)
    raise DataError(
        "the table has neither 'overall' nor 'response_day': pass the table of endpoints.recist or "
        "of endpoints.best_response."
    )


def _best_by(points: pd.DataFrame, day: float) -> object:
    seen = points[(points["day"] <= day) & points["overall"].isin(RESPONSES)]
    return min(seen["overall"], key=RESPONSES.index) if len(seen) else MISSING


def _responders(ids: list[str], day: float, best: pd.DataFrame, confirmed: bool) -> list[object]:
    began = best["confirmation_day" if confirmed else "response_day"].to_numpy(float)
    counts = best["confirmed"].isin((CR, PR)).to_numpy() if confirmed else True
    reached = dict(zip(best["id"].astype(str), (began <= day) & counts, strict=True))
    missing = [i for i in ids if i not in reached]
    if missing:
        raise DataError(f"patient {missing[0]!r} has no best response; pass the whole table.")
    return ["responder" if reached[i] else "no response yet" for i in ids]
