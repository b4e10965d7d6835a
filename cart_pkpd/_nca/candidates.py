"""The table of all windows that the terminal search looked at."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from cart_pkpd._nca.compute import Plan
from cart_pkpd._nca.reasons import Bools, Floats, Ints
from cart_pkpd._nca.source import Samples, blocks
from cart_pkpd._nca.terminal import Windows
from cart_pkpd._nca.work import Work

COLUMNS = (
    "id", "n_points", "start", "end", "lambda_z", "half_life", "r_squared", "adj_r_squared",
    "span_ratio", "chosen", "status",
)  # fmt: skip


def candidate_rows(samples: Samples, plan: Plan) -> pd.DataFrame:
    """Return one row per patient and window of at least two points."""
    parts: list[pd.DataFrame] = []
    with np.errstate(all="ignore"):
        for members, block in blocks(samples, plan.rules):
            parts.append(_block_rows(members, Work(block, plan.rules, plan.known)))
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["place"])
    frame = frame.sort_values(["place", "n_points"], ignore_index=True)
    frame.insert(0, "id", samples.ids[frame["place"].to_numpy(dtype=int)])
    return frame[list(COLUMNS)]


def _block_rows(members: Ints, work: Work) -> pd.DataFrame:
    fits, fit = work.candidates, work.terminal
    x, _, points = work.terminal_points(work.rules.earliest_day)
    end = np.where(points, x, -np.inf).max(axis=0, initial=-np.inf)
    row, column = np.nonzero(fits.n >= 2)
    start = x[row, column]
    rate = -fits.slope[row, column]
    chosen = (fit.why[column] == 0) & (start == fit.start[column])
    chosen &= fits.n[row, column] == fit.n[column]
    half_life = np.where(rate > 0, math.log(2) / rate, np.nan)
    return pd.DataFrame(
        {
            "place": members[column],
            "n_points": fits.n[row, column],
            "start": start,
            "end": end[column],
            "lambda_z": rate,
            "half_life": half_life,
            "r_squared": fits.r_squared[row, column],
            "adj_r_squared": fits.adj_r_squared[row, column],
            "span_ratio": (end[column] - start) / half_life,
            "chosen": chosen,
            "status": _status(work, fits, row, column, chosen),
        }
    )


def _status(work: Work, fits: Windows, row: Ints, column: Ints, chosen: Bools) -> list[str]:
    """Return in words why each window is or is not the one."""
    rules = work.rules
    least = max(rules.min_points, 3)
    adjusted: Floats = np.where(fits.n >= least, fits.adj_r_squared, np.nan)
    best = np.where(np.isnan(adjusted), -np.inf, adjusted).max(axis=0, initial=-np.inf)
    here = (row, column)
    competes = adjusted[here] > best[column] - rules.tolerance
    cases = [
        (chosen, "chosen"),
        (work.block.chosen[column] | (rules.lambda_z_window is not None), "not chosen by hand"),
        (fits.constant[here], "constant level"),
        (fits.n[here] < least, f"fewer than {least} points"),
        (~(fits.slope[here] < 0), "rises"),
        (competes, "within tolerance, but fewer points"),
    ]
    return np.select(
        [where for where, _ in cases], [text for _, text in cases], "lower adjusted R²"
    ).tolist()
