"""What the section on clinical endpoints is written from, and its answers in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from cart_pkpd._core.errors import Problem
from cart_pkpd._endpoints.exposure import ExposureResponse
from cart_pkpd._endpoints.survival import KaplanMeier
from cart_pkpd._endpoints.tables import MISSING, NE
from cart_pkpd.plots import _text

DENOMINATORS = {
    "infused": "infused patient", "dlt_evaluable": "DLT-evaluable patient",
    "response_evaluable": "response-evaluable patient",
}  # fmt: skip
CENSORING = {"fda": "FDA-type", "ema": "EMA-type"}
EVENTS = {"PFS": "event", "OS": "death", "DOR": "event"}
FEW = 10  # events per predictor below which a regression is called rough
NOT_REACHED = "not reached"

type Exposures = Mapping[tuple[str, str], ExposureResponse | str]
"""(outcome, metric): the regression, or why there is none."""


@dataclass(frozen=True, eq=False)
class EndpointFindings:
    """Clinical endpoints of a trial.

    Attributes
    ----------
    trial : xr.Dataset
    followup, timepoints, best : DataFrame
        From ``endpoints.read_followup``, ``recist`` and ``best_response``.
    times : mapping of str to DataFrame
        ``"PFS"``, ``"OS"``, ``"DOR"`` and ``"TTR"``: times to event.
    other_pfs : DataFrame
        PFS under the other way of censoring.
    rates : DataFrame
        From ``endpoints.orr``, with and without confirmation.
    curves, curves_by_dose : mapping of str to KaplanMeier
        By endpoint; of all patients, and by dose level.
    by_response : KaplanMeier or None
        PFS from a landmark on, by response until then.
    exposure : mapping
        (outcome, metric): from ``endpoints.exposure_response``, or why there is none.
    counted : Series of bool
        By patient: whether he or she is in the denominator.
    by : str or None
        Variable of the trial that divides the patients.
    choices : mapping
        Every rule of the analysis by its key in the run file.
    warnings : tuple of str
        What was said about the records.
    """

    trial: xr.Dataset
    followup: pd.DataFrame
    timepoints: pd.DataFrame
    best: pd.DataFrame
    times: Mapping[str, pd.DataFrame]
    other_pfs: pd.DataFrame
    rates: pd.DataFrame
    curves: Mapping[str, KaplanMeier]
    curves_by_dose: Mapping[str, KaplanMeier]
    by_response: KaplanMeier | None
    exposure: Exposures
    counted: pd.Series
    by: str | None
    choices: Mapping[str, Any]
    warnings: tuple[str, ...] = ()

    @property
    def response(self) -> str:
        """Column of `best` that counts beside exposure and dose."""
        return "confirmed" if self.choices["response"] == "confirmed" else "best"

    def responses(self) -> pd.DataFrame:
        """Return ``id`` and ``best_response`` of the denominator, for ``dose.activity``.

        A patient without an assessment did not respond, as NE.
        """
        own = self.best[self.best["id"].map(self.counted)]
        text = own[self.response].replace(MISSING, NE)
        return pd.DataFrame({"id": own["id"], "best_response": text}).reset_index(drop=True)

    def differing(self) -> list[str]:
        """Return the patients whose PFS the other way of censoring changes."""
        own, other = self.times["PFS"].set_index("id"), self.other_pfs.set_index("id")
        other = other.reindex(own.index)
        same = (own["time"] == other["time"]) & (own["event"] == other["event"])
        return [str(i) for i in own.index[~same]]

    def odds(self) -> pd.DataFrame:
        """Return one row per outcome and exposure: the ratio per doubling, or why there is none."""
        return pd.DataFrame([_ratio(*key, one) for key, one in self.exposure.items()])

    def frames(self) -> dict[str, pd.DataFrame]:
        """Return every table of numbers by name."""
        out = {
            "timepoints": self.timepoints, "best_response": self.best, "rates": self.rates,
            **{k.lower(): t for k, t in self.times.items()},
            f"pfs_{self.other_pfs.attrs['censoring']}": self.other_pfs,
        }  # fmt: skip
        for part, name in (("curve", "km"), ("summary", "medians"), ("estimates", "milestones")):
            out[name] = pd.concat(
                [getattr(km, part).assign(endpoint=km.endpoint, by=km.by or "all patients")
                 for km in (*self.curves.values(), *self.curves_by_dose.values())],
                ignore_index=True,
            )  # fmt: skip
        if self.by_response is not None:
            out["km_by_response"] = self.by_response.curve
            out["medians_by_response"] = self.by_response.summary
        if self.exposure:
            out["exposure_response"] = self.odds()
        return out

    def numbers(self) -> dict[str, Any]:
        """Return choices, answers and headline numbers as plain data."""
        whole = self.rates[self.rates["group"] == "all"]
        return {
            "choices": dict(self.choices),
            "answers": [f"{lead} {text}" for lead, text in self.answers()],
            "rates": whole.to_dict("records"),
            "medians": {k: c.summary.iloc[0].to_dict() for k, c in self.curves.items()},
            "milestones": {k: c.estimates.to_dict("records") for k, c in self.curves.items()},
            "exposure_response": self.odds().to_dict("records"),
            "differ_by_censoring": self.differing(),
            "warnings": list(self.warnings),
        }

    def answers(self) -> list[tuple[str, str]]:
        """Return the answers in sentences, each with its lead."""
        said = [("Response:", self._response())]
        if "PFS" in self.curves:
            kind = CENSORING[self.choices["censoring"]]
            said.append(("PFS:", f"{_course(self.curves['PFS'])}; {kind} censoring."))
        if "OS" in self.curves:
            said.append(("OS:", f"{_course(self.curves['OS'])}; {_followed(self.curves['OS'])}."))
        if "DOR" in self.curves:
            n = int(self.curves["DOR"].summary["n"].iloc[0])
            whose = f"of {_text.count(n, f'{self.choices["response"]} response')}"
            said.append(("Duration of response:", f"{median_of(self.curves['DOR'])} {whose}."))
        return said

    def _response(self) -> str:
        said = []
        for confirmed, measure, name in (
            (True, "ORR", "confirmed ORR"), (False, "ORR", "unconfirmed ORR"),
            (self.response == "confirmed", "DCR", f"{self.choices['response']} DCR"),
        ):  # fmt: skip
            said.append(f"{name} {share_of(self.rate(measure, confirmed))}")
        n = int(self.rate("ORR", True).n)
        who = _text.count(n, DENOMINATORS[self.choices["denominator"]])
        level = _text.percent(self.rates.attrs["prob"])
        missing = int((self.best["best"] == MISSING).sum())
        none = f" {_text.count(missing, 'patient')} without assessment after the baseline."
        return f"{'; '.join(said)}; {who}, exact {level} intervals.{none if missing else ''}"

    def rate(self, measure: str, confirmed: bool, group: str = "all") -> Any:
        """Return one row of `rates`."""
        r = self.rates
        found = r[
            (r["measure"] == measure)
            & (r["confirmed_responses"] == confirmed)
            & (r["group"] == group)
        ]
        return next(found.itertuples(index=False))

    def other_sentence(self) -> str:
        """Return in a sentence what the other way of censoring would make of PFS."""
        from cart_pkpd._endpoints.survival import kaplan_meier

        own, other = self.times["PFS"], self.other_pfs
        names = [CENSORING[t.attrs["censoring"]] for t in (own, other)]
        rule = {
            "ema": "new therapy and missed assessments do not censor",
            "fda": "new therapy and two missed assessments censor",
        }[other.attrs["censoring"]]
        if self.choices["missed"] not in (0, 2) and other.attrs["censoring"] == "fda":
            rule = f"new therapy and {self.choices['missed']} missed assessments censor"
        km = kaplan_meier(other, confidence=self.curves["PFS"].confidence)
        who = self.differing()
        start = f"Under {names[1]} censoring ({rule}) "
        if not who:
            return f"{start}the PFS of every patient is the same as under {names[0]} censoring."
        events = [_text.count(int(t["event"].sum()), "event") for t in (own, other)]
        return (
            f"{start}PFS differs for {_text.count(len(who), 'patient')} ({', '.join(who)}): "
            f"{events[1]} instead of {events[0]}, {median_of(km)} instead of "
            f"{median_of(self.curves['PFS'])}."
        )

    def few(self) -> tuple[str, ...]:
        """Return for each outcome with few events a sentence of caution."""
        said: dict[str, None] = {}
        for key, one in self.exposure.items():
            if isinstance(one, str):
                continue
            least = min(one.events, one.n - one.events) if one.kind == "logistic" else one.events
            if least < FEW * len(one.terms):
                what = (
                    "the prior weighs heavily" if one.method == "bayes"
                    else "the interval is rough, and the ratio tends to be too far from 1"
                )  # fmt: skip
                name = outcome_words(key[0], self.choices)
                said[f"{name}: {one.events} of {one.n} patients, few events: {what}."] = None
        return tuple(said)


@dataclass(frozen=True)
class NotDone:
    """Why there are no endpoints.

    Attributes
    ----------
    sentence : str
    problems : tuple of Problem
        Everything that is wrong with the records.
    """

    sentence: str
    problems: tuple[Problem, ...] = field(default=())

    def answers(self) -> list[tuple[str, str]]:
        """Return why there is no answer."""
        return [("Clinical endpoints:", f"not derived. {self.said()}")]

    def said(self) -> str:
        """Return the first problem in a sentence, and how many more the page lists."""
        if not self.problems:
            return self.sentence
        first, *more = self.problems
        text = f"{first.message[:1].upper()}{first.message[1:]}"
        if not more:
            return text
        others = _text.count(len(more), "further problem")
        return f"{text} {others} {'is' if len(more) == 1 else 'are'} in the table of problems."

    def numbers(self) -> dict[str, Any]:
        """Return the problems as plain data."""
        return {"problems": [vars(p) for p in self.problems]}


def outcome_words(outcome: str, choices: Mapping[str, Any]) -> str:
    """Return an outcome in words."""
    asked = choices["exposure_response"]
    return {
        "response": f"{_text.sentence(choices['response'])} response (CR or PR)",
        "crs": f"CRS grade ≥ {asked['crs_at_least']}",
        "icans": f"ICANS grade ≥ {asked['icans_at_least']}",
    }.get(outcome, outcome.upper())


def _ratio(outcome: str, metric: str, one: ExposureResponse | str) -> dict[str, Any]:
    """Return the ratio per doubling of one regression; NaN with the reason."""
    row: dict[str, Any] = {"outcome": outcome, "exposure": metric}
    if isinstance(one, str):
        nothing = dict.fromkeys(("n", "events", "estimate", "lower", "upper"), np.nan)
        return {**row, "kind": "", **nothing, "reason": one, "notes": ""}
    first = one.ratios.iloc[0]
    return {
        **row, "kind": first["kind"], "n": one.n, "events": one.events,
        **{k: float(first[k]) for k in ("estimate", "lower", "upper")},
        "reason": str(first.get("reason", "")), "notes": " ".join(one.notes),
    }  # fmt: skip


def share(rate: float, lower: float, upper: float) -> str:
    """Return a share with its interval in percent: ``"20.0 % (7.7–38.6)"``."""
    if np.isnan(rate):
        return _text.MISSING
    ends = "" if np.isnan(lower) else f" ({_whole(lower)}–{_whole(upper)})"
    return f"{_whole(rate)}{_text.THIN}%{ends}"


def _whole(value: float) -> str:
    return f"{100 * value:.1f}" if 0 < value < 1 else f"{100 * value:.0f}"


def share_of(row: Any) -> str:
    """Return a row of rates: ``"6 of 30, 20.0 % (7.7–38.6)"``."""
    if not row.n:
        return "nobody in the denominator"
    return f"{row.x:.0f} of {row.n:.0f}, {share(row.rate, row.lower, row.upper)}"


def months(median: float, lower: float, upper: float) -> str:
    """Return a median with its interval: ``"4.1 months (2.2–6.1)"``."""
    if np.isnan(median):
        low = "" if np.isnan(lower) else f" (from {lower:.1f} months)"
        return f"{NOT_REACHED}{low}"
    ends = ["NR" if np.isnan(v) else f"{v:.1f}" for v in (lower, upper)]
    return f"{median:.1f} months ({ends[0]}–{ends[1]})"


def median_of(km: KaplanMeier) -> str:
    """Return the median of all patients in words."""
    row = km.summary.iloc[0]
    return f"median {months(row['median'], row['median_lower'], row['median_upper'])}"


def _course(km: KaplanMeier) -> str:
    row = km.summary.iloc[0]
    events = _text.count(int(row["events"]), EVENTS[km.endpoint])
    said = [
        f"{share(e['survival'], e['lower'], e['upper'])} at {e['month']:g} months"
        if not np.isnan(e["survival"])
        else f"not known at {e['month']:g} months, as {e['reason']}"
        for e in km.estimates.to_dict("records")
    ]
    return f"{median_of(km)}, {events} of {int(row['n'])} patients; {'; '.join(said)}"


def _followed(km: KaplanMeier) -> str:
    row = km.summary.iloc[0]
    ends = (row["follow_up"], row["follow_up_lower"], row["follow_up_upper"])
    if np.isnan(ends[0]):
        return f"median follow-up {row['follow_up_reason']}"
    return f"median follow-up {months(*ends)} by reverse Kaplan–Meier"
