"""The [simulate] table of a run file: virtual patients, and where they are written."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]
Days = Annotated[list[Annotated[float, Field(ge=0, allow_inf_nan=False)]], Field(min_length=1)]


def _sentence(text: str) -> PydanticCustomError:
    return PydanticCustomError("sentence", "{text}", {"text": text})


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def given(self) -> dict[str, Any]:
        """Return only the keys that are set, as plain values."""
        return self.model_dump(exclude_none=True)


class LeavingTable(_Table):
    """When patients leave: a rate, or the share gone by a day."""

    hazard: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    share: Share | None = None
    day: Positive | None = None
    shape: Positive | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.hazard is None) == (self.share is None):
            raise _sentence("needs either 'hazard' (per day), or 'share' and 'day'")
        if (self.share is None) != (self.day is None):
            raise _sentence("needs 'share' and 'day' together")
        return self


class OutcomeTable(_Table):
    """An outcome whose odds follow from dose or exposure."""

    intercept: float | list[float] = Field(description="log odds at the reference; one per grade")
    slope: float | None = Field(default=None, description="per factor e of dose or exposure")
    by: Literal["dose", "cmax", "auc"] | None = None
    endpoint: str | None = None
    reference: Positive | None = None
    window: Annotated[int, Field(gt=0)] | None = None


class ResidualTable(_Table):
    """A residual error with its numbers."""

    error: Literal["lognormal", "student_t", "proportional", "additive", "combined"]
    sigma_log: Positive | None = None
    sigma_add: Positive | None = None
    sigma_prop: Positive | None = None


class CovariateTable(_Table):
    """Categories with their shares, or a distribution by the name of its kind."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    shares: dict[str, Annotated[float, Field(ge=0, le=1)]] | None = None
    kind: str | None = Field(default=None, description="such as lognormal, with median and sigma")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.shares is None) == (self.kind is None):
            raise _sentence("needs either 'shares' (of categories) or 'kind' (of a distribution)")
        return self


class Simulate(_Table):
    """Virtual patients for `cart-pkpd simulate`; their seed is that of the run file."""

    model: str | None = Field(default=None, description="name of a model of `cart_pkpd.models`")
    fit: str | None = Field(default=None, description="a saved fit, relative to the run file")
    n: Annotated[int, Field(ge=1)] = Field(description="patients (of each trial)")
    trials: Annotated[int, Field(ge=1)] | None = None
    uncertainty: Literal["patient", "trial", "none"] | None = None
    values: dict[str, float] | None = Field(
        default=None, description="population quantity: value, such as omega_cmax"
    )
    times: Days | dict[str, Days] | None = Field(
        default=None, description="days of the samples, or of each endpoint"
    )
    visit_window: Annotated[float, Field(ge=0)] = Field(
        default=0.0, description="days by which visits move"
    )
    missed: Share = Field(default=0.0, description="probability that a visit does not take place")
    doses: Positive | list[Positive] | dict[str, int] | None = Field(
        default=None, description='one, several in turn, or {"1e6" = 3, "1e7" = 6}'
    )
    infusions: list[list[float]] | None = Field(
        default=None, description="[day, share of the dose] of each"
    )
    inputs: dict[str, list[list[float]]] | None = Field(
        default=None, description="co-medication: [day, value] of each change"
    )
    covariates: dict[str, float | CovariateTable] | None = None
    subjects: str | None = Field(
        default=None, description="CSV file of patients whose covariates are drawn"
    )
    error: Positive | dict[str, Positive | ResidualTable] | bool | None = Field(
        default=None, description="SD of ln, or of each endpoint; false for none"
    )
    lloq: Positive | dict[str, Positive] | None = None
    uloq: Positive | dict[str, Positive] | None = None
    dropout: LeavingTable | None = None
    death: LeavingTable | None = None
    follow_up: Positive | None = None
    outcomes: dict[str, OutcomeTable] | None = None
    window: Annotated[list[float], Field(min_length=2, max_length=2)] | None = Field(
        default=None, description="[day, day] of the exposure"
    )
    endpoints: list[str] | None = None
    chunk: Annotated[int, Field(ge=1)] | None = None
    out: str | None = Field(default=None, description=".nc or .zarr, relative to the run file")

    @model_validator(mode="after")
    def _a_source(self) -> Self:
        if (self.model is None) == (self.fit is None):
            both = "both were given" if self.model else "neither was given"
            raise _sentence(f"needs either 'model' (a name) or 'fit' (a saved fit); {both}")
        if self.covariates and self.subjects:
            raise _sentence("has both 'covariates' and 'subjects'; give one of them")
        return self
