"""The data of a joint model as the compiled hazard reads them, and the sampler at work on both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._endpoints.joint import CHANGE, PLACES, SIZE, WEIGHTS, Joint, Settings
from cart_pkpd._engine import forms
from cart_pkpd._engine.hazard import OF_CHANGE, OF_LEVEL
from cart_pkpd._stats.compiled import kernel_of
from cart_pkpd._stats.quantities import Quantity

if TYPE_CHECKING:
    from cart_pkpd._fit.posterior import Extra
    from cart_pkpd._fit.sample import Sampled

Floats = NDArray[np.float64]
LEAST = 1e-3
"""Of the size, in its unit: a tumour that is gone has a logarithm."""

_SCALES = {"log": forms.LOG, "logit": forms.LOGIT, "identity": forms.IDENTITY}
_KINDS = {SIZE: OF_LEVEL, CHANGE: OF_CHANGE}


def sample(joint: Joint, settings: Settings) -> Sampled:
    """Return draws of tumours and survival together.

    Raises
    ------
    FitError
        If the density is not a number at the start, or the sampler stops.
    """
    from cart_pkpd._fit.sample import sample as sampled

    return sampled(
        joint.structure, draws=settings.draws, tune=settings.tune, chains=settings.chains,
        cores=settings.cores, seed=settings.seed, target_accept=settings.target_accept,
        on_progress=None, extra=extra(joint),
    )  # fmt: skip


def extra(joint: Joint) -> Extra:
    """Return survival as a term of the tumours' posterior."""
    from cart_pkpd._engine.compiling import hazard
    from cart_pkpd._engine.compiling import start as begin
    from cart_pkpd._engine.kernel import hazard_kernel, posterior_kernel
    from cart_pkpd._fit.posterior import Extra

    for needed in (kernel_of(joint.structure), posterior_kernel(), hazard_kernel()):
        begin(needed)

    quantities = tuple(
        Quantity(q.name, q.label, q.unit, "survival", q.prior) for q in joint.quantities
    )
    looked = any(link.name in _KINDS for link in joint.links)
    places, schedule, kernel = _nodes(joint) if looked else _no_nodes(joint)
    arrays = [np.ascontiguousarray(a) for a in (*_arrays(joint, places), *schedule)]
    counts = [joint.time.size, PLACES.size, len(joint.structure.quantities), len(joint.links),
              len(joint.terms), kernel.address if kernel is not None else 0,
              int(joint.structure.model.program.observe_log), places.size if looked else 0,
              0]  # fmt: skip
    table = np.array([*counts, *(a.ctypes.data for a in arrays)], dtype=np.int64)
    function = hazard()
    return Extra(quantities, function.address, table, (function, kernel, arrays))


def _arrays(joint: Joint, places: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
    """Return what the hazard reads of patients and links, in its order."""
    model = joint.structure.model
    names = list(model.estimated)
    s = np.column_stack([joint.time[:, None] * PLACES, joint.time])
    references = [link.reference for link in joint.links]
    return (
        np.array([_SCALES[model.parameters[n].scale] for n in names], dtype=np.int64),
        joint.rows.astype(np.int64),
        joint.event.astype(np.int64),
        np.array([_KINDS[b.name] if b.name in _KINDS else names.index(b.name)
                  for b in joint.links], dtype=np.int64),
        places,
        np.log([*references, LEAST]),
        joint.x.astype(float),
        joint.time[:, None] * WEIGHTS,
        np.log(s),
    )  # fmt: skip


def _nodes(joint: Joint) -> tuple[NDArray[np.int64], tuple[NDArray[Any], ...], Any]:
    """Return where each level stands among the predicted ones, their schedule, and the kernel.

    Levels are those of every patient at the nodes, at the end, and at the infusion.
    """
    from cart_pkpd._engine.compiling import levels_of
    from cart_pkpd._engine.kernel import kernel
    from cart_pkpd._engine.solve import floors_of, options_of

    model, design = joint.structure.model, joint.structure.design
    n, program = joint.rows.size, model.program
    days = np.column_stack([joint.days(joint.time), np.zeros(n)])
    plan, base = model.plan(
        design, time=days.ravel(), patient=np.repeat(joint.rows, days.shape[1]),
        measure=np.zeros(days.size, dtype=np.int64), endpoint=design.endpoints,
    )  # fmt: skip
    schedule = (base, *plan.arrays, floors_of(program), options_of(program, model.solver, 1))
    places = np.argsort(plan.order).reshape(days.shape).astype(np.int64)
    return places, schedule, levels_of(kernel(program, model.estimated, None))


def _no_nodes(joint: Joint) -> tuple[NDArray[np.int64], tuple[NDArray[Any], ...], None]:
    """Return the same where nothing is looked at but parameters."""
    nothing = np.zeros(1)
    return np.zeros((joint.rows.size, PLACES.size + 2), dtype=np.int64), (nothing,) * 12, None
