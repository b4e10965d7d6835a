"""Many trials at a decision, as arrays: what rules and designs compute with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import shown
from cart_pkpd._dose.patients import DoseData

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

GO, STOP, WAIT = 0, 1, 2


@dataclass(frozen=True, eq=False)
class State:
    """T trials with K dose levels.

    Attributes
    ----------
    n, y : ndarray of int, shape (T, K)
        Patients with a complete outcome, and DLTs.
    treated : ndarray of int, shape (T, K)
        Everybody given the level.
    current : ndarray of int, shape (T,)
        Level of the latest patients; -1 before the first.
    pending : ndarray of int, shape (T, K, D)
        Patients inside the window without a DLT, by follow-up.
    share : ndarray, shape (D,)
        Follow-up of those, as a share of the window.
    last_n, last_y : ndarray of int, shape (T,)
        Patients and DLTs of the latest cohort.
    doses : ndarray, shape (K,), or None
        Planned doses; None where they are not known.
    """

    n: Ints
    y: Ints
    treated: Ints
    current: Ints
    pending: Ints
    share: Floats
    last_n: Ints
    last_y: Ints
    doses: Floats | None = None

    @property
    def size(self) -> int:
        """Number of trials."""
        return int(self.n.shape[0])

    @property
    def levels(self) -> int:
        """Number of dose levels."""
        return int(self.n.shape[1])

    @property
    def waiting(self) -> Ints:
        """Pending patients per level, shape (T, K)."""
        return self.pending.sum(axis=2)

    def here(self, values: NDArray) -> NDArray:
        """Return ``values[t, current[t]]``, or 0 before the first patient."""
        at = values[np.arange(self.size), np.maximum(self.current, 0)]
        return np.where(self.current >= 0, at, 0)


@dataclass(frozen=True, eq=False)
class Many:
    """Decisions of T trials.

    Attributes
    ----------
    level : ndarray of int, shape (T,)
        Next level from 0; at a stop the level it ends with; -1 for none.
    action : ndarray of int, shape (T,)
        0 go on, 1 stop, 2 wait.
    """

    level: Ints
    action: Ints


@dataclass(frozen=True, eq=False)
class Summary:
    """What a posterior says of the DLT probability at each dose of T trials.

    Attributes
    ----------
    mean, plug : ndarray, shape (T, K)
        Posterior mean; and the curve at the posterior mean of its parameters.
    above : mapping of float to ndarray, shape (T, K)
        P(DLT probability ≥ cutoff) by cutoff.
    """

    mean: Floats
    plug: Floats
    above: Mapping[float, Floats]

    def between(self, lower: float, upper: float) -> Floats:
        """Return P(lower ≤ DLT probability < upper), shape (T, K)."""
        return np.maximum(self.above[lower] - self.above[upper], 0)


def state_of(
    n: ArrayLike,
    y: ArrayLike,
    current: ArrayLike,
    *,
    treated: ArrayLike | None = None,
    pending: ArrayLike | None = None,
    share: ArrayLike | None = None,
    last: tuple[ArrayLike, ArrayLike] | None = None,
    doses: ArrayLike | None = None,
) -> State:
    """Return checked arrays of many trials.

    Raises
    ------
    DataError
        If there are more DLTs than patients, or shapes do not agree.
    """
    ns, ys = np.atleast_2d(_whole(n, "n")), np.atleast_2d(_whole(y, "y"))
    if ns.shape != ys.shape:
        raise DataError(f"n has shape {ns.shape} and y {ys.shape}; give both as (trials, levels).")
    if (ys > ns).any() or (ys < 0).any():
        t, k = np.argwhere((ys > ns) | (ys < 0))[0]
        raise DataError(f"trial {t}, level {k + 1}: {ys[t, k]} DLTs of {ns[t, k]} patients.")
    at = np.broadcast_to(_whole(current, "current"), (ns.shape[0],))
    if (at < -1).any() or (at >= ns.shape[1]).any():
        raise DataError(f"current levels must lie in -1 (none yet) to {ns.shape[1] - 1}.")
    shares = np.zeros(0) if share is None else np.asarray(share, float)
    waiting = np.zeros((*ns.shape, shares.size), np.int64)
    if pending is not None:
        waiting = _whole(pending, "pending").reshape(waiting.shape)
    given = ns + waiting.sum(axis=2) if treated is None else _whole(treated, "treated")
    rows, safe = np.arange(ns.shape[0]), np.maximum(at, 0)
    if last is None:
        last_n, last_y = ns[rows, safe], ys[rows, safe]
    else:
        last_n, last_y = (np.broadcast_to(_whole(v, "last"), at.shape) for v in last)
    planned = None if doses is None else np.asarray(doses, float)
    return State(ns, ys, np.atleast_2d(given), at, waiting, shares, last_n, last_y, planned)


def _whole(values: ArrayLike, name: str) -> Ints:
    """Return whole numbers; rounded ones would be other patients than those given."""
    try:
        found = np.asarray(values)
        found = found if np.issubdtype(found.dtype, np.integer) else found.astype(float)
    except (TypeError, ValueError):
        raise DataError(f"{name} must be whole numbers, not {shown(values)}.") from None
    if not np.issubdtype(found.dtype, np.integer):
        strange = ~np.isfinite(found) | (found != np.floor(found))
        if strange.any():
            raise DataError(f"{name} must be whole numbers, not {found[strange][0]:g}.")
    return found.astype(np.int64)


def state_of_data(data: DoseData) -> State:
    """Return one trial's data as a `State`."""
    k = len(data.levels)
    days = [data.follow_up(j) for j in range(k)]
    share = np.unique(np.concatenate([*days, np.zeros(0)])) / data.window
    pending = np.zeros((1, k, share.size), np.int64)
    for j, d in enumerate(days):
        np.add.at(pending[0, j], np.searchsorted(share, d / data.window), 1)
    current = -1 if data.current is None else data.current
    return state_of(
        data.n, data.dlts, current, treated=data.treated, pending=pending, share=share,
        last=data.last_cohort(), doses=data.levels.array,
    )  # fmt: skip
