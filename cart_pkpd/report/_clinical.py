"""The section on clinical endpoints: the answer first, then response, survival, exposure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cart_pkpd import plots
from cart_pkpd._endpoints.exposure import ExposureResponse
from cart_pkpd._endpoints.survival import KaplanMeier
from cart_pkpd._endpoints.tables import RESPONSES
from cart_pkpd.plots import _text
from cart_pkpd.report._blocks import (
    Attached,
    Block,
    Bullets,
    Details,
    Facts,
    Row,
    Section,
    Text,
    picture,
)
from cart_pkpd.report._endpoints import (
    CENSORING,
    DENOMINATORS,
    EndpointFindings,
    NotDone,
    months,
    outcome_words,
    share,
    share_of,
)
from cart_pkpd.report._tables import Column, Table, Value, from_frame, plain

_LONG = {"PFS": "progression-free survival", "OS": "overall survival", "DOR": "response"}
_RESPONSE_WORDS = {"NON-CR/NON-PD": "Non-CR/non-PD", "MISSING": "No assessment"}
_CHOICES = {
    "lesions": "Lesion records", "followup": "Follow-up", "unit": "Unit of diameters",
    "measurable": "Measurable at baseline: diameter, short axis of a node [mm]",
    "baseline_window": "Longest time from baseline to infusion [day]",
    "day_one": "The infusion is day 1 in the tables",
    "date_back": "Equivocal progression, confirmed later, counts from its first day",
    "nodes_return": "A target node of 10 mm again after CR is PD",
    "confirmation_days": "Least time to confirm CR and PR [day]",
    "min_sd_days": "Least time from the start to SD that counts [day]",
    "allow_ne": "NE allowed between a response and its confirmation",
    "allow_sd": "SD allowed between a PR and its confirmation",
    "response": "Response beside exposure and dose", "censoring": "Censoring of PFS",
    "missed": "Assessments missed in a row that censor (0: no such rule)",
    "schedule": "Planned assessments [day]",
    "window": "Assessments may be early or late by [day]",
    "progression": "Progression by", "clinical": "Clinical progression is an event",
    "cutoff": "Data cut-off besides the follow-up's [day]",
    "denominator": "Denominator of rates", "interval": "Intervals of rates by dose",
    "prob": "Probability of intervals", "months": "Milestones [month]",
    "landmark": "Landmark of PFS by response [day]",
}  # fmt: skip
_EXPOSURES = {"cmax": "Cmax", "auc0_28": "AUC0–28d"}
_WORDS = {
    **CENSORING, **_EXPOSURES, "ml": "maximum likelihood", "bayes": "Bayes",
    "recist": "RECIST 1.1", "clopper-pearson": "Clopper–Pearson, exact",
    "dlt_evaluable": "evaluable for DLT", "response_evaluable": "evaluable for response",
    "crs": "CRS", "icans": "ICANS", "pfs": "PFS", "os": "OS",
}  # fmt: skip
_LAST = 1e300  # sorts all patients behind every dose
_EXPOSURE_CHOICES = {
    "endpoint": "cells", "metrics": "exposures", "outcomes": "outcomes",
    "crs_at_least": "CRS from grade", "icans_at_least": "ICANS from grade",
    "covariates": "beside", "landmark": "PFS and OS from day", "method": "method",
    "prob": "probability of intervals",
}  # fmt: skip


def section(found: EndpointFindings | NotDone | None) -> Section | None:
    """Return the section on clinical endpoints, or None where none were asked for."""
    if found is None:
        return None
    if isinstance(found, NotDone):
        return Section("endpoints", "Clinical endpoints", tuple(_not_done(found)))
    parts = [_response(found), _survival(found), _course(found), _exposure(found), _records(found)]
    blocks: list[Block] = [Text(text, "warn") for text in found.warnings]
    return Section(
        "endpoints", "Clinical endpoints", tuple(blocks), tuple(p for p in parts if p is not None)
    )


def _not_done(found: NotDone) -> list[Block]:
    blocks: list[Block] = [Text(f"Not derived. {found.said()}", "warn")]
    if found.problems:
        columns = (
            Column("patient", "Patient", kind="text"), Column("row", "Row", kind="count"),
            Column("column", "Column", kind="text"), Column("message", "Problem", kind="text"),
        )  # fmt: skip
        rows = tuple({c.key: getattr(p, c.key) for c in columns} for p in found.problems)
        title = "What is wrong with the records"
        blocks.append(Table("endpoint_problems", title, columns, rows))
    return blocks


# --- response ------------------------------------------------------------------------------------


def _response(found: EndpointFindings) -> Section:
    confirmed = found.choices["response"] == "confirmed"
    blocks: list[Block] = [
        _rates(found),
        Attached(from_frame(found.rates, "response_rates_numbers", "Response rates in numbers")),
        _best_counts(found),
        Row(_response_pictures(found)),
    ]
    if "DOR" in found.curves:
        text = f"Duration of {'confirmed' if confirmed else 'unconfirmed'} response: "
        row = found.curves["DOR"].summary.iloc[0]
        text += f"{months(row['median'], row['median_lower'], row['median_upper'])}, "
        text += f"{int(row['events'])} of {int(row['n'])} responses ended."
        blocks.append(Text(text))
    return Section("endpoints-response", "Response by RECIST 1.1", tuple(blocks))


def _response_pictures(found: EndpointFindings) -> tuple[Block, Block]:
    lines = f"lines at +20 and −30{_text.THIN}%"
    return (
        picture(
            "endpoints_waterfall",
            lambda: plots.waterfall(found.best, found.trial, by=found.by),
            caption=f"Best change of the sum of diameters from the baseline; {lines}.",
            alt="Waterfall plot: one bar per patient from the largest growth to the largest "
            "shrinkage, coloured by dose level.",
        ),
        picture(
            "endpoints_spider",
            lambda: plots.spider(found.timepoints, found.trial, by=found.by),
            caption=f"Change of the sum of diameters of every patient over time; {lines}.",
            alt="Spider plot: change from the baseline against time, one line per patient, "
            "coloured by dose level.",
        ),
    )


def _groups(found: EndpointFindings) -> list[tuple[str, str, float]]:
    """Return key, name and dose of every group of the rates, all patients last."""
    unit = _text.dose_unit(found.trial) if found.by else ""
    keys = list(dict.fromkeys(found.rates["group"]))
    return [
        (k, "All patients", _LAST) if k == "all" else (k, _text.dose(float(k), unit), float(k))
        for k in keys
    ]


def _rates(found: EndpointFindings) -> Table:
    columns = [
        Column("group", "Dose level", kind="text", sort_by="dose"), Column("n", "n", kind="count")
    ]  # fmt: skip
    kind = str(found.choices["response"])
    shown = {
        "orr": ("ORR, confirmed", "ORR", True), "orr_u": ("ORR, unconfirmed", "ORR", False),
        "cr": ("CR, confirmed", "CR rate", True),
        "dcr": (f"DCR, {kind}", "DCR", kind == "confirmed"),
    }  # fmt: skip
    columns += [Column(k, label, kind="text") for k, (label, _, _) in shown.items()]
    rows = []
    for key, name, dose in _groups(found):
        row: dict[str, Value] = {"group": name, "dose": dose}
        for k, (_, measure, confirmed) in shown.items():
            one = found.rate(measure, confirmed, key)
            row |= {"n": int(one.n), k: share_of(one).replace(f" of {one.n:.0f}", "")}
        rows.append(row)
    who, level = DENOMINATORS[found.choices["denominator"]], _text.percent(found.choices["prob"])
    how = {
        "clopper-pearson": "exact (Clopper–Pearson)",
        "beta-binomial": "by dose the posterior of each on its own, of all patients exact",
        "hierarchical": "by dose the posterior with dose levels that borrow from each other, of "
        "all patients exact",
    }[found.choices["interval"]]
    notes = (
        f"Patients with the response, and their share; {level} intervals, {how}. n: {who}s.",
        "ORR: CR or PR. DCR: CR, PR, SD or non-CR/non-PD.",
    )
    return Table("response_rates", "Response rates by dose level", tuple(columns), tuple(rows),
                 notes=notes)  # fmt: skip


def _best_counts(found: EndpointFindings) -> Table:
    best, patients = found.best.set_index("id"), found.trial["id"].values.astype(str)
    levels = found.trial[found.by].values if found.by else np.zeros(len(patients))
    kinds = [r for r in RESPONSES if (best[["best", "confirmed"]] == r).any(axis=None)]
    columns = [
        Column("group", "Dose level", kind="text", sort_by="dose"),
        Column("n", "Infused", kind="count"),
        *(Column(r, _RESPONSE_WORDS.get(r, r), kind="count") for r in kinds),
        Column("upgraded", "Not confirmed", kind="text"),
    ]
    rows: list[Mapping[str, Value]] = []
    for key, name, dose in _groups(found):
        own = best.loc[patients if key == "all" else patients[levels == dose]]
        lost = own.index[own["best"].isin(["CR", "PR"]) & (own["best"] != own["confirmed"])]
        rows.append(
            {"group": name, "dose": dose, "n": len(own), "upgraded": ", ".join(lost) or "none",
             **{r: int((own["confirmed"] == r).sum()) for r in kinds}}
        )  # fmt: skip
    return Table("best_responses", "Confirmed best overall response", tuple(columns), tuple(rows),
                 notes=("Not confirmed: patients with a CR or PR that no later assessment "
                        "confirmed.",))  # fmt: skip


# --- survival ------------------------------------------------------------------------------------


def _survival(found: EndpointFindings) -> Section:
    blocks: list[Block] = []
    drawn: list[Block] = []
    by_level: list[Block] = []
    for name in ("PFS", "OS"):
        whole = found.curves.get(name)
        if whole is None:
            blocks.append(Text(f"{name}: no patient has a time.", "reason"))
            continue
        by_dose = found.curves_by_dose.get(name)
        blocks.append(_curve_table(found, name, whole, by_dose))
        drawn.append(_kaplan_meier(found, whole, name.lower(), f"{_LONG[name]} of all patients"))
        if by_dose is not None:
            by_level.append(_kaplan_meier(found, by_dose, f"{name.lower()}_by_dose",
                                          f"{_LONG[name]} by dose level"))  # fmt: skip
        if name == "PFS":
            blocks += [Text(_ends(found.times[name])), Text(found.other_sentence())]
    blocks.append(Row(tuple(drawn)))
    if by_level:
        blocks.append(Details("PFS and OS by dose level", (Row(tuple(by_level)),)))
    if found.by_response is not None:
        blocks += _landmark(found, found.by_response)
    return Section("endpoints-survival", "Progression-free and overall survival", tuple(blocks))


def _ends(times: pd.DataFrame) -> str:
    """Return how many times end with what, in a sentence."""
    said = []
    for event, what in ((True, "Events"), (False, "Censored")):
        counts = times.loc[times["event"] == event, "reason"].value_counts()
        listed = ", ".join(f"{n} {reason}" for reason, n in counts.items()) or "nobody"
        said.append(f"{what}: {listed}.")
    return " ".join(said)


def _kaplan_meier(found: EndpointFindings, km: KaplanMeier, key: str, what: str) -> Block:
    unit = _text.dose_unit(found.trial) if found.by else "cells"
    return picture(
        f"endpoints_km_{key}", lambda: plots.survival(km, unit=unit),
        caption=f"{_text.sentence(what)}, Kaplan–Meier; patients at risk below.",
        alt=f"Kaplan–Meier curve of {what} against months, numbers at risk below.",
    )  # fmt: skip


def _curve_table(
    found: EndpointFindings, name: str, whole: KaplanMeier, by_dose: KaplanMeier | None
) -> Table:
    kind = f", {CENSORING[found.choices['censoring']]} censoring" if name == "PFS" else ""
    columns = [
        Column("group", "Dose level", kind="text", sort_by="dose"),
        Column("n", "n", kind="count"), Column("events", _EVENTS[name], kind="count"),
        Column("median_text", "Median", sort_by="median"),
        *(Column(f"at_{m:g}", f"At {m:g} months", sort_by=f"survival_{m:g}")
          for m in found.choices["months"]),
    ]  # fmt: skip
    if name == "OS":  # that of PFS ends with the progression, so it says little
        columns.append(Column("follow_up_text", "Follow-up", sort_by="follow_up"))
    rows: list[Mapping[str, Value]] = []
    reasons: dict[tuple[int, str], str] = {}
    unit = _text.dose_unit(found.trial) if found.by else ""
    for km in (by_dose, whole):
        for one in () if km is None else km.summary.to_dict("records"):
            assert km is not None
            dose = _LAST if km is whole else float(one["group"])
            row, why = _curve_row(km, one)
            reasons |= {(len(rows), key): text for key, text in why.items()}
            label = "All patients" if km is whole else _text.dose(dose, unit)
            rows.append({"group": label, "dose": dose, **row})
    level = _text.percent(whole.confidence)
    notes = (
        f"Kaplan–Meier; medians in months with {level} intervals (NR: not reached), shares with "
        f"log(−log) intervals{'; follow-up by reverse Kaplan–Meier' if name == 'OS' else ''}.",
    )
    title = f"{_text.sentence(_LONG[name])}{kind}"
    return Table(f"{name.lower()}_by_dose", title, tuple(columns), tuple(rows), remarks=reasons,
                 notes=notes)  # fmt: skip


_EVENTS = {"PFS": "Events", "OS": "Deaths"}


def _curve_row(km: KaplanMeier, one: Mapping[Any, Any]) -> tuple[dict[str, Value], dict[str, str]]:
    """Return the numbers of one group as text and as values, and why some are missing."""
    row: dict[str, Value] = {
        "n": int(one["n"]), "events": int(one["events"]), "median": plain(one["median"]),
        "median_text": _months(one, "median"), "follow_up": plain(one["follow_up"]),
        "follow_up_text": _months(one, "follow_up"),
    }  # fmt: skip
    why = {}
    if np.isnan(one["follow_up"]):
        why["follow_up_text"] = str(one["follow_up_reason"])
    if np.isnan(one["median"]):
        why["median_text"] = str(one["reason"])
    rows = km.estimates[km.estimates["group"] == one["group"]]
    for e in rows.itertuples():
        row[f"at_{e.month:g}"] = share(e.survival, e.lower, e.upper)
        row[f"survival_{e.month:g}"] = plain(e.survival)
        if np.isnan(e.survival):
            why[f"at_{e.month:g}"] = str(e.reason)
    return row, why


def _months(one: Mapping[Any, Any], key: str) -> str:
    if np.isnan(one[key]):
        low = one[f"{key}_lower"]
        return "NR" if np.isnan(low) else f"NR ({low:.1f}–NR)"
    return months(one[key], one[f"{key}_lower"], one[f"{key}_upper"]).replace(" months", "")


def _landmark(found: EndpointFindings, km: KaplanMeier) -> list[Block]:
    day = found.choices["landmark"]
    note = (
        f"PFS from day {day:g} on of those at risk then, by response seen until then, confirmed "
        "or not, as a later confirmation was not known. Compared from the infusion, responders "
        "would be favoured, as they had to live and be free of progression to respond."
    )
    drawn = picture(
        "endpoints_km_landmark", lambda: plots.survival(km, start=f"day {day:g}"),
        caption=f"Progression-free survival from day {day:g} on, by response until then.",
        alt="Kaplan–Meier curves of responders and the others from the landmark on.",
    )  # fmt: skip
    return [Details(f"PFS by response until day {day:g}", (Text(note), drawn))]


# --- every patient -------------------------------------------------------------------------------


def _course(found: EndpointFindings) -> Section:
    confirmed = found.choices["response"] == "confirmed"
    blocks: list[Block] = [
        picture(
            "endpoints_swimmer",
            lambda: plots.swimmer(found.followup, found.best, found.trial, by=found.by,
                                  confirmed=confirmed),
            caption="Time from the infusion to the last contact of every patient, with what "
            "happened" + ("; first response of those that were confirmed." if confirmed else "."),
            alt="Swimmer plot: one bar per patient from the infusion to the last contact, with "
            "marks for response, progression and death.",
        ),
        Details("Every patient: best response and the rule that decided", (_patients(found),)),
        Details("Every patient: PFS and OS and the rule that decided", (_times(found),)),
    ]  # fmt: skip
    return Section("endpoints-patients", "Every patient", tuple(blocks))


def _dose_column(found: EndpointFindings) -> tuple[Column, ...]:
    if not found.by:
        return ()
    return (Column("dose_level", "Dose level", _text.dose_unit(found.trial), "dose"),)


def _doses(found: EndpointFindings) -> dict[str, float]:
    if not found.by:
        return {}
    ids = found.trial["id"].values.astype(str)
    return dict(zip(ids, found.trial[found.by].values.astype(float), strict=True))


def _patients(found: EndpointFindings) -> Table:
    doses = _doses(found)
    columns = (
        Column("id", "Patient", kind="text"), *_dose_column(found),
        Column("confirmed", "Best response, confirmed", kind="text"),
        Column("confirmed_reason", "Rule", kind="text"),
        Column("best", "Unconfirmed", kind="text"),
        Column("best_pct", "Best change", "%", "decimal"),
    )  # fmt: skip
    rows = tuple(
        {"id": r["id"], "dose_level": doses.get(r["id"]),
         "confirmed": _RESPONSE_WORDS.get(r["confirmed"], r["confirmed"]),
         "confirmed_reason": r["confirmed_reason"],
         "best": _RESPONSE_WORDS.get(r["best"], r["best"]),
         "best_pct": plain(r["best_pct"])}
        for r in found.best.to_dict("records")
    )  # fmt: skip
    return Table("endpoints_best_response", "Best overall response of every patient", columns, rows)


def _times(found: EndpointFindings) -> Table:
    doses, os = _doses(found), found.times["OS"].set_index("id").to_dict("index")
    columns = [Column("id", "Patient", kind="text"), *_dose_column(found)]
    for key in ("pfs", "os"):
        columns += [
            Column(key, key.upper(), "month", "decimal"),
            Column(f"{key}_state", f"{key.upper()} ends with", kind="text"),
            Column(f"{key}_rule", "Rule", kind="text"),
        ]
    rows = []
    for r in found.times["PFS"].to_dict("records"):
        row: dict[str, Value] = {"id": r["id"], "dose_level": doses.get(r["id"])}
        for key, one in (("pfs", r), ("os", os[r["id"]])):
            row |= {
                key: plain(one["months"]), f"{key}_rule": one["rule"],
                f"{key}_state": "event" if one["event"] else "censored",
            }  # fmt: skip
        rows.append(row)
    return Table("endpoints_times", "PFS and OS of every patient", tuple(columns), tuple(rows))


# --- exposure ------------------------------------------------------------------------------------


def _exposure(found: EndpointFindings) -> Section | None:
    asked = found.choices["exposure_response"]
    if not found.exposure:
        return None
    blocks: list[Block] = [Text(_exposure_sentence(found)), _ratios(found)]
    blocks += [Text(text, "warn") for text in (*found.few(), *_unconverged(found))]
    said: dict[str, None] = {}
    drawn: list[Block] = []
    folded: list[Block] = []
    for (outcome, metric), one in found.exposure.items():
        if isinstance(one, str):
            continue
        what = f"{outcome_words(outcome, found.choices)} by {_EXPOSURES[metric]}"
        place = folded if one.kind == "survival" else drawn
        place.append(_drawn(one, f"{outcome}_{metric}", what))
        said |= dict.fromkeys(_plain_notes(one))
    blocks.append(Row(tuple(drawn)))
    if folded:
        blocks.append(Details("Survival by exposure", (Row(tuple(folded)),)))
    details: list[Block] = [Text(note) for note in said]
    sensitivity = _sensitivity(found)
    if sensitivity is not None:
        details.append(sensitivity)
    if details:
        blocks.append(Details("Who was used, and without truncated exposures", tuple(details)))
    beside = f", beside {', '.join(asked['covariates'])}" if asked["covariates"] else ""
    return Section("endpoints-exposure", f"Exposure–response{beside}", tuple(blocks))


def _exposure_sentence(found: EndpointFindings) -> str:
    asked = found.choices["exposure_response"]
    how = "maximum likelihood" if asked["method"] == "ml" else "Bayes, Normal(0, 1) per factor e"
    return (
        f"Ratio per doubling of the exposure ({how}, {_text.percent(asked['prob'])} intervals). "
        "Exposure is measured after treatment, and treatment of toxicity may change it: a ratio "
        "is an association, not what a higher dose would do."
    )


def _unconverged(found: EndpointFindings) -> list[str]:
    """Return which ratios come from draws that did not converge, and how far off these are."""
    return [
        f"{outcome_words(outcome, found.choices)} by {_EXPOSURES[metric]}: "
        f"{one.fit.verdict.sentence}"
        for (outcome, metric), one in found.exposure.items()
        if not isinstance(one, str) and one.method == "bayes" and not one.fit.verdict.ok
    ]


def _plain_notes(one: ExposureResponse) -> list[str]:
    """Return notes but for the count of events, which the table has, in words of the page."""
    notes = [n.replace("see .sensitivity", "the table shows the ratio without") for n in one.notes]
    return [_text.sentence(n) for n in notes if " patients had " not in n]


def _drawn(one: ExposureResponse, key: str, what: str) -> Block:
    return picture(
        f"endpoints_er_{key}", lambda: plots.exposure_response(one),
        caption=f"{what}: fitted curve with its interval, shares observed in quarters of the "
        "exposure, and every patient."
        if one.curve is not None
        else f"{what}: Kaplan–Meier curves of quarters of the exposure.",
        alt=f"{what}, with every patient and quarters of the exposure.",
    )  # fmt: skip


def _level(found: EndpointFindings) -> str:
    """Return the level of the intervals of ratios: ``95 %``."""
    made = [one for one in found.exposure.values() if not isinstance(one, str)]
    return f"{100 * float(made[0].ratios['prob'].iloc[0]):g} %" if made else ""


def _ratios(found: EndpointFindings) -> Table:
    level = _level(found)
    columns = (
        Column("outcome", "Outcome", kind="text"), Column("exposure", "Exposure", kind="text"),
        Column("n", "Patients", kind="count"), Column("events", "With outcome", kind="count"),
        Column("kind", "Ratio per doubling", kind="text"), Column("estimate", "Estimate"),
        Column("lower", f"Lower {level}".strip()), Column("upper", f"Upper {level}".strip()),
    )  # fmt: skip
    odds = found.odds()
    rows = tuple(
        {**{c.key: plain(r[c.key]) for c in columns},
         "outcome": outcome_words(str(r["outcome"]), found.choices),
         "exposure": _EXPOSURES[str(r["exposure"])]}
        for r in odds.to_dict("records")
    )  # fmt: skip
    reasons = {(i, "estimate"): why for i, why in enumerate(odds["reason"]) if why}
    return Table("exposure_response", "Outcome by exposure: ratio per doubling", columns, rows,
                 reasons=reasons)  # fmt: skip


def _sensitivity(found: EndpointFindings) -> Table | None:
    parts = [
        one.sensitivity.assign(
            outcome=outcome_words(key[0], found.choices), exposure=_EXPOSURES[key[1]]
        )
        for key, one in found.exposure.items()
        if not isinstance(one, str) and len(one.sensitivity)
    ]
    if not parts:
        return None
    level = _level(found)
    columns = (
        Column("outcome", "Outcome", kind="text"), Column("exposure", "Exposure", kind="text"),
        Column("patients", "Patients", kind="text"), Column("n", "n", kind="count"),
        Column("estimate", "Ratio per doubling"), Column("lower", f"Lower {level}".strip()),
        Column("upper", f"Upper {level}".strip()),
    )  # fmt: skip
    rows = pd.concat(parts, ignore_index=True).to_dict("records")
    reasons = {(i, "estimate"): str(r["reason"]) for i, r in enumerate(rows) if r["reason"]}
    made = tuple({c.key: plain(r[c.key]) for c in columns} for r in rows)
    return Table("exposure_sensitivity", "With and without exposures cut short", columns, made,
                 reasons=reasons)  # fmt: skip


# --- records and rules ---------------------------------------------------------------------------


def _records(found: EndpointFindings) -> Section:
    n = found.timepoints["id"].nunique()
    scans = int((~found.timepoints["baseline"]).sum())
    first = (
        f"{_text.count(scans, 'assessment')} of {_text.count(n, 'patient')} after the baseline; no "
        "record was refused"
    )
    text = f"{first}, none warned of." if not found.warnings else f"{first}; warned of:"
    blocks: list[Block] = [Text(text)]
    if found.warnings:
        blocks.append(Bullets(tuple(("", w) for w in found.warnings)))
    blocks.append(Details("Every rule of this analysis", (Facts(tuple(_choices(found))),)))
    return Section("endpoints-records", "Records and rules", tuple(blocks))


def _choices(found: EndpointFindings) -> list[tuple[str, str]]:
    said = [(text, _said(found.choices[key])) for key, text in _CHOICES.items()]
    asked = found.choices["exposure_response"]
    if asked is None:
        return [*said, ("Exposure–response", "not asked for")]
    return [
        *said,
        *((f"Exposure–response: {t}", _said(asked[k])) for k, t in _EXPOSURE_CHOICES.items()),
    ]


def _said(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_said, value)) or "none"
    return _WORDS.get(str(value), str(value).replace("_", " "))
