"""The [endpoints] table of a run file: lesions, follow-up, and every rule of the analysis."""

from __future__ import annotations

import itertools
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from cart_pkpd._study.dosetable import Positive, Share, Two, _sentence, _Table

NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Outcome = Literal["response", "crs", "icans", "pfs", "os"]


def _rising(days: list[float]) -> list[float]:
    if any(b <= a for a, b in itertools.pairwise(days)):
        raise _sentence("should be rising days, such as [28, 61, 91]")
    return days


def _different(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise _sentence("names one thing twice; leave one of them out")
    return names


class Grades(_Table):
    """CRS and ICANS graded by ASTCT from records; they replace grades of the trial's own."""

    vitals: str | None = Field(
        default=None, description="CSV file of vital signs and interventions, for CRS"
    )
    neurology: str | None = Field(
        default=None, description="CSV file of neurological records, for ICANS"
    )
    vitals_columns: dict[str, str] | None = Field(
        default=None, description="header in the file for each column, where not recognised"
    )
    neurology_columns: dict[str, str] | None = Field(
        default=None, description="header in the file for each column, where not recognised"
    )
    episode_gap: Positive | None = Field(
        default=None, description="days without CRS after which fever is required anew"
    )
    day_one: bool | None = Field(default=None, description="the infusion is on day 1, not 0")

    @model_validator(mode="after")
    def _of_something(self) -> Self:
        if self.vitals is None and self.neurology is None:
            raise _sentence("is empty: give 'vitals', 'neurology' or both, each a CSV file")
        for key in ("vitals", "neurology"):
            if getattr(self, key) is None and getattr(self, f"{key}_columns") is not None:
                raise _sentence(f"has '{key}_columns' without '{key}', the file they are of")
        return self


class ExposureTable(_Table):
    """What is asked about exposure; leave the table out to skip it."""

    endpoint: str = Field(default="transgene", description="cells whose exposure is taken")
    metrics: Annotated[list[Literal["cmax", "auc0_28"]], AfterValidator(_different)] = Field(
        default=["cmax", "auc0_28"], min_length=1
    )
    outcomes: Annotated[list[Outcome], AfterValidator(_different)] = Field(
        default=["response", "crs", "pfs"], min_length=1
    )
    crs_at_least: int = Field(default=2, ge=1, le=5, description="grade that counts as CRS")
    icans_at_least: int = Field(default=1, ge=1, le=5, description="grade that counts as ICANS")
    covariates: Annotated[list[str], AfterValidator(_different)] = Field(
        default=[], description="patient-level variables beside the exposure, on a log scale"
    )
    landmark: NotNegative = Field(
        default=28.0, description="day from which PFS and OS count, when the exposure is known"
    )
    method: Literal["ml", "bayes"] = Field(
        default="ml", description="maximum likelihood, or with priors where events are few"
    )
    prob: Share = Field(default=0.95, description="probability of the intervals of ratios")


class Endpoints(_Table):
    """Clinical endpoints; leave the table out to skip them.

    A key that is left out has the default of the function in ``cart_pkpd.endpoints``.
    """

    lesions: str | None = Field(
        default=None, description="CSV file of lesion records; that of the data set by default"
    )
    followup: str | None = Field(
        default=None, description="CSV file of the follow-up; that of the data set by default"
    )
    lesion_columns: dict[str, str] | None = Field(
        default=None, description="header in the file for each column, where not recognised"
    )
    followup_columns: dict[str, str] | None = Field(
        default=None, description="header in the file for each column, where not recognised"
    )
    day_one: bool | None = Field(default=None, description="the infusion is on day 1, not 0")
    unit: Literal["mm", "cm"] | None = Field(default=None, description="of the diameters")
    measurable: Two | None = Field(
        default=None, description="least diameter, and short axis of a node, at baseline [mm]"
    )
    baseline_window: Positive | None = Field(
        default=None, description="longest time from baseline to infusion without a warning [day]"
    )

    date_back: bool | None = Field(
        default=None, description="equivocal progression counts from the day it was first seen"
    )
    nodes_return: bool | None = Field(
        default=None, description="a target node of 10 mm again after CR is progression"
    )
    confirmation_days: NotNegative | None = None
    min_sd_days: NotNegative | None = Field(
        default=None, description="least day of an assessment of SD that counts"
    )
    allow_ne: int | None = Field(
        default=None, ge=0, description="most NE between a response and its confirmation"
    )
    allow_sd: int | None = Field(
        default=None, ge=0, description="most SD between a PR and its confirmation"
    )
    response: Literal["confirmed", "unconfirmed"] = Field(
        default="confirmed", description="which response counts beside exposure and dose"
    )

    censoring: Literal["fda", "ema"] | None = None
    missed: int | None = Field(
        default=None, ge=0, description="assessments missed in a row that censor; 0: no such rule"
    )
    schedule: Annotated[list[Finite], AfterValidator(_rising)] | None = Field(
        default=None, min_length=2, description="planned days of the assessments"
    )
    window: NotNegative | None = Field(
        default=None, description="days by which an assessment may be early or late"
    )
    progression: Literal["recist", "investigator"] | None = None
    clinical: bool | None = Field(default=None, description="clinical progression is an event")
    cutoff: Positive | None = Field(
        default=None,
        description="data cut-off: last day of every patient that counts, beside the follow-up's",
    )

    denominator: Literal["infused", "dlt_evaluable", "response_evaluable"] | None = None
    interval: Literal["clopper-pearson", "beta-binomial", "hierarchical"] | None = Field(
        default=None, description="of the rates by dose; that of all patients is exact"
    )
    prob: Share = Field(default=0.95, description="probability of the intervals")
    months: Annotated[list[Positive], AfterValidator(_rising)] = Field(
        default=[6.0, 12.0], min_length=1, description="milestones of PFS and OS"
    )
    landmark: Positive | None = Field(
        default=None, description="day that divides patients by response, for PFS from then on"
    )
    exposure_response: ExposureTable | None = None
