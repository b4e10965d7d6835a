"""Parameters of the terminal slope."""

from __future__ import annotations

import math

import numpy as np

from cart_pkpd._nca.reasons import Codes, Column, Floats, Why, derived, explain, settled
from cart_pkpd._nca.registry import parameter
from cart_pkpd._nca.terminal import Terminal
from cart_pkpd._nca.work import Work


def span(fit: Terminal) -> Floats:
    """Return the length of the window in half-lives."""
    return (fit.end - fit.start) * fit.lambda_z / math.log(2)


def accepted(work: Work, fit: Terminal, why: Codes) -> Codes:
    """Return `why` with the reasons of the acceptance rules added."""
    least_r2, least_span = work.rules.accept_adj_r_squared, work.rules.accept_span_ratio
    if least_r2 is not None:
        # A two-sample line has no adjusted R², so it cannot meet a limit on it.
        why = explain(why, (~(fit.adj_r_squared >= least_r2), Why.LOW_R2))
    if least_span is not None:
        why = explain(why, (~(span(fit) >= least_span), Why.SHORT_SPAN))
    return why


@parameter("lambda_z", "λz", "rate", "terminal slope of ln level, best-fit window", cdisc="LAMZ")
def lambda_z(work: Work) -> Column:
    """Return the terminal rate, if accepted."""
    return settled(work.terminal.lambda_z, accepted(work, work.terminal, work.fit_reason))


@parameter(
    "half_life", "t½", "time", "terminal half-life, ln 2/λz", cdisc="LAMZHL", needs=("lambda_z",)
)
def half_life(work: Work) -> Column:
    """Return the terminal half-life."""
    rate = work["lambda_z"]
    return derived(math.log(2) / rate.value, rate)


@parameter(
    "lambda_z_n_points", "λz points", "one", "samples in the terminal fit", cdisc="LAMZNPT",
    statistic="median",
)  # fmt: skip
def lambda_z_n_points(work: Work) -> Column:
    """Return the number of samples in the fit."""
    return settled(work.terminal.n.astype(float), work.fit_reason)


@parameter(
    "lambda_z_start", "λz from", "time", "first sample of the terminal fit", cdisc="LAMZLL",
    statistic="median",
)  # fmt: skip
def lambda_z_start(work: Work) -> Column:
    """Return the start of the fitted window."""
    return settled(work.terminal.start, work.fit_reason)


@parameter(
    "lambda_z_end", "λz to", "time", "last sample of the terminal fit", cdisc="LAMZUL",
    statistic="median",
)  # fmt: skip
def lambda_z_end(work: Work) -> Column:
    """Return the end of the fitted window."""
    return settled(work.terminal.end, work.fit_reason)


@parameter(
    "r_squared", "R²", "one", "R² of ln level in the terminal fit", cdisc="R2",
    statistic="arithmetic",
)  # fmt: skip
def r_squared(work: Work) -> Column:
    """Return R² of the fit."""
    return settled(work.terminal.r_squared, work.fit_reason)


@parameter(
    "adj_r_squared", "Adjusted R²", "one", "R² adjusted for the number of samples",
    cdisc="R2ADJ", statistic="arithmetic",
)  # fmt: skip
def adj_r_squared(work: Work) -> Column:
    """Return the adjusted R² of the fit."""
    why = explain(work.fit_reason, (work.terminal.n == 2, Why.TWO_POINTS))
    return settled(work.terminal.adj_r_squared, why)


@parameter(
    "span_ratio", "Span ratio", "one", "length of the terminal window in half-lives",
    cdisc="LAMZSPN", statistic="arithmetic",
)  # fmt: skip
def span_ratio(work: Work) -> Column:
    """Return the span of the fit in half-lives."""
    return settled(span(work.terminal), work.fit_reason)


@parameter(
    "persistence_half_life", "Persistence t½", "time",
    "half-life of the slow phase: as half_life, on samples from day persistence_from on",
)  # fmt: skip
def persistence_half_life(work: Work) -> Column:
    """Return the half-life of the persistence phase."""
    start = work.rules.persistence_from
    if start is None:
        why = accepted(work, work.terminal, work.fit_reason)
        return settled(math.log(2) / work.terminal.lambda_z, why)
    fit = work.fit_terminal(max(start, work.rules.earliest_day))
    why = explain(work.any_seen, (work.peak < 0, Why.LATE_BLQ))
    why = accepted(work, fit, np.where(why == 0, fit.why, why))
    return settled(math.log(2) / fit.lambda_z, why)
