"""What a comparison says in words: which fit is best, and whether the difference matters."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cart_pkpd._compare.likelihood import CRITERIA, of_least_squares
from cart_pkpd._compare.records import BAYES, LEAST_SQUARES, LIKELIHOOD
from cart_pkpd._core.words import count, fixed

LEAST_ELPD, ERRORS = 4.0, 2.0
"""A difference of elpd below the one is small (Sivula, Magnusson, Matamoros & Vehtari 2020), and
below so many of its standard errors it is not told from none."""
FEW_PATIENTS = 20
_OF_KIND = {BAYES: "Bayesian", LIKELIHOOD: "likelihood", LEAST_SQUARES: "least-squares"}
_SUPPORT = ((2.0, "next to no"), (6.0, "some"), (10.0, "strong"), (np.inf, "very strong"))


def sentence(table: pd.DataFrame, by: str, criterion: str) -> str:
    """Return the verdict on every kind of fit in the table."""
    said = []
    for kind, block in table.groupby("kind", sort=False):
        text = _of_block(str(kind), block, by, criterion)
        said.append(f"{_OF_KIND[str(kind)].capitalize()} fits: {text}" if _mixed(table) else text)
    return " ".join(s[0].upper() + s[1:] if not s.startswith("'") else s for s in said)


def _mixed(table: pd.DataFrame) -> bool:
    return bool(table["kind"].nunique() > 1)


def _of_block(kind: str, block: pd.DataFrame, by: str, criterion: str) -> str:
    ranked = block[block["rank"].notna()].sort_values("rank")
    left = _left_out(block)
    if ranked.empty:
        return f"no fit can be ranked.{left}"
    if len(ranked) == 1:
        return f"only {ranked.index[0]!r} can be ranked, and so is compared with nothing.{left}"
    own = _of_elpd(ranked, by) if kind == BAYES else _of_criterion(ranked, kind, criterion)
    return f"{own}{left}"


def _left_out(block: pd.DataFrame) -> str:
    out = [repr(str(name)) for name in block.index[block["rank"].isna()]]
    return f" Not ranked: {', '.join(out)}." if out else ""


def _of_elpd(ranked: pd.DataFrame, by: str) -> str:
    what = "a new patient" if by == "patient" else "a further record of a known patient"
    first, second, row = ranked.index[0], ranked.index[1], ranked.iloc[1]
    difference, error = abs(float(row["elpd_diff"])), float(row["dse"])
    told = (
        f"{str(first)!r} predicts {what} best; the elpd of {str(second)!r} is {fixed(difference)} "
        f"lower (standard error {fixed(error)}): {_matters(difference, error)}"
    )
    return f"{told}{_of_doubt(ranked)}.{_of_few(ranked)}"


def _matters(difference: float, error: float) -> str:
    if difference < LEAST_ELPD:
        return f"below {LEAST_ELPD:g}, too small to matter"
    if not difference >= ERRORS * error:
        return f"below {ERRORS:g} standard errors, so that these data do not separate the two"
    return f"above {LEAST_ELPD:g} and {ERRORS:g} standard errors, so that the difference matters"


def _of_few(ranked: pd.DataFrame) -> str:
    n = ranked["n_patients"].iloc[0] if "n_patients" in ranked else np.nan
    if not n < FEW_PATIENTS:
        return ""
    return f" With {count(int(n), 'patient')} the standard error is itself uncertain."


def _of_doubt(ranked: pd.DataFrame) -> str:
    doubtful = [repr(str(n)) for n in ranked.index[~ranked["reliable"].astype(bool)]]
    if not doubtful:
        return ""
    said = ", ".join(doubtful[:-1]) + (" and " if doubtful[1:] else "") + doubtful[-1]
    verb = "are" if doubtful[1:] else "is"
    return f"; but the elpd of {said} {verb} not reliable (see note)"


def _of_criterion(ranked: pd.DataFrame, kind: str, criterion: str) -> str:
    criterion = of_least_squares(criterion) if kind == LEAST_SQUARES else criterion
    name = CRITERIA[criterion]
    first, second = (repr(str(n)) for n in ranked.index[:2])
    difference = float(ranked["difference"].iloc[1])
    told = f"{first} has the lowest {name}; that of {second} is {fixed(difference)} higher"
    if criterion == "ofv":
        return f"{told}; −2 ln L alone always favours more parameters."
    support = next(word for limit, word in _SUPPORT if difference < limit)
    doubtful = [repr(str(n)) for n in ranked.index[~ranked["reliable"].astype(bool)]]
    more = f" See the notes of {', '.join(doubtful)}." if doubtful else ""
    alike = " Parameters of every patient count." if kind == LEAST_SQUARES else ""
    return f"{told}: {support} evidence against {second}.{alike}{more}"
