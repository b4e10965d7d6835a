"""The dose step of a study: from the [dose] table to decisions, and to files of every number."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from cart_pkpd._core.errors import CartError, ConfigError, DataError, Problem
from cart_pkpd._core.safe import inert_table
from cart_pkpd._core.validate import did_you_mean
from cart_pkpd._study import dose_counts
from cart_pkpd._study.config import Config
from cart_pkpd._study.dosetable import DesignTable, Dose

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from cart_pkpd import dose
    from cart_pkpd._study.folder import RunFolder
    from cart_pkpd.report import DoseFindings, EndpointFindings

_RULES = (
    "EWOC", "NoSkip", "MaxRatio", "Coherence", "CohortSize", "MaxPatients", "MaxPending",
    "MinBeforeEscalation", "StopIfToxic", "StopIfUnderdosed", "StopWhen",
)  # fmt: skip


def levels_of(table: Dose) -> dose.Levels:
    """Return the planned doses."""
    from cart_pkpd import dose

    within = None if table.within is None else (table.within[0], table.within[1])
    return dose.Levels(tuple(table.levels), table.unit, within)


def designs_of(table: Dose) -> dict[str, dose.Design]:
    """Return the designs by name of their table.

    Raises
    ------
    ConfigError
        For an unknown or missing argument, or an impossible value.
    """
    return {name: _design(name, one, table) for name, one in table.designs.items()}


def _design(name: str, table: DesignTable, whole: Dose) -> dose.Design:
    from cart_pkpd import dose

    given, where = table.arguments, f"dose.designs.{name}"
    kind = getattr(dose, table.design)
    fields = {f.name for f in dataclasses.fields(kind)} - {"rules"}
    if "levels" in fields:
        given["levels"] = levels_of(whole)
    made: dose.Design = _made(kind, given, where)
    for i, rule in enumerate(table.rules):
        own = dict(rule)
        word, place = str(own.pop("rule", "")), f"{where}.rules[{i}]"
        if word not in _RULES:
            raise ConfigError(
                f"{place}: unknown rule {word!r}.{did_you_mean(word, _RULES)} "
                f"Known: {', '.join(_RULES)}."
            )
        made = made & _made(getattr(dose, word), own, place)
    return made


def _made(kind: type, given: Mapping[str, Any], where: str) -> Any:
    """Make a design or a rule from the keys of its table."""
    fields = {f.name: f for f in dataclasses.fields(kind) if f.name != "rules"}
    for key in given:
        if key not in fields:
            raise ConfigError(
                f"{where}: {kind.__name__} takes no {key!r}.{did_you_mean(key, fields)} "
                f"It takes: {', '.join(fields)}."
            )
    lost = [
        n for n, f in fields.items()
        if n not in given and f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
    ]  # fmt: skip
    if lost:
        raise ConfigError(f"{where}: {kind.__name__} needs {', '.join(map(repr, lost))}.")
    try:
        return kind(**{k: _value(k, v) for k, v in given.items()})
    except (CartError, ValueError, TypeError) as error:
        raise ConfigError(f"{where}: {error}") from error


def _value(key: str, value: Any) -> Any:
    """Return what a key of a table stands for; lists are tuples, tables are priors or onsets."""
    from cart_pkpd import dose

    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, dict):
        parts = {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}
        kind: Any = dose.Onset if key == "onset" else dose.BivariateNormal
        return kind(**parts)
    return value


def problems(config: Config) -> list[str]:
    """Return what is wrong with the [dose] table, before any data are read."""
    table, found = config.spec.dose, []
    if table is None:
        return []
    for work in (levels_of, designs_of):
        try:
            work(table)
        except CartError as error:
            found.append(str(error) if str(error).startswith("dose.") else f"dose: {error}")
            break
    if isinstance(table.counts, str) and not config.path(table.counts).is_file():
        found.append(
            f'dose.counts = "{table.counts}" is not a file; relative paths count from the run '
            "file's folder."
        )
    elif table.counts is not None and not found:
        found += _said(lambda: dose_counts.of(config, levels_of(table)))
    if table.response is not None and not config.path(table.response).is_file():
        found.append(
            f"dose.response = \"{table.response}\" is not a file; relative paths count from the "
            "run file's folder."
        )  # fmt: skip
    derived = table.response is not None or config.spec.endpoints is not None
    if table.below is not None and table.below.benefit == "response" and not derived:
        found.append(
            "dose.below.benefit is response, so dose.response must name the file, or the table "
            "[endpoints] derive it."
        )
    return found


def _said(work: Callable[[], object]) -> list[str]:
    """Return what an error says, as a list; none where there is none."""
    try:
        work()
    except CartError as error:
        return [str(error)]
    return []


def words(table: Dose) -> str:
    """Return what the step will do."""
    asked = "next dose" if table.ask == "next" else "MTD"
    said = f"{asked} by {', '.join(table.designs)}"
    if table.counts is not None:
        return f"{said}; from counts"
    return said if table.chain is None else f"{said}; the chain from dose to DLT"


def decide(
    config: Config, trial: xr.Dataset, folder: RunFolder, derived: EndpointFindings | None = None
) -> tuple[DoseFindings, str]:
    """Do the dose step: compute, write every decision, and say the first in a sentence.

    `derived` holds best responses and PFS, where the endpoints step derived them.
    """
    from cart_pkpd._study.folder import whole_file, write_json

    found = compute(config, trial, derived)
    write_json(folder / "dose/decisions.json", found.numbers())
    for name, table in found.frames().items():
        with whole_file(folder / f"dose/{name}.csv") as part:
            named = any(n is not None for n in table.index.names)
            inert_table(table).to_csv(part, index=named)
    if found.chain is not None:
        with whole_file(folder / "dose/chain.nc") as part:
            found.chain.save(part)
    label, text = found.answers()[0]
    return found, f"{label} {text}"


def compute(
    config: Config, trial: xr.Dataset, derived: EndpointFindings | None = None
) -> DoseFindings:
    """Return every decision and what stands beside it."""
    from cart_pkpd import dose, nca, report
    from cart_pkpd._stats.priors import Beta

    table = config.spec.dose
    assert table is not None
    if table.counts is not None:
        return _from_counts(table, dose_counts.of(config, levels_of(table)))
    _check_days(trial)
    known = dose.data(trial, window=table.window, as_of=table.as_of, levels=levels_of(table))
    designs = designs_of(table)
    decisions = _decisions(table, designs, known)
    params = nca.table(trial, table.endpoint, window=(0, 28))
    exposures = {m: dose.exposure(params, trial, m, data=known) for m in ("cmax", "auc0_28")}
    scenarios, without = _scenarios(designs, decisions, known, table)
    activity = dose.activity(
        trial, known, exposures=[e.measured for e in exposures.values()],
        response=_responses(config, table, None if derived is None else derived.responses()),
        pfs=None if derived is None else _known(derived.times["PFS"], known),
    )  # fmt: skip
    return report.DoseFindings(
        data=known,
        designs=designs,
        decisions=decisions,
        scenarios=scenarios,
        without_scenarios=without,
        exposures=exposures,
        metric=table.metric,
        free=dose.order_free(known, prior=Beta(*table.prior)),
        activity=activity,
        chain=_chain(config, table, trial, params, known),
        limits=None if table.chain is None else (table.chain.limits[0], table.chain.limits[1]),
        below=_below(table, designs, known, exposures[table.metric], activity),
    )


def _decisions(
    table: Dose, designs: Mapping[str, dose.Design], known: dose.DoseData
) -> dict[str, dose.Decision]:
    return {
        name: one.recommend(known) if table.ask == "next" else one.mtd(known)
        for name, one in designs.items()
    }


def _from_counts(table: Dose, known: dose.DoseData) -> DoseFindings:
    """Return what counts alone can say: no exposure, no activity."""
    from cart_pkpd import dose, report
    from cart_pkpd._stats.priors import Beta

    designs = designs_of(table)
    decisions = _decisions(table, designs, known)
    scenarios, without = _scenarios(designs, decisions, known, table)
    return report.DoseFindings(
        data=known, designs=designs, decisions=decisions, scenarios=scenarios,
        without_scenarios=without, free=dose.order_free(known, prior=Beta(*table.prior)),
    )  # fmt: skip


def _check_days(trial: xr.Dataset) -> None:
    """Raise for a DLT after the last contact: a decision must not leave it out on its own."""
    if not {"dlt_day", "last_contact_day"} <= set(trial.variables):
        return
    ids = trial["id"].values.astype(str)
    day, last = (trial[v].values.astype(float) for v in ("dlt_day", "last_contact_day"))
    found = [
        Problem(
            "dlt_after_contact",
            f"patient {who!r} has a DLT on day {d:g}, after the last contact on day {c:g}; correct "
            "dlt_day or last_contact_day.",
            who, column="dlt_day", value=f"{d:g}",
        )
        for who, d, c in zip(ids.tolist(), day, last, strict=True)
        if d > c
    ]  # fmt: skip
    if found:
        raise DataError(found)


def _responses(config: Config, table: Dose, derived: pd.DataFrame | None) -> Any:
    """Return the best responses of the file that the table names, or those derived."""
    import pandas as pd

    if table.response is None:
        if table.below is not None and table.below.benefit == "response" and derived is None:
            raise ConfigError(
                "dose.below.benefit is response, and the endpoints step derived none; correct "
                "its records, or name a file with dose.response."
            )
        return derived
    found = pd.read_csv(config.path(table.response), dtype={"id": str}, keep_default_na=False)
    for name in ("id", "best_response"):
        if name not in found:
            raise ConfigError(
                f"dose.response: {table.response!r} has no column {name!r}; it has: "
                f"{', '.join(map(str, found))}."
            )
    return found


def _known(pfs: pd.DataFrame, known: dose.DoseData) -> pd.DataFrame | None:
    """Return the PFS of the patients of a decision; None where nobody has a time."""
    own = pfs[pfs["id"].astype(str).isin([p.id for p in known.patients])]
    return own if own["time"].notna().any() else None


def _scenarios(
    designs: Mapping[str, dose.Design],
    decisions: Mapping[str, dose.Decision],
    known: dose.DoseData,
    table: Dose,
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the scenarios of each design, or why it has none."""
    from cart_pkpd import dose

    found, without = {}, {}
    for name, one in designs.items():
        decision = decisions[name]
        if decision.action in ("stop", "wait") or (decision.dose or decision.current) is None:
            without[name] = (
                f"No next cohort is due, so nothing follows from one: {decision.headline}"
            )
            continue
        size, source = _cohort(table, decision)
        found[name] = dose.scenarios(one, known, cohort=size, ask=table.ask)
        found[name].attrs["source"] = source
    return found, without


def _cohort(table: Dose, decision: dose.Decision) -> tuple[int, str]:
    """Return the size of the next cohort, and where it comes from."""
    if table.cohort is not None:
        return table.cohort, f"cohort = {table.cohort} in the [dose] table of the run file"
    if decision.cohort is not None:
        return decision.cohort, "the design's CohortSize rule"
    return 3, "usual; the [dose] table of the run file may state another one with cohort"


def _chain(
    config: Config, table: Dose, trial: xr.Dataset, params: xr.Dataset, known: dose.DoseData
) -> dose.ChainResult | None:
    from cart_pkpd import dose
    from cart_pkpd._stats.priors import Normal

    if table.chain is None:
        return None
    own = table.chain.given()
    sampling = {k: own[k] for k in ("draws", "tune", "chains", "cytokines") if k in own}
    return dose.chain(
        trial, toxicity=dose.Toxicity(Normal(*table.chain.intercept)),
        reference=table.chain.reference, source=params, metric=table.metric, data=known,
        grade="usual" if "crs_grade" in trial.variables else None, seed=config.spec.seed,
        cores=config.spec.fit.cores, **sampling,
    )  # fmt: skip


def _below(
    table: Dose,
    designs: Mapping[str, dose.Design],
    known: dose.DoseData,
    exposure: dose.DoseExposure,
    activity: dose.Activity,
) -> dose.Decision | None:
    from cart_pkpd import dose
    from cart_pkpd._stats.priors import Beta

    if table.below is None:
        return None
    end = designs[table.below.design].mtd(known)
    if end.dose is None or known.treated[known.levels.index(end.dose)] == 0:
        return None
    own = {} if table.below.fewest is None else {"fewest": table.below.fewest}
    return dose.recommend_below_mtd(
        known, end.dose,
        exposure if table.below.benefit == "exposure" else activity.table(), end,
        share=table.below.share, certainty=table.below.certainty, seed=1,
        prior=None if table.below.prior is None else Beta(*table.below.prior), **own,
    )  # fmt: skip


def lines(found: Mapping[str, Any]) -> list[str]:
    """Return each decision in a sentence, then what to look at before following it, once each.

    `found` is what ``dose/decisions.json`` holds.
    """
    said: list[str] = []
    flags: dict[str, list[str]] = {}
    for name, one in found.items():
        said.append(f"{name}: {one['sentence']}")
        for flag in one["flags"]:
            flags.setdefault(flag, []).append(name)
    return [*said, *(f"! {', '.join(names)}: {flag}" for flag, names in flags.items())]
