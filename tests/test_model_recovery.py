"""Least squares finds every model's parameters again from exact, rich data.

All that is not fixed starts 25 % above or 20 % below the truth. What even such data cannot
tell is held, and ``HELD`` says why; that it cannot be told is tested too.
"""

import contract
import numpy as np
import pytest
import xarray as xr
from contract import CASES
from numpy.testing import assert_allclose

from cart_pkpd import models
from cart_pkpd._fit.least_squares import least_squares
from cart_pkpd._stats.design import QUANTIFIED, Change, Design, Measure

QUICK = ("stein2019", "EffectorMemory", "OneCompartment", "PredatorPrey")
"""Searched in every run; the others among the slow tests."""

UNTOLD = 3e-6
"""How strongly a combination of parameters acts, relative to the strongest, at the least."""

HELD: dict[str, dict[str, str]] = {
    "barros2021": {"phi": "only the product phi * rho acts on cells and tumour"},
    "liu_l2022_negative": {"kn": "so far above the blasts that only ka / kn acts, to a millionth"},
    "mueller_schoell2021": {
        "asct_effect": "acts only after a transplant, and the typical patient had none",
        "cd4_cd8_power": "a power of the CD4:CD8 ratio, which is 1 in the typical patient",
    },
    "PredatorPrey": {
        "prey0": "the tumour is observed relative to its start, so that its size acts only "
        "through feed * prey0"
    },
}
"""By model, parameters held at their value, and why no data of its endpoints tell them."""

WEAK: dict[str, str] = {
    "dual_antigen": "with both kinds of cells in equal parts no endpoint tells mesothelin from "
    "MUC1, so that their shares may be found in exchanged places",
    "barros2021": "theta, alpha and r trade against each other: one combination acts 1.5e-5 times "
    "as strongly on the levels as others, which a search at rtol 1e-8 does not resolve",
}
"""By model, why exact levels are found again but not every parameter."""


def of(names):
    return pytest.mark.parametrize(
        "name",
        [
            pytest.param(
                n,
                marks=[] if n in QUICK else [pytest.mark.slow],
            )
            for n in names
        ],
    )


def rich_times(case):
    """Forty days from the start to the last of the case's times, dense where things happen."""
    last = max(case.times)
    early = np.geomspace(last / 400, last, 20)
    events = {e for t, _, d in case.doses for e in (t, t + d)} | {c[1] for c in case.changes}
    fixed = [t + step for t in events for step in (0.05, 0.2, 0.6) if t + step < last]
    return np.unique(np.round([*early, *np.linspace(last / 20, last, 20), *fixed], 6))


def truth(case):
    return contract.values(case, case.model.typical())


def recorded(case):
    """A design with the exact levels of one patient, without what is too low to be resolved."""
    model, when = case.model, rich_times(case)
    level = contract.solved(case, [truth(case)], when).level[0]
    if not case.is_ode:
        level = np.exp(level)
    keep = level > 1e-7 * np.abs(level).max(axis=0)
    keep[:, [e in case.signed for e in model.endpoints]] = True
    at, measure = np.nonzero(keep)
    n, d = at.size, len(case.doses)
    nothing = np.full(n, np.nan)
    covariates = {k: ("id", [c.typical]) for k, c in getattr(model, "covariates", {}).items()}
    return Design(
        measures=tuple(Measure(e, unit, e) for e, unit in model.endpoints.items()),
        measure=measure,
        ids=np.array(["p"]),
        patient=np.zeros(n, dtype=int),
        time=when[at],
        nominal_time=nothing,
        dv=level[keep],
        code=np.full(n, QUANTIFIED),
        low=nothing,
        lloq=nothing,
        uloq=nothing,
        row=np.arange(n),
        before_dose=np.zeros(n, dtype=bool),
        subjects=xr.Dataset(covariates, coords={"id": ["p"]}),
        dose_patient=np.zeros(d, dtype=int),
        dose_time=np.array([t for t, _, _ in case.doses]),
        dose_amount=np.array([a for _, a, _ in case.doses]),
        dose_duration=np.array([length for _, _, length in case.doses]),
        dose_unit=getattr(model, "dose_unit", "") if d else "",
        changes=tuple(Change(0, t, c, v) for c, t, v in case.changes),
    )


def moved(name):
    """The model with starting values off the truth, and what it must find."""
    case = CASES[name]
    model = case.model.with_(
        **{n: models.Fixed(case.model.typical()[n]) for n in HELD.get(name, ())}
    )
    true = {n: model.typical()[n] for n in model.estimated}
    start = {}
    for i, (n, value) in enumerate(true.items()):
        p, up = model.parameters[n], i % 2 == 0
        shift = {"identity": 0.25 * (abs(value) or p.spread)}.get(p.scale, np.log(1.25))
        free = float(p.to_free(value)) + (shift if up else -shift)
        start[n] = {"typical": float(p.to_natural(free))}
    return model.with_(**start), true


@of(CASES)
def test_exact_data_give_the_parameters_back(name):
    """To 1e-3 of each value, from 20 to 25 % away; of models in ``WEAK`` the levels, to 0.1 %."""
    case = CASES[name]
    model, true = moved(name)
    errors = {e: "additive" for e in case.signed if e in model.endpoints}
    found = least_squares(model, recorded(case), errors=errors).isel(id=0)
    estimate = found["estimate"].to_series().to_dict()
    assert list(estimate) == list(true)
    if name in WEAK:
        assert (found["sigma"] < 1.1e-3).all()  # the least that a scatter can be is 1e-3
        return
    for n, value in true.items():
        assert_allclose(estimate[n], value, rtol=1e-3, atol=1e-3 * (value == 0), err_msg=n)


def singular_values(name, names):
    """Of the derivatives of ln levels by free parameters, every column of length 1."""
    case, p = CASES[name], truth(CASES[name])
    found = contract.solved(case, [p], rich_times(case))
    size = contract.size_of(found.level[0])[..., None] if case.is_ode else 1.0
    by = (found.slope[0] * contract.steps(case, p) / size).reshape(-1, len(case.names))
    columns = by[:, [case.names.index(n) for n in names]]
    length = np.linalg.norm(columns, axis=0)
    return np.linalg.svd(columns / np.where(length > 0, length, 1.0), compute_uv=False)


@of(CASES)
def test_what_is_held_cannot_be_told_and_the_rest_can(name):
    """One direction without any effect for each parameter that is held, and no other."""
    held = set(HELD.get(name, ()))
    free = CASES[name].model.estimated
    assert held <= set(free)
    s = singular_values(name, free)
    assert (s < UNTOLD * s[0]).sum() == len(held)
    rest = singular_values(name, [n for n in free if n not in held])
    assert rest[-1] > UNTOLD * rest[0]
