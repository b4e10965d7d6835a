"""A dose below the MTD, where more cells would bring more toxicity and nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from cart_pkpd._core import words
from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import positive_int, probability
from cart_pkpd._dose.chained import ChainResult
from cart_pkpd._dose.decision import Decision
from cart_pkpd._dose.exposure import DoseExposure
from cart_pkpd._dose.patients import DoseData
from cart_pkpd._stats.priors import Beta

type Floats = NDArray[np.float64]
type Over = Decision | pd.DataFrame | pd.Series | Sequence[float]
_DRAWS = 20_000
_ROUNDING = 1e-9  # of probabilities by quadrature
_FEW, _NEAR = 6, 0.05  # evaluable patients; probability


@dataclass(frozen=True)
class EnoughAtLowerDose:
    """The rule of `recommend_below_mtd`.

    Attributes
    ----------
    share : float
        Part of the benefit at the MTD that is enough: 0.8 is 80 %.
    certainty : float
        Least probability that a dose reaches it.
    fewest : int
        Least number of evaluable patients of a dose below the MTD.
    """

    share: float
    certainty: float
    fewest: int

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"share must lie above 0 and be at most 1, not {self.share!r}.")
        probability(self.certainty, "certainty")
        positive_int(self.fewest, "fewest")

    def words(self, what: str, over: str) -> str:
        """Return the rule as a sentence."""
        return (
            f"The lowest dose up to the MTD with {self.fewest} or more evaluable patients at which "
            f"the probability that {what} is at least {words.percent(self.share)} of that at the "
            f"MTD is at least {self.certainty:.2f}, and {over} is not higher than at the MTD."
        )


def recommend_below_mtd(
    data: DoseData,
    mtd: float,
    benefit: DoseExposure | ChainResult | pd.DataFrame,
    over: Over,
    *,
    share: float,
    certainty: float,
    fewest: int = 3,
    prior: Beta | None = None,
    seed: int = 1,
) -> Decision:
    """Recommend the lowest dose that gives enough of what the MTD gives.

    Parameters
    ----------
    data : DoseData
    mtd : float
        The MTD, one of the planned doses. [dose unit]
    benefit : DoseExposure, ChainResult or DataFrame
        What a dose gives. Exposure: ``dose.exposure(...)`` or a fitted chain (typical exposure). A
        DataFrame is response: index dose, columns ``response`` and ``n_response``, as
        ``dose.activity(...).table()``.
    over : Decision, DataFrame, Series or sequence of float
        P(over-dosing) by dose: a decision or table with column ``over``, indexed by dose or with
        a column ``dose``; or numbers of the planned doses up to the MTD.
    share : float
        Part of the benefit at the MTD that is enough, such as 0.8.
    certainty : float
        Least probability of it, such as 0.7.
    fewest : int
        Evaluable patients that a dose below the MTD must have.
    prior : Beta, optional
        Of the response rate at each dose; needed for response.
    seed : int
        Of the draws of response rates.

    Returns
    -------
    Decision
        ``action="recommend"``; its dose may be the MTD itself. ``table``: n, dlts,
        benefit (median), p_enough, over, eligible.

    Raises
    ------
    DataError
        If the MTD has no patients, or `over` or `benefit` lacks a dose.
    """
    rule = EnoughAtLowerDose(share, certainty, fewest)
    top = data.levels.index(mtd)
    doses = data.levels.array[: top + 1]
    if data.treated[top] == 0:
        raise DataError(
            f"no patient was treated at the MTD of {words.dose(mtd, data.levels.unit)}, so nothing "
            "is known of what it gives; choose among the doses that were given."
        )
    what, gains = _gains(benefit, doses, prior, seed)
    p_enough = (gains >= share * gains[:, -1:]).mean(axis=0)
    p_over = _over(over, doses)
    table = pd.DataFrame(
        {
            "dose": doses, "n": data.n[: top + 1], "dlts": data.dlts[: top + 1],
            "benefit": np.median(gains, axis=0), "p_enough": p_enough, "over": p_over,
        },
        index=pd.RangeIndex(1, top + 2, name="level"),
    )  # fmt: skip
    enough = (data.n[: top + 1] >= fewest) | (doses == doses[-1])
    table["eligible"] = enough & (p_enough >= certainty) & (p_over <= p_over[-1] + 1e-12)
    row = table[table["eligible"]].iloc[0]
    chosen = float(row["dose"])
    measure = benefit.measured.unit if isinstance(benefit, DoseExposure) else ""
    if isinstance(benefit, ChainResult):
        measure = benefit.exposure_unit
    table.attrs["units"] = {"dose": data.levels.unit, "benefit": measure}
    table.attrs["benefit"] = what.removeprefix("the ")
    said = rule.words(what, "P(over-dosing)")
    reason = (
        f"{said} Here {words.dose(chosen, data.levels.unit)}: "
        f"P = {words.chance(row['p_enough'], 2)}, P(over-dosing) {words.chance(row['over'])} "
        f"against {words.chance(p_over[-1])} at the MTD."
    )
    if math.isclose(chosen, float(mtd)):
        reason = f"{said} No lower dose meets it, so the MTD stands."
    current = None if data.current is None else float(data.levels.doses[data.current])
    return Decision(
        f"Dose below the MTD: {said}", "recommend", chosen, current, reason, table,
        _flags(data, top, table, certainty), data.levels.unit,
        extra={"mtd": float(mtd), "share": share, "certainty": certainty, "fewest": fewest},
    )  # fmt: skip


def _gains(
    benefit: DoseExposure | ChainResult | pd.DataFrame,
    doses: Floats,
    prior: Beta | None,
    seed: int,
) -> tuple[str, Floats]:
    """Return what is compared, in words, and its draws (draws, doses)."""
    rng = np.random.default_rng(seed)
    if isinstance(benefit, DoseExposure):
        a, b, _ = benefit.grid.draws(_DRAWS, rng)
        x = np.log(doses / benefit.reference)
        return f"the typical {benefit.measured.label}", np.exp(a[:, None] + b[:, None] * x)
    if isinstance(benefit, ChainResult):
        d, x = benefit.draws, np.log(doses / benefit.links.reference)
        name = str(benefit.patients.attrs["exposure_label"])
        return f"the typical {name}", np.exp(d["intercept"][:, None] + d["slope"][:, None] * x)
    if prior is None:
        raise ValueError("a recommendation from response needs prior=, such as Beta(0.5, 0.5).")
    rows = _of_doses(benefit, doses, ("response", "n_response"), "benefit")
    y, n = rows["response"].to_numpy(float), rows["n_response"].to_numpy(float)
    draws = stats.beta(prior.a + y, prior.b + n - y).rvs((_DRAWS, doses.size), random_state=rng)
    return f"the response rate ({prior} at each dose)", np.asarray(draws)


def _over(over: Over, doses: Floats) -> Floats:
    if isinstance(over, Sequence):
        if len(over) != doses.size:
            raise DataError(
                f"over has {len(over)} numbers, but there are {doses.size} doses to the MTD."
            )
        return _checked_over(np.asarray(over, dtype=float))
    table = over.table if isinstance(over, Decision) else over
    if isinstance(table, pd.Series):
        table = table.to_frame("over")
    found = _of_doses(table, doses, ("over",), "over")["over"]
    return _checked_over(found.to_numpy(dtype=float))


def _checked_over(values: Floats) -> Floats:
    bad = ~((values >= -_ROUNDING) & (values <= 1 + _ROUNDING))
    if bad.any():
        k = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"over is {values[k]:g} at dose level {k + 1}; it must be a probability of each dose "
            "up to the MTD."
        )
    return np.clip(values, 0, 1)


def _of_doses(
    table: pd.DataFrame, doses: Floats, columns: tuple[str, ...], what: str
) -> pd.DataFrame:
    """Return the rows of the doses, whichever way the table names them."""
    for name in columns:
        if name not in table:
            raise DataError(f"{what} has no column {name!r}; it has: {', '.join(map(str, table))}.")
    named = table["dose"] if "dose" in table else table.index.to_series()
    at = named.to_numpy(dtype=float)
    rows = []
    for d in doses:
        near = np.flatnonzero(np.isclose(at, d))
        if not near.size:
            raise DataError(
                f"{what} has no row of dose {d:.4g}; give one for every dose to the MTD."
            )
        rows.append(int(near[0]))
    return table.iloc[rows]


def _flags(data: DoseData, top: int, table: pd.DataFrame, certainty: float) -> tuple[str, ...]:
    flags = []
    unit = data.levels.unit
    few = [
        f"{n} at {words.dose(d, unit)}" for d, n in zip(table["dose"], table["n"], strict=True)
        if n < _FEW
    ]  # fmt: skip
    if few:
        flags.append(
            f"Fewer than {_FEW} evaluable patients: {', '.join(few)}. Their DLT rate is hardly "
            "known: treat more patients at such a dose before it is taken forward."
        )
    close = table["dose"][(table["p_enough"] - certainty).abs() < _NEAR]
    if len(close):
        flags.append(
            f"P(enough) is within {_NEAR:g} of the certainty of {certainty:g} asked for at "
            f"{words.doses(close, unit)}: compare the neighbouring doses before following the rule."
        )
    return tuple(flags)
