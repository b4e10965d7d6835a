"""The run file as data: every table and key that a study's TOML may hold.

A value left out is left to the function that uses it, so each default lives in one place.
What a key means is its description, which `RunFile.model_json_schema()` hands to editors.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping
from types import GenericAlias, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    Self,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    Strict,
    create_model,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from cart_pkpd._data.options import Duplicates
from cart_pkpd._nca.rules import Blq, Rules
from cart_pkpd._study.dosetable import Dose
from cart_pkpd._study.endpointstable import Endpoints, Grades
from cart_pkpd._study.operatingtable import Operating
from cart_pkpd._study.simulatetable import Simulate

ErrorModel = Literal["lognormal", "student_t", "proportional", "additive", "combined"]
CovariateForm = Literal["exponential", "power", "linear", "category"]
SearchCriterion = Literal["bic_mixed", "bic", "bic_patients", "aic", "ofv", "elpd"]
Censoring = Literal["m1", "m3", "m4", "m5", "m6", "m7"]
PriorKind = Literal[
    "normal", "lognormal", "logitnormal", "halfnormal", "truncatednormal", "halfcauchy",
    "exponential", "gamma", "beta", "uniform", "cauchy", "student_t", "lkj",
]  # fmt: skip


def _sentence(text: str) -> PydanticCustomError:
    # Braces are the template syntax of pydantic's own messages.
    return PydanticCustomError("sentence", "{text}", {"text": text})


def _ordered(window: list[float]) -> list[float]:
    if not 0 <= window[0] < window[1]:
        raise _sentence("should run from an earlier to a later day, both from 0, such as [0, 28]")
    return window


Window = Annotated[list[float], Field(min_length=2, max_length=2), AfterValidator(_ordered)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Table(BaseModel):
    """A table of the run file: no unknown keys, no silent conversion, frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def given(self) -> dict[str, Any]:
        """Return only the keys that are set, as plain values."""
        return self.model_dump(exclude_none=True)


class Data(Table):
    """Where the trial comes from; everything else is passed to `data.read_table`."""

    table: str | None = Field(default=None, description="CSV file, relative to the run file")
    dataset: str | None = Field(
        default=None, description="name of a data set of `cart_pkpd.datasets`"
    )
    limits: bool | None = Field(default=None, description="car22: cytokine plateaus are limits")
    subjects: str | None = Field(default=None, description="CSV file with one row per patient")
    columns: dict[str, str] | None = Field(
        default=None, description="header in the file for each role"
    )
    endpoints: str | dict[str, str] | None = Field(
        default=None, description="DVID or CMT value: endpoint; or the one endpoint of the table"
    )
    units: dict[str, str] | None = Field(default=None, description="unit of each endpoint")
    lloq: Positive | dict[str, Positive] | None = Field(
        default=None, description="LLOQ, or of each"
    )
    uloq: Positive | dict[str, Positive] | None = Field(
        default=None, description="ULOQ, or of each"
    )
    time_unit: str | None = None
    dose_unit: str | None = None
    day_one: bool | None = Field(default=None, description="the infusion is on day 1, not 0")
    align_to_dose: bool | None = Field(
        default=None, description="count time from the first infusion"
    )
    covariates: list[str] | None = Field(default=None, description="headers that are covariates")
    missing: list[str] | None = Field(default=None, description="further texts for a missing value")
    sort: bool | None = Field(default=None, description="sort the records by time")
    duplicates: Duplicates | None = None
    sep: str | None = Field(default=None, min_length=1, max_length=1)
    decimal: Literal[".", ","] | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.table is None) == (self.dataset is None):
            both = "both were given" if self.table else "neither was given"
            raise _sentence(f"needs either 'table' (a CSV file) or 'dataset' (a name); {both}")
        allowed = set(Data.model_fields) - {"limits"} if self.table else {"dataset"}
        allowed |= {"limits", "lloq"} if self.dataset == "car22" else set()
        odd = ", ".join(repr(key) for key in self.given() if key not in allowed)
        if odd:
            what = "a table" if self.table else f"the data set {self.dataset!r}"
            raise _sentence(f"names {what}, for which {odd} cannot be given")
        return self


class NcaEndpoints(Table):
    """Non-compartmental analysis; leave the table out to skip it. Any rule may be added."""

    endpoints: list[str] = Field(default=["transgene"], min_length=1)
    windows: list[Window] = Field(
        default=[[0.0, 28.0]], min_length=1, description="[day, day] of each AUC"
    )

    def rules(self) -> dict[str, Any]:
        """Return the rules of the analysis that are set."""
        return {k: v for k, v in self.given().items() if k not in NcaEndpoints.model_fields}


def _toml_type(annotation: Any) -> Any:
    """Return an annotation that takes a list where a tuple is meant: TOML has no tuples."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is tuple:
        return Annotated[annotation, Strict(False)]
    if origin is Mapping:
        return GenericAlias(dict, (str, _toml_type(inner[1])))
    if origin in (Union, UnionType):
        return functools.reduce(operator.or_, map(_toml_type, inner))
    return str | float | dict[str, str | float] if annotation is Blq else annotation


def _with_rules() -> type[NcaEndpoints]:
    """Return the [nca] table with one optional key per rule, so that rules live in one place."""
    rules: Any = {
        name: (_toml_type(annotation) | None, None)
        for name, annotation in get_type_hints(Rules).items()
    }
    made: type[NcaEndpoints] = create_model("Nca", __base__=NcaEndpoints, **rules)
    return made


if TYPE_CHECKING:
    Nca = NcaEndpoints
else:
    Nca = _with_rules()


class Sampling(Table):
    """How long the sampler runs."""

    draws: int | None = Field(default=None, ge=10, le=100_000)
    tune: int | None = Field(default=None, ge=10, le=100_000)
    chains: int | None = Field(
        default=None, ge=2, le=64, description="2 or more, or R-hat says nothing"
    )
    target_accept: float | None = Field(default=None, gt=0.5, lt=1)


class Fit(Sampling):
    """What is fitted, and how long."""

    endpoint: str | list[str] = Field(
        default="transgene", description="what is fitted, or several things in one fit"
    )
    cores: int | None = Field(default=None, ge=1)
    least_squares: bool = Field(
        default=True, description="also fit patient by patient; not with 'given_fit'"
    )
    given_fit: str | None = Field(
        default=None,
        description="a saved fit, relative to the run file, whose parameters are known for each "
        "patient (sequential fit)",
    )
    given_at: Literal["median", "mean"] | None = Field(
        default=None, description="of the draws of the fit that is given; the median by default"
    )

    @model_validator(mode="after")
    def _given_at_of_something(self) -> Self:
        if self.given_at is not None and self.given_fit is None:
            raise _sentence("has 'given_at' without 'given_fit', the fit it is of")
        return self

    @property
    def alone(self) -> bool:
        """Return whether every patient is also fitted alone."""
        return self.least_squares and self.given_fit is None

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Return what is fitted."""
        return (self.endpoint,) if isinstance(self.endpoint, str) else tuple(self.endpoint)


class Prior(Table):
    """A prior by name of its family, with its numbers or quantiles (q05: 5th percentile)."""

    kind: PriorKind
    mu: float | None = None
    median: float | None = None
    sigma: Positive | None = None
    a: Positive | None = None
    b: Positive | None = None
    lower: float | None = None
    upper: float | None = None
    low: float | None = None
    high: float | None = None
    scale: Positive | None = None
    mean: Positive | None = None
    shape: Positive | None = None
    rate: Positive | None = None
    df: Positive | None = None
    eta: Positive | None = None
    quantiles: dict[str, float] | None = Field(
        default=None, description='probability: value, instead of its numbers, {"0.05" = 10, …}'
    )
    q01: float | None = None
    q025: float | None = None
    q05: float | None = None
    q10: float | None = None
    q25: float | None = None
    q50: float | None = None
    q75: float | None = None
    q90: float | None = None
    q95: float | None = None
    q975: float | None = None
    q99: float | None = None


class CovariateTerm(Table):
    """A covariate with its form, where the automatic choice is not wanted."""

    covariate: str = Field(description="a patient-level variable of the trial")
    form: CovariateForm | None = None
    centre: float | Literal["median", "mean"] | None = Field(
        default=None, description="value at which the parameter is the typical one"
    )
    reference: str | None = Field(default=None, description="category that is the typical one")
    baseline: bool | None = Field(
        default=None, description="only its value at the infusion, if it changes in time"
    )


class PopulationKeys(Table):
    """The statistical model around a structural model."""

    iiv: list[str] | None = Field(
        default=None, description="parameters that differ between patients"
    )
    covariates: dict[str, list[str | CovariateTerm]] | None = Field(
        default=None, description="parameter: covariates"
    )
    error: ErrorModel | None = None
    errors: dict[str, ErrorModel] | None = Field(
        default=None, description="endpoint: its error, where they differ"
    )
    censoring: Censoring | None = Field(
        default=None, description="m3, or another of Beal's methods to compare with"
    )
    scale: list[str] | None = Field(
        default=None, description="endpoints whose prediction has an estimated factor"
    )
    non_expanders: bool | str | None = Field(
        default=None,
        description="true, or the parameter that marks patients whose cells do not expand",
    )
    priors: dict[str, Prior] | None = Field(
        default=None, description="prior by name, such as omega_cmax"
    )
    corr: Literal["full"] | list[list[str]] | None = Field(
        default=None, description="'full', or blocks of parameters that are correlated"
    )

    @field_validator("corr", mode="before")
    @classmethod
    def _full_or_blocks(cls, value: Any) -> Any:
        listed = isinstance(value, list) and all(isinstance(block, list) for block in value)
        if value is None or value == "full" or listed:
            return value
        shown = f'"{value}"' if isinstance(value, str) else value
        raise _sentence(
            f'= {shown} should be "full", or blocks of parameters such as [["cmax", "alpha"]]'
        )

    iov: list[str] | None = Field(
        default=None, description="parameters that differ between occasions of a patient"
    )


class Parameter(Table):
    """A parameter of a model: a prior of one's own, or a fixed value."""

    typical: float | None = Field(
        default=None, allow_inf_nan=False, description="median of its prior"
    )
    spread: Positive | None = Field(
        default=None, description="width of its prior on the search scale"
    )
    unit: str | None = Field(default=None, description="unit of `typical`, if not the model's own")
    fixed: float | None = Field(default=None, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _a_table(cls, value: Any) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            raise _sentence(
                f"= {value} may mean two things: write {{typical = {value}}} for the centre of "
                f"its prior or {{fixed = {value}}} to fix it"
            )
        return value

    @model_validator(mode="after")
    def _one_use(self) -> Self:
        if self.fixed is not None and len(self.given()) > 1:
            raise _sentence("is 'fixed', so nothing else can be given for it")
        if not self.given():
            raise _sentence("is empty: give 'typical', 'spread', 'unit' or 'fixed'")
        return self


class Changes(PopulationKeys, Sampling):
    """What makes one fit differ from another."""

    seed: int | None = Field(default=None, ge=0, lt=2**32, description="instead of the study's")
    parameters: dict[str, Parameter] = {}

    def changes(self) -> dict[str, Any]:
        """Return what is said, each value as it was read."""
        return {key: getattr(self, key) for key in Changes.model_fields if self._says(key)}

    def _says(self, key: str) -> bool:
        return key in self.model_fields_set and getattr(self, key) is not None


class Model(Changes):
    """One model to fit; what it leaves out comes from [population] and [fit]."""

    model: str | None = Field(default=None, description="name of a model of `cart_pkpd.models`")
    like: str | None = Field(default=None, description="another [models.*] table to start from")

    @model_validator(mode="after")
    def _a_start(self) -> Self:
        if (self.model is None) == (self.like is None):
            both = "both were given" if self.model else "neither was given"
            raise _sentence(f"needs either 'model' (a name) or 'like' (another table); {both}")
        return self


class AxesTable(Table):
    """Keys that are varied, each with its values; every combination is a fit.

    A key takes a list of values, or a table of values with names of one's own. A key that is
    itself a table, such as ``priors``, takes a list of whole tables, or a table of its entries,
    each varied in the same way.
    """


def _named_or_listed(kind: Any) -> Any:
    listed: Any = Annotated[GenericAlias(list, (kind,)), Field(min_length=1)]
    named: Any = Annotated[GenericAlias(dict, (str, kind)), Field(min_length=1)]
    return listed | named


def _axis_type(field: FieldInfo) -> Any:
    """Return what the values of a key look like when it is varied."""
    parts = [part for part in get_args(field.annotation) if part is not type(None)]
    kind: Any = functools.reduce(operator.or_, parts) if parts else field.annotation
    if get_origin(field.annotation) is dict:
        kind = field.annotation
    if get_origin(kind) is dict:
        entry = _named_or_listed(get_args(kind)[1])
        listed: Any = Annotated[GenericAlias(list, (kind,)), Field(min_length=1)]
        return listed | GenericAlias(dict, (str, entry))
    return _named_or_listed(Annotated[kind, *field.metadata] if field.metadata else kind)


def _with_axes() -> type[AxesTable]:
    """Return the [grid.axes] table with one optional key per key that a fit can differ in."""
    axes: Any = {
        name: (_axis_type(field) | None, Field(default=None, description=field.description))
        for name, field in Changes.model_fields.items()
    }
    made: type[AxesTable] = create_model("Axes", __base__=AxesTable, **axes)
    return made


if TYPE_CHECKING:
    Axes = AxesTable
else:
    Axes = _with_axes()


class Grid(Table):
    """Many fits from few words: models × values of keys × named variants."""

    models: list[str] | None = Field(
        default=None,
        min_length=1,
        description="[models.*] tables to vary; all by default. Others are fitted as they are",
    )
    axes: Axes = Axes()
    variants: dict[str, Changes] = Field(
        default={}, description="sets of changes by name, tried beside the model as it is"
    )
    plain: bool = Field(default=True, description="false: only with one of the variants")
    exclude: list[dict[str, str | list[str]]] = Field(
        default=[],
        description="combinations to leave out: model, axis or variant = name of its value",
    )


class Compare(Table):
    """How fits are ranked."""

    by: Literal["patient", "record"] | None = Field(
        default=None, description="what is left out in turn"
    )
    n_draws: int | None = Field(default=None, ge=10, description="posterior draws, by patient")
    n_samples: int | None = Field(
        default=None, ge=2, description="samples of each patient's parameters per draw"
    )


class Search(Table):
    """A search for the covariates and the variability of one model."""

    model: str | None = Field(
        default=None, description="the [models.*] table it begins with; the first by default"
    )
    covariates: dict[str, list[str | CovariateTerm]] | list[str | CovariateTerm] | None = Field(
        default=None, description="parameter: covariates; or covariates, with `parameters`"
    )
    parameters: list[str] | None = Field(
        default=None, description="parameters on which covariates given alone are tried"
    )
    forms: list[CovariateForm] | None = Field(default=None, description="forms to try")
    iiv: list[str] | None = Field(default=None, description="parameters that may vary")
    corr: list[list[str]] | None = Field(default=None, description="blocks that may be correlated")
    criterion: SearchCriterion | None = None
    direction: Literal["forward", "backward", "both"] | None = None
    p_add: float | None = Field(default=None, gt=0, lt=1, description="with criterion ofv")
    p_remove: float | None = Field(default=None, gt=0, lt=1, description="with criterion ofv")
    least: float | None = Field(default=None, ge=0, description="least gain of other criteria")
    max_steps: int | None = Field(default=None, ge=1)


Skipped = Literal["predictions", "vpc", "corrected", "residuals", "etas", "sensitivity", "exposure"]


class Checks(Table):
    """Checks that the report shows of each fit."""

    skip: list[Skipped] = Field(default=[], description="checks to leave out")
    by: str | None = Field(
        default=None,
        description="patient-level variable that stratifies predictive checks; by default the "
        "dose level of the prediction-corrected one where every level has enough patients",
    )
    n_draws: int | None = Field(default=None, ge=10, description="posterior draws")
    n_sims: int | None = Field(default=None, ge=10, description="simulated trials")
    prob: float | None = Field(default=None, gt=0, lt=1, description="probability of intervals")
    threshold: Positive | None = Field(
        default=None, description="from which sensitivity on a prior matters"
    )


class Report(Table):
    """How the report is headed."""

    draft: bool = Field(default=True, description="stamp it as draft")
    data_cutoff: str | None = Field(default=None, description="as it is to be printed")
    notes: list[str] = Field(default=[], description="sentences for the first page")
    details: int | None = Field(
        default=None,
        ge=0,
        description="how many fits are shown with tables and figures, best first; all by default",
    )


class RunFile(Table):
    """A whole study."""

    title: str | None = None
    seed: int = Field(default=1, ge=0, lt=2**32)
    data: Data | None = None
    grades: Grades | None = None
    nca: Nca | None = None
    fit: Fit = Fit()
    population: PopulationKeys = PopulationKeys()
    models: dict[str, Model] = {}
    grid: Grid | None = None
    endpoints: Endpoints | None = None
    dose: Dose | None = None
    operating: Operating | None = None
    simulate: Simulate | None = None
    compare: Compare = Compare()
    search: Search | None = None
    checks: Checks = Checks()
    report: Report = Report()

    @property
    def decides(self) -> bool:
        """Whether there is something to decide a dose from."""
        counted = self.dose is not None and self.dose.counts is not None
        return self.dose is not None and (self.data is not None or counted)

    @model_validator(mode="after")
    def _a_source(self) -> Self:
        counted = self.dose is not None and self.dose.counts is not None
        if self.data is not None and counted:
            raise _sentence(
                "has [data] and dose.counts: DLTs would come from two places; leave out one"
            )
        if self.data is None:
            odd = [f"[{k}]" for k in ("grades", "nca", "models", "endpoints") if getattr(self, k)]
            if odd:
                raise _sentence(f"has {', '.join(odd)}, which needs the table [data]")
            if not counted and self.operating is None and self.simulate is None:
                raise _sentence(
                    "has no [data]; without it there must be dose.counts, or simulated trials in "
                    "[operating] or patients in [simulate]"
                )
        return self
