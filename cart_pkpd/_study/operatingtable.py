"""The [operating] table of a run file: the truths, and how a simulated trial is run."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from cart_pkpd._study.dosetable import Positive, Share, _Table

Chance = Annotated[float, Field(ge=0, lt=1)]
Rates = Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=1)]
Days = Annotated[int, Field(ge=0)]


class OnsetPart(_Table):
    """One shape of the days on which DLTs occur; several are mixed by their weights."""

    shape: Literal["weibull", "beta"]
    parameters: Annotated[list[Positive], Field(min_length=2, max_length=2)] = Field(
        description="shape and scale [day] of a Weibull distribution, a and b of a beta"
    )
    first: float = Field(default=0.0, ge=0, description="first day of such DLTs")
    last: Positive | None = Field(default=None, description="last day; the end of the window")
    weight: Positive = 1.0


class RunOfTrial(_Table):
    """How a simulated trial is run; a scenario may have its own of any."""

    max_patients: int | None = Field(default=None, ge=1, le=1000)
    accrual: Positive | None = Field(default=None, description="patients per month")
    margin: Chance | None = Field(default=None, description="a level is acceptable within it")
    cohort: int | None = Field(default=None, ge=1, description="where a design has none of its own")
    stagger: Days | None = Field(default=None, description="days between infusions of a cohort")
    meeting: Days | None = Field(default=None, description="days from last outcome to decision")
    dropout: Chance | None = Field(default=None, description="leave before the window's end")
    below: Chance | None = Field(default=None, description="products below the range of a level")
    below_amount: Share | None = Field(default=None, description="their share of the dose")
    replace: bool | None = Field(default=None, description="replace who is not evaluable")
    waiting_list: bool | None = Field(default=None, description="patients wait for a place")
    start: Positive | None = Field(default=None, description="first dose")
    onset: list[OnsetPart] | None = Field(default=None, min_length=1)


class ExposureTruth(_Table):
    """True P(DLT) that follows from CAR-T exposure, as ``dose.ExposureToxicity``."""

    model: str = Field(description="name of a model of `cart_pkpd.models`")
    metric: Literal["cmax", "auc"]
    intercept: float = Field(allow_inf_nan=False, description="log odds of a DLT at `reference`")
    slope: float = Field(allow_inf_nan=False, description="of the log odds, per e-fold exposure")
    reference: Positive = Field(description="exposure, in the unit of the metric")
    endpoint: str | None = Field(default=None, description="where the model has several")
    params: dict[str, float] | None = Field(
        default=None, description="typical values instead of the model's"
    )
    iiv: dict[str, float] | None = Field(
        default=None, description="SD between patients on the free scale, instead of the model's"
    )
    dose_power: dict[str, float] | None = Field(
        default=None, description="parameter: power of dose / dose_reference that multiplies it"
    )
    dose_reference: Positive | None = None
    dose_scale: Positive | None = Field(
        default=None, description="from the unit of the levels to that of the model's dose"
    )
    window: Positive | None = Field(default=None, description="end of exposure [day]")
    patients: int | None = Field(default=None, ge=1, le=1_000_000, description="averaged over")


class ScenarioTable(RunOfTrial):
    """One truth with what is different about its trials."""

    p: Rates | str | ExposureTruth = Field(
        description="true P(DLT) by level, a standard scenario by name, or what makes it follow "
        "exposure"
    )
    p_below: Rates | None = Field(default=None, description="true P(DLT) of products below")

    def run(self) -> dict[str, Any]:
        """Return what is different about the run of these trials."""
        return {k: v for k, v in self.given().items() if k != "p"}


class Operating(RunOfTrial):
    """Operating characteristics of the designs of [dose]; leave the table out to skip them."""

    target: Share = Field(description="DLT probability that the trial seeks")
    trials: int = Field(default=10_000, ge=2, le=1_000_000, description="of each pair")
    designs: list[str] | None = Field(
        default=None, min_length=1, description="[dose.designs.*] tables; all by default"
    )
    pending: Literal["design", "wait"] = Field(
        default="design", description="'wait': designs that use follow-up wait like the others"
    )
    scenarios: Literal["standard"] | list[str] | dict[str, str | Rates | ScenarioTable] = Field(
        default="standard",
        description="by name: P(DLT) by level, a standard scenario, or a table; or names alone",
    )

    def run(self) -> dict[str, Any]:
        """Return how every trial is run."""
        own = self.given()
        return {k: own[k] for k in RunOfTrial.model_fields if k in own}
