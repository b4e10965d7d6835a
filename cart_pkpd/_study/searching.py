"""The search of a run file: covariates, variability and correlations of one of its models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cart_pkpd._core.errors import CartError, ConfigError
from cart_pkpd._core.validate import did_you_mean
from cart_pkpd._study.config import Config
from cart_pkpd._study.folder import RunFolder
from cart_pkpd._study.runfile import Search

if TYPE_CHECKING:
    from cart_pkpd._study.steps import Findings, Progress

_OF_CANDIDATES = ("covariates", "parameters", "forms", "iiv", "corr")


def problems(config: Config) -> list[str]:
    """Return what is wrong with the [search] table, one sentence each."""
    spec = config.spec.search
    if spec is None:
        return []
    known = [*config.spec.models, *(point.model for point in config.grid.points.values())]
    if spec.model is not None and spec.model not in known:
        hint = did_you_mean(spec.model, known)
        return [f"search.model: there is no [models.{spec.model}] table.{hint}"]
    if not known:
        return ["search: needs a [models.*] table, whose population it begins with."]
    try:
        found = candidates(config)
    except CartError as problem:
        return [f"search: {problem}"]
    return _unknown(config, found)


def _unknown(config: Config, found: Any) -> list[str]:
    """Return the candidates whose parameters the model does not estimate."""
    from cart_pkpd._study import plan

    try:
        known = plan.model(config, name_of(config)).estimated
    except (CartError, ValueError):  # said of the model itself
        return []
    factors = tuple(f"scale_{e}" for e in config.spec.fit.endpoints)
    return [
        f"search: {c.name}: the model estimates no parameter '{n}'.{did_you_mean(n, known)}"
        for c in found.all
        for n in c.parameters
        if n not in (*known, *factors)
    ]


def name_of(config: Config) -> str:
    """Return which fit's population the search begins with: of the model named, or the first.

    Of a model that a grid varies, it is the first point.
    """
    named, models = _table(config).model, config.spec.models
    if named is None or named in models:
        return named or next(iter(models))
    return next(name for name, point in config.grid.points.items() if point.model == named)


def _table(config: Config) -> Search:
    """Return the [search] table, which a run that searches has."""
    if config.spec.search is None:
        raise ConfigError("the run file has no [search] table.")
    return config.spec.search


def candidates(config: Config) -> Any:
    """Return the candidates of the [search] table."""
    from cart_pkpd import compare
    from cart_pkpd._stats.covariates import named_terms

    given = {k: v for k, v in _table(config).given().items() if k in _OF_CANDIDATES}
    named = given.get("covariates")
    if isinstance(named, dict):
        given["covariates"] = {k: named_terms(v) for k, v in named.items()}
    elif named is not None:
        given["covariates"] = list(named_terms(named))
    return compare.candidates(**given)


def words(config: Config) -> str:
    """Return what the search will do."""
    spec, found = _table(config), candidates(config).all
    shown = ", ".join(c.name for c in found[:6]) + (" …" if len(found) > 6 else "")
    return f"{name_of(config)}, {spec.direction or 'forward'}: {shown}"


def search(
    found: Findings, folder: RunFolder, progress: Progress, executor: Any = None
) -> tuple[str, bool]:
    """Search, keep every step, and return what was found in words and whether it converged."""
    from cart_pkpd import compare, fit
    from cart_pkpd._study import plan

    config, name = found.config, name_of(found.config)
    given = {k: v for k, v in _table(config).given().items() if k not in _OF_CANDIDATES}
    given.pop("model", None)
    done = 0

    def heard(step: int, candidate: str) -> None:
        nonlocal done
        done += 1
        progress(done, done + 1, f"step {step}, {candidate}")

    result = compare.search(
        plan.model(config, name),
        found.trial,
        fit.population(**config.population(name)),
        candidates=candidates(config),
        endpoint=config.spec.fit.endpoint,
        seed=config.spec.seed,
        executor=executor,
        progress=heard,
        **given,
    )
    result.csv(folder / "search/steps.csv")
    result.json(folder / "search/steps.json")
    result.fit.save(folder / "search/best.nc")
    found.search = result
    return result.sentence, result.fit.verdict.ok
