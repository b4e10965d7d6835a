"""From a run file and its data to models that fit both, before anything is sampled."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cart_pkpd._core.errors import FitError, ModelError
from cart_pkpd._stats import population as statistics
from cart_pkpd._stats.design import Design, design_for
from cart_pkpd._study import plan
from cart_pkpd._study.config import Config, RunFileError

if TYPE_CHECKING:
    import xarray as xr

_UNIT = re.compile(r'model\.with_\((\w+)=\{"typical": \.\.\., "unit": ("[^"]*")\}\)')
_ERROR = re.compile(r"\berror='(\w+)'")


def models(config: Config, trial: xr.Dataset) -> dict[str, statistics.Structure]:
    """Return every model of a run file joined with the data.

    Raises
    ------
    RunFileError
        One sentence for each model that does not fit the data: a covariate that the trial does
        not have, a unit that is not that of the data, values that an error model cannot
        describe.
    """
    if not config.spec.models:
        return {}
    records = {name: _records(config, name, trial) for name in config.spec.models}
    joined: dict[str, statistics.Structure] = {}
    problems: list[str] = []
    for name in config.spec.models:
        try:
            joined[name] = _one(config, name, records[name])
        except (FitError, ModelError) as error:
            problems.append(_sentence(config, name, str(error)))
    if problems:
        raise RunFileError(dict.fromkeys(problems), config.source)
    return joined


def _records(config: Config, name: str, trial: xr.Dataset) -> Design:
    try:
        iov = bool(config.population(name).get("iov"))
        return design_for(plan.model(config, name), trial, config.spec.fit.endpoint, iov=iov)
    except FitError as error:
        raise RunFileError([f"fit.endpoint: {error}"], config.source) from error


def _one(config: Config, name: str, records: Design) -> statistics.Structure:
    population = statistics.population(**config.population(name))
    model = plan.model(config, name)
    if config.given is not None:
        from cart_pkpd import fit
        from cart_pkpd._fit.given import with_given

        earlier = fit.load(config.given)
        model, records = with_given(model, records, population, earlier, config.given_at)
    return statistics.resolve(model, population, records)


def _sentence(config: Config, name: str, message: str) -> str:
    """Return what is wrong with a model, in the words of the run file."""
    text = _UNIT.sub(rf"{{ typical = ..., unit = \2 }} for models.{name}.parameters.\1", message)
    text = _ERROR.sub(r'error = "\1"', text)
    key, colon, rest = text.partition(": ")
    if not colon or key not in config.population(name):
        return f"models.{name}: {text}"
    own = key in config.spec.models[name].given()
    return f"models.{name}.{key}: {rest}" if own else f"population.{key}: {rest}"
