"""Peak, its day and area of many courses, from levels at the nodes of their pieces.

Serves all models. What it is given, and the rule, :mod:`cart_pkpd._simulate.kinetics` says; the
places of the table are those of :func:`exposure`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cart_pkpd._engine.equations import compiled
from cart_pkpd._engine.forms import FINE, NODES
from cart_pkpd._engine.symbols import floats, integers, release, room

_LARGEST = 700.0
"""No exponential of more is taken."""


@compiled
def top_of(own: Any, polynomial: Any) -> tuple[float, float]:
    """Return the highest level within a piece, and where in it, 0 to 1.

    On the polynomial through ln of the levels in `own`, or through them where one is not above 0.
    """
    positive, node = True, 0
    for i in range(NODES):
        positive = positive and own[i] > 0.0
        if own[i] > own[node]:
            node = i
    for i in range(NODES):
        own[NODES + i] = math.log(own[i]) if positive else own[i]
    best = 0
    for j in range(FINE):
        total = 0.0
        for i in range(NODES):
            total += own[NODES + i] * polynomial[j * NODES + i]
        own[2 * NODES + j] = total
        if total > own[2 * NODES + best]:
            best = j
    inner = min(max(best, 1), FINE - 2)
    a, b, c = own[2 * NODES + inner - 1], own[2 * NODES + inner], own[2 * NODES + inner + 1]
    bend = a - 2.0 * b + c
    shift = 0.5 * (a - c) / bend if bend < 0.0 else float(best - inner)
    shift = min(max(shift if shift == shift else 0.0, -1.0), 1.0)
    top = b - 0.5 * (a - c) * shift + 0.5 * bend * shift * shift
    value = math.exp(min(top, _LARGEST)) if positive else top
    # A node may be higher than the polynomial between two where the level is nearly flat.
    if not value >= own[node]:
        return own[node], -1.0 - node
    return value, (inner + shift) / (FINE - 1)


def exposure(first: int, last: int, table: Any) -> int:
    """Write peak, its day and area of courses `first` to `last`; NaN where a level is.

    The table holds the addresses of: levels (k, n, e); where among n each node's are, and the edges
    of the pieces, each a row for all or for every course; results (k, e, 3); the counts of pieces,
    n and e, and whether the rows are for all; nodes and weights on 0 to 1; and the polynomials that
    are 1 at one node, at the fine points.
    """
    level, place, edges = floats(table[0]), integers(table[1]), floats(table[2])
    out = floats(table[3])
    sizes, node_at, weight = integers(table[4]), floats(table[5]), floats(table[6])
    polynomial, own = floats(table[7]), room(2 * NODES + FINE)
    pieces, n, e, same_places, same_edges = sizes[0], sizes[1], sizes[2], sizes[3], sizes[4]
    for k in range(first, last):
        at = 0 if same_places > 0 else k * pieces * NODES
        edge = 0 if same_edges > 0 else k * (pieces + 1)
        for j in range(e):
            begin, area, highest, top = k * n * e + j, 0.0, 0, -np.inf
            for p in range(pieces):
                total = 0.0
                for i in range(NODES):
                    value = level[begin + place[at + p * NODES + i] * e]
                    total += weight[i] * value
                    if value > top:
                        top, highest = value, p * NODES + i
                area += (edges[edge + p + 1] - edges[edge + p]) * total
            to = (k * e + j) * 3
            out[to], out[to + 1], out[to + 2] = np.nan, np.nan, np.nan
            if area != area:
                continue
            out[to], out[to + 2] = -np.inf, area
            # The peak may lie on the other side of an edge, whose two nodes differ by rounding.
            chosen = highest // NODES
            side = highest % NODES
            other = chosen + (1 if side == NODES - 1 else 0) - (1 if side == 0 else 0)
            for p in (chosen, min(max(other, 0), pieces - 1)):
                if out[to] > -np.inf and p == chosen:
                    continue
                for i in range(NODES):
                    own[i] = level[begin + place[at + p * NODES + i] * e]
                found, share = top_of(own, polynomial)
                if found > out[to]:
                    share = share if share >= 0.0 else node_at[int(-1.0 - share)]
                    left = edges[edge + p]
                    out[to], out[to + 1] = found, left + share * (edges[edge + p + 1] - left)
    release(own)
    return 0
