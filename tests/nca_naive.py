"""A slow NCA of one profile, in plain Python, written from the definitions alone.

It shares no code and no idea of implementation with the package: loops over lists, textbook
formulae, no vectorisation. Times are sorted and distinct; the infusion is at time 0.
"""

from __future__ import annotations

import math
from itertools import pairwise

NONE = float("nan")


def naive(
    times: list[float],
    levels: list[float],
    lloq: float,
    *,
    method: str,
    tail: str,
    blq: tuple[str | float, str | float, str | float],
    windows: list[tuple[float, float]],
    min_points: int = 3,
    allow_tmax: bool = False,
) -> dict[str, float]:
    """Return the core parameters; NaN where there is none."""
    data = [(t, c) for t, c in zip(times, levels, strict=True) if t >= 0]
    known = [(t, c) for t, c in data if c >= lloq and c > 0]
    out: dict[str, float] = {}
    out["cmax"] = NONE if not data else max((c for _, c in known), default=0.0)
    tmax = next((t for t, c in known if c == out["cmax"]), NONE)
    out["tmax"] = tmax
    out["tfirst"], out["tlast"], out["clast"] = NONE, NONE, NONE
    if known:
        out["tfirst"], (out["tlast"], out["clast"]) = known[0][0], known[-1]
    fit = best_fit(known, tmax, min_points, allow_tmax)
    out |= fit
    points = curve(data, known, lloq, blq)
    positive = [i for i, (_, c) in enumerate(points) if c > 0]
    last = positive[-1] if positive else -1
    enough = len(data) >= 2
    to_last = points[: last + 1]
    out["auclast"] = area(to_last, method, tmax) if enough else NONE
    out["aumclast"] = moment(to_last, method, tmax) if enough else NONE
    end, level = points[last] if positive else (0.0, 0.0)
    lost = points[last + 1][0] if positive and last + 1 < len(points) else None
    out["aucall"] = out["auclast"] + (level * (lost - end) / 2 if lost is not None else 0.0)
    rate = fit["lambda_z"]
    out["aucinf_obs"] = out["auclast"] + (level / rate if positive else 0.0)
    predicted = math.exp(fit["_a"] - rate * end) if positive and rate == rate else NONE
    out["aucinf_pred"] = out["auclast"] + (predicted / rate if positive else 0.0)
    for a, b in windows:
        value = NONE
        if enough:
            inner = clipped(to_last, a, min(b, end), method, tmax)
            value = inner + beyond(tail, a, b, end, level, predicted, rate, lost, bool(positive))
        out[f"auc{a:g}_{b:g}"] = value
    return out


def curve(data, known, lloq, blq):
    """Return the points under which areas are taken, the point at 0 included."""
    first, middle, last = blq
    points = []
    for t, c in data:
        if c >= lloq and c > 0:
            points.append((t, c))
            continue
        if not known or t <= known[0][0]:
            rule = first
        elif t < known[-1][0]:
            rule = middle
        else:
            rule = last
        if rule == "drop":
            if t == 0:
                points.append((t, 0.0))
        elif rule == "keep":
            points.append((t, 0.0))
        elif rule == "0.5*lloq":
            points.append((t, 0.5 * lloq))
        else:
            points.append((t, float(rule)))
    if not points or points[0][0] > 0:
        points.insert(0, (0.0, 0.0))
    return points


def is_log(p, q, method, tmax):
    """Whether the piece between two points is logarithmic."""
    if p[1] <= 0 or q[1] <= 0 or p[1] == q[1] or method == "linear":
        return False
    return p[0] >= tmax if method == "lin-log" else q[1] < p[1]


def piece(p, q, method, tmax):
    """Return the area between two points."""
    if is_log(p, q, method, tmax):
        return (q[0] - p[0]) * (q[1] - p[1]) / math.log(q[1] / p[1])
    return (q[0] - p[0]) * (p[1] + q[1]) / 2


def area(points, method, tmax):
    """Return the area under all points, summed in time order."""
    total = 0.0
    for p, q in pairwise(points):
        total += piece(p, q, method, tmax)
    return total


def moment(points, method, tmax):
    """Return the first moment under all points."""
    total = 0.0
    for (t1, c1), (t2, c2) in pairwise(points):
        d = t2 - t1
        if is_log((t1, c1), (t2, c2), method, tmax):
            r = math.log(c2 / c1)
            total += d * (t2 * c2 - t1 * c1) / r - d**2 * (c2 - c1) / r**2
        else:
            total += d * (t1 * c1 + t2 * c2) / 2
    return total


def clipped(points, a, b, method, tmax):
    """Return the area of the points between two times, interpolating at both ends."""
    total = 0.0
    for p, q in pairwise(points):
        lo, hi = max(a, p[0]), min(b, q[0])
        if hi <= lo:
            continue
        log = is_log(p, q, method, tmax)

        def at(t, p=p, q=q, log=log):
            share = (t - p[0]) / (q[0] - p[0])
            if log:
                return math.exp(math.log(p[1]) + share * (math.log(q[1]) - math.log(p[1])))
            return p[1] + share * (q[1] - p[1])

        low, high = (lo, at(lo)), (hi, at(hi))
        if log:
            total += (hi - lo) * (high[1] - low[1]) / math.log(high[1] / low[1])
        else:
            total += (hi - lo) * (low[1] + high[1]) / 2
    return total


def beyond(tail, a, b, end, level, predicted, rate, lost, positive):
    """Return the area of a window beyond the last level above 0."""
    if not positive or b <= end or tail == "zero":
        return 0.0
    start = max(a, end)
    stop = b if lost is None else min(b, lost)
    if stop <= start:
        return 0.0
    if tail == "triangle":
        if lost is None:
            return 0.0
        slope = level / (lost - end)
        return (stop - start) * (slope * (lost - start) + slope * (lost - stop)) / 2
    top = level if tail == "exponential" else predicted
    return top / rate * (math.exp(-rate * (start - end)) - math.exp(-rate * (stop - end)))


def best_fit(known, tmax, min_points, allow_tmax):
    """Return lambda_z by the best-fit rule: loop over windows, two-pass least squares."""
    points = [(t, math.log(c)) for t, c in known if (t >= tmax if allow_tmax else t > tmax)]
    points = [(t, y) for t, y in points if t > 0]
    nothing = {
        "lambda_z": NONE, "_a": NONE, "lambda_z_n_points": NONE, "adj_r_squared": NONE,
        "r_squared": NONE, "lambda_z_start": NONE,
    }  # fmt: skip
    fits = []
    for n in range(min_points, len(points) + 1):
        window = points[-n:]
        mx, my = sum(t for t, _ in window) / n, sum(y for _, y in window) / n
        sxx = sum((t - mx) ** 2 for t, _ in window)
        sxy = sum((t - mx) * (y - my) for t, y in window)
        syy = sum((y - my) ** 2 for _, y in window)
        if syy <= n * 1e-20:
            continue
        slope, r2 = sxy / sxx, sxy**2 / (sxx * syy)
        fits.append((n, slope, my - slope * mx, 1 - (1 - r2) * (n - 1) / (n - 2), r2, window[0][0]))
    if not fits:
        return nothing
    best = max(f[3] for f in fits)
    good = [f for f in fits if f[1] < 0 and f[3] > best - 1e-4]
    if not good:
        return nothing
    n, slope, a, adjusted, r2, start = max(good)
    return {
        "lambda_z": -slope, "_a": a, "lambda_z_n_points": float(n), "adj_r_squared": adjusted,
        "r_squared": r2, "lambda_z_start": start,
    }  # fmt: skip
