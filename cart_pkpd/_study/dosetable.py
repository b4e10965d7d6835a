"""The [dose] table of a run file: levels, designs with their targets, priors and rules."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, lt=1)]


def _sentence(text: str) -> PydanticCustomError:
    return PydanticCustomError("sentence", "{text}", {"text": text})


def _rising(values: list[float]) -> list[float]:
    if values[0] >= values[1]:
        raise _sentence("should be two rising numbers, such as [0.16, 0.33]")
    return values


Pair = Annotated[list[Share], Field(min_length=2, max_length=2), AfterValidator(_rising)]
Two = Annotated[list[float], Field(min_length=2, max_length=2)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def given(self) -> dict[str, Any]:
        """Return only the keys that are set, as plain values."""
        return self.model_dump(exclude_none=True)


class DesignTable(_Table):
    """One design; its other keys are the arguments of the class of that name in `dose`."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    design: Literal[
        "BLRM", "BOIN", "TITEBOIN", "CRM", "TITECRM", "MTPI", "MTPI2", "Keyboard", "TPI",
        "ThreePlusThree",
    ]  # fmt: skip
    rules: list[dict[str, Any]] = Field(
        default=[], description='{rule = "EWOC", threshold = 0.33, bound = 0.25}, …'
    )

    @property
    def arguments(self) -> dict[str, Any]:
        """Return the keys that belong to the design's class."""
        return dict(self.model_extra or {})


class CountTable(_Table):
    """Patients and DLTs of one dose."""

    dose: Positive
    n: int = Field(ge=0, description="patients with a complete outcome")
    dlt: int = Field(ge=0, description="patients with a DLT among them")
    pending: list[Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(
        default=[], description="days of follow-up of patients still inside the window"
    )

    @model_validator(mode="after")
    def _a_part(self) -> Self:
        if self.dlt > self.n:
            raise _sentence(
                f"has dlt = {self.dlt} of n = {self.n} patients; there cannot be more DLTs than "
                "patients"
            )
        return self


class ChainTable(_Table):
    """The chain from dose to DLT; leave the table out to skip it."""

    reference: Positive = Field(description="dose d* of the coefficients")
    intercept: Two = Field(description="mean and SD of the log odds of a DLT at d*")
    limits: Pair = Field(description="ends of the target interval of P(DLT)")
    cytokines: list[str] | None = None
    draws: int | None = Field(default=None, ge=10, le=100_000)
    tune: int | None = Field(default=None, ge=10, le=100_000)
    chains: int | None = Field(default=None, ge=2, le=64)


class BelowTable(_Table):
    """The rule that may recommend a dose below the MTD of one design."""

    design: str = Field(description="the [dose.designs.*] table whose MTD and P(over) are taken")
    benefit: Literal["exposure", "response"] = "exposure"
    share: Share = Field(description="part of the benefit at the MTD that is enough")
    certainty: Share = Field(description="least probability of it")
    fewest: int | None = Field(default=None, ge=1, description="evaluable patients of a dose")
    prior: Two | None = Field(default=None, description="of a response rate: a and b of its beta")

    @model_validator(mode="after")
    def _a_prior(self) -> Self:
        if self.benefit == "response" and self.prior is None:
            raise _sentence("takes response, so it needs 'prior', such as [0.5, 0.5]")
        return self


class Dose(_Table):
    """Dose selection; leave the table out to skip it."""

    levels: list[Positive] = Field(min_length=1, description="planned doses, rising")
    unit: str = Field(default="cells", description="of the doses: cells, or cells/kg")
    within: Two | None = Field(
        default=None, description="amounts that count for a level, as multiples of its dose"
    )
    window: Positive = Field(default=28.0, description="DLT window [day]")
    as_of: float | None = Field(default=None, description="day of the trial of the decision")
    counts: str | list[CountTable] | None = Field(
        default=None,
        description="patients and DLTs by dose in order of treatment, instead of [data]: "
        "[{dose = 1e6, n = 3, dlt = 0}, …], or a CSV file with columns dose, n, dlt",
    )
    current: Positive | None = Field(
        default=None, description="with counts: dose of the latest patients, by default the last"
    )
    ask: Literal["next", "mtd"] = Field(
        default="next", description="the dose of the next cohort, or the MTD at the end"
    )
    cohort: int | None = Field(
        default=None,
        ge=1,
        description="patients of the next cohort, for scenarios; by default that of a design's "
        "CohortSize rule, else 3",
    )
    endpoint: str = Field(default="transgene", description="cells whose exposure is taken")
    metric: Literal["cmax", "auc0_28"] = "cmax"
    response: str | None = Field(
        default=None, description="CSV file with columns id and best_response"
    )
    prior: Two = Field(
        default=[1.0, 1.0], description="a and b of the beta of each dose's own DLT rate"
    )
    designs: dict[str, DesignTable] = Field(min_length=1)
    chain: ChainTable | None = None
    below: BelowTable | None = None

    @model_validator(mode="after")
    def _known_design(self) -> Self:
        if self.below is not None and self.below.design not in self.designs:
            known = ", ".join(self.designs)
            raise _sentence(
                f"has below.design = \"{self.below.design}\", which is not one of its designs: "
                f"{known}"
            )  # fmt: skip
        return self

    @model_validator(mode="after")
    def _counts_alone(self) -> Self:
        if self.counts is None:
            if self.current is not None:
                raise _sentence("has 'current', which goes with 'counts' only")
            return self
        needs = ("as_of", "within", "response", "chain", "below")
        odd = [repr(key) for key in needs if getattr(self, key) is not None]
        if odd:
            raise _sentence(
                f"has 'counts' and {', '.join(odd)}, which needs the patients of a trial table"
            )
        return self
