"""What a caller gives for a population, brought into one form or refused with a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cart_pkpd._core.errors import FitError
from cart_pkpd._core.validate import as_mapping, as_names, shown
from cart_pkpd._stats.covariates import Named, Term, named_terms
from cart_pkpd._stats.priors import Prior, prior_from

_NAMES = "['cmax', 'alpha']"


def parameters(value: Any, what: str) -> tuple[str, ...]:
    """Return the parameters of ``iiv``, ``iov`` or ``centred``.

    Raises
    ------
    FitError
        For anything but names; a dict of sizes is told where sizes go.
    """
    if isinstance(value, Mapping):
        prefix = {"iiv": "omega_", "iov": "omega_iov_"}.get(what, "")
        name = next(iter(value), "cmax")
        raise FitError(
            f"{what}: give the names alone, {what}={[str(n) for n in value]}; how large the "
            f"variability may be is a prior: priors={{'{prefix}{name}': fit.HalfNormal(0.3)}}."
        )
    return as_names(value, what, such_as=_NAMES)


def endpoints(value: Any, what: str) -> tuple[str, ...]:
    """Return names of endpoints; FitError for anything else."""
    return as_names(value, what, such_as="['transgene']")


def error_name(value: Any) -> str:
    """Return the residual error of every endpoint; FitError for anything but one name."""
    if isinstance(value, str):
        return value
    raise FitError(
        f"error: give one name, such as 'lognormal', not {shown(value)}; errors={{'transgene': "
        "'lognormal'} gives each endpoint its own."
    )


def error_names(value: Any) -> dict[str, str]:
    """Return the residual error by endpoint."""
    such_as = "{'transgene': 'lognormal'}"
    hint = f"{such_as}; error={value!r} is for all endpoints" if isinstance(value, str) else such_as
    given = as_mapping(value, "errors", such_as=hint)
    for endpoint, name in given.items():
        if not isinstance(name, str):
            raise FitError(
                f"errors: {endpoint!r} needs one name, such as 'lognormal', not {shown(name)}."
            )
    return {str(k): str(v) for k, v in given.items()}


def covariates(value: Any) -> dict[str, tuple[Named, ...]]:
    """Return the covariates of each parameter."""
    given = as_mapping(value, "covariates", such_as="{'cmax': ['dose_level']}")
    return {str(name): _terms(str(name), one) for name, one in given.items()}


def _terms(parameter: str, value: Any) -> tuple[Named, ...]:
    each = value if isinstance(value, Iterable) else ()
    single = isinstance(value, str | Term | Mapping)
    each = () if single else tuple(each)
    good = single or (each and all(isinstance(one, str | Term | Mapping) for one in each))
    if not good:
        raise FitError(
            f"covariates: {parameter!r} needs names of patient-level variables, such as "
            f"['dose_level'], not {shown(value)}."
        )
    return named_terms(value if single else each)


def priors(value: Any) -> dict[str, Prior]:
    """Return the priors by name."""
    such_as = "{'cmax': fit.LogNormal(1000, 1)}"
    given = as_mapping(value, "priors", such_as=such_as)
    return {str(name): _prior(str(name), one) for name, one in given.items()}


def _prior(name: str, value: Any) -> Prior:
    is_prior = isinstance(value, Prior | Mapping) or hasattr(value, "prior")
    if not is_prior:
        raise FitError(
            f"priors: {name!r} needs a prior, such as fit.LogNormal(1000, 1), not {shown(value)}"
            f"{_held(name, value)}."
        )
    return prior_from(value)


def _held(name: str, value: Any) -> str:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"; to hold it there: model.with_({name}=models.Fixed({value:g}))" if number else ""


def mixture_of(value: Any) -> str | None:
    """Return the parameter whose distribution is a mixture, or None."""
    if value is True:
        return "cmax"
    if value is None or value is False:
        return None
    if isinstance(value, str) and value:
        return value
    raise FitError(
        f"non_expanders: give True, or the name of a parameter, not {shown(value)}; what share "
        "there may be is a prior: priors={'p_non_expander': fit.Beta(1, 4)}."
    )
