"""Who counts where: expectations are the protocol's rules, worked by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

from cart_pkpd import datasets, dose
from cart_pkpd._core.errors import DataError, UnitError

LEVELS = dose.Levels((1e6, 3e6, 1e7), "cells", within=(0.7, 1.3))


def trial(**columns) -> xr.Dataset:
    """A trial of six patients, two per level, without a DLT unless said otherwise."""
    n = 6
    given = {
        "dose_level": [1e6, 1e6, 3e6, 3e6, 1e7, 1e7],
        "dlt": np.zeros(n),
        **{k: v for k, v in columns.items() if k != "amount"},
    }
    amount = columns.get("amount", given["dose_level"])
    ids = [f"P{i}" for i in range(1, n + 1)]
    out = xr.Dataset(
        {k: ("id", np.asarray(v, dtype=float)) for k, v in given.items()}, coords={"id": ids}
    )
    out["amount"] = ("dosing", np.asarray(amount, dtype=float), {"units": "cells"})
    return out.assign_coords(dose_patient=("dosing", ids), dose_time=("dosing", np.zeros(n)))


NAN = np.nan


def test_the_bundled_trial_is_counted_as_its_readme_says(fast01):
    found = dose.data(fast01, levels=(*LEVELS.doses, 3e7))
    # README of fast01: none at the two low doses, 1 of 6 at 1e7 in escalation, 2 of 6 at 3e7; in
    # the expansion of 12 at 1e7 one more; F01-010 died on day 20 without a DLT.
    assert found.treated.tolist() == [3, 3, 18, 6]
    assert found.n.tolist() == [3, 3, 17, 6]
    assert found.dlts.tolist() == [0, 0, 2, 2]
    assert found.exclusions().index.tolist() == ["F01-010"]
    assert found.current == 2
    assert "No range" in found.notes[0]


def test_a_dose_below_its_range_is_not_evaluable_there_but_informative():
    found = dose.data(trial(amount=[1e6, 0.5e6, 3e6, 3e6, 1e7, 1.4e7]), levels=LEVELS)
    assert found.n.tolist() == [1, 2, 1]
    assert found.observations()[0].tolist() == [1e6, 0.5e6, 3e6, 3e6, 1e7, 1.4e7]
    reasons = found.exclusions()["reason"]
    assert "below the range 7×10⁵–1.3×10⁶ cells" in reasons["P2"]
    assert "above the range" in reasons["P6"]


def test_a_late_dlt_is_recorded_but_not_counted():
    found = dose.data(trial(dlt=[0, 0, 1, 1, 0, 0], dlt_day=[NAN, NAN, 28, 29, NAN, NAN]),
                      levels=LEVELS)  # fmt: skip
    assert found.dlts.tolist() == [0, 1, 0]
    assert found.n.tolist() == [2, 2, 2]
    assert "day 29, after the window of 28 days" in found.exclusions().loc["P4", "reason"]
    wide = dose.data(trial(dlt=[0, 0, 1, 1, 0, 0], dlt_day=[NAN, NAN, 28, 29, NAN, NAN]),
                     levels=LEVELS, window=42)  # fmt: skip
    assert wide.dlts.tolist() == [0, 2, 0]


def test_a_dlt_after_withdrawal_and_an_early_withdrawal_are_listed():
    found = dose.data(
        trial(
            dlt=[0, 0, 1, 1, 0, 0], dlt_day=[NAN, NAN, 20, 5, NAN, NAN],
            last_contact_day=[400, 27, 10, 9, 28, 28],
        ),
        levels=LEVELS,
    )  # fmt: skip
    assert found.dlts.tolist() == [0, 1, 0]  # P4, whose DLT came before the last contact
    assert found.n.tolist() == [1, 1, 2]
    reasons = found.exclusions()["reason"]
    assert set(reasons.index) == {"P2", "P3"}
    assert "reported after the last contact on day 10" in reasons["P3"]
    assert "Last contact on day 27" in reasons["P2"]


def test_as_of_leaves_later_patients_out_and_others_pending():
    asked = trial(
        dlt=[0, 0, 1, 1, 0, 0], dlt_day=[NAN, NAN, 10, 20, NAN, NAN],
        infusion_day=[0, 14, 28, 42, 56, 70],
    )  # fmt: skip
    found = dose.data(asked, levels=LEVELS, as_of=56)
    # On day 56: P4 was infused 14 days ago and its DLT of day 20 is not there yet; P5 today.
    assert [p.id for p in found.patients] == ["P1", "P2", "P3", "P4", "P5"]
    assert found.n.tolist() == [2, 1, 0]
    assert found.dlts.tolist() == [0, 1, 0]
    assert found.pending.tolist() == [0, 1, 1]
    assert found.follow_up(1).tolist() == [14.0]
    assert found.follow_up(2).tolist() == [0.0]
    assert "1 patients infused after day 56" in " ".join(found.notes)
    days = dict(zip([p.id for p in found.patients], found.observations()[2], strict=True))
    assert days["P4"] == 14
    with pytest.raises(DataError, match="infusion_day"):
        dose.data(trial(), levels=LEVELS, as_of=56)


def test_a_patient_who_will_not_be_evaluable_is_pending_before():
    asked = trial(
        dlt_evaluable=[1, 1, 1, 1, 1, 0], last_contact_day=[90, 90, 90, 90, 90, 20],
        infusion_day=[0, 10, 20, 30, 40, 50],
    )  # fmt: skip
    before = dose.data(asked, levels=LEVELS, as_of=60)
    assert before.patients[-1].pending
    assert before.patients[-1].followed == 10
    after = dose.data(asked, levels=LEVELS, as_of=75)
    assert not after.patients[-1].evaluable
    assert not after.patients[-1].pending


def test_patients_come_in_order_of_infusion():
    found = dose.data(trial(infusion_day=[50, 40, 30, 20, 10, 0]), levels=LEVELS)
    assert [p.id for p in found.patients] == ["P6", "P5", "P4", "P3", "P2", "P1"]
    assert found.current == 0
    assert found.last_cohort() == (2, 0)


def test_not_evaluable_by_the_table_even_with_a_dlt_is_flagged():
    found = dose.data(
        trial(dlt=[0, 0, 1, 0, 0, 0], dlt_day=[NAN, NAN, 3, NAN, NAN, NAN],
              dlt_evaluable=[1, 0, 0, 1, 1, 1]),
        levels=LEVELS,
    )  # fmt: skip
    assert found.n.tolist() == [1, 1, 2]
    assert "although a DLT is recorded" in found.exclusions().loc["P3", "reason"]
    flags = dose.BOIN(0.25).recommend(found).flags
    assert any("counts nowhere, of P3: recorded as not evaluable" in f for f in flags)


def test_doses_per_kg_are_reached_by_weight():
    per_kg = dose.Levels((1e4, 3e4, 1e5), "cells/kg", within=(0.8, 1.2))
    asked = trial(
        dose_level=[1e4, 1e4, 3e4, 3e4, 1e5, 1e5], amount=[5e5, 6e5, 1.5e6, 3e6, 5e6, 5e6],
        weight=[50.0] * 6,
    )  # fmt: skip
    found = dose.data(asked, levels=per_kg)
    assert found.frame()["amount"].tolist() == [1e4, 1.2e4, 3e4, 6e4, 1e5, 1e5]
    assert found.n.tolist() == [2, 1, 2]
    with pytest.raises(UnitError, match="different kinds"):
        dose.data(asked, levels=dose.Levels((1e4, 3e4, 1e5), "mg"))


def test_infusions_in_parts_are_added_up_within_the_window():
    asked = trial()
    twice = xr.concat([asked["amount"], asked["amount"]], "dosing")
    asked = asked.drop_dims("dosing")
    asked["amount"] = twice * 0.5
    asked["amount"].attrs["units"] = "cells"
    asked = asked.assign_coords(
        dose_patient=("dosing", [f"P{i}" for i in range(1, 7)] * 2),
        dose_time=("dosing", [0.0] * 6 + [1.0] * 5 + [90.0]),
    )
    found = dose.data(asked, levels=dose.Levels((1e6, 3e6, 1e7), "cells", (0.9, 1.1)))
    assert found.n.tolist() == [2, 2, 1]  # P6 was treated again on day 90: only half a dose counts
    assert "added up: P1, P2, P3, P4, P5" in " ".join(found.notes)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (
            {"dose_level": [1e6, 2e6, 3e6, 3e6, 1e7, 1e7]},
            "'P2'.*2×10⁶ cells is not a planned dose level",
        ),
        ({"dlt": [0, 2, 0, 0, 0, 0]}, "'P2' has dlt = 2"),
        ({"dlt_day": [5, NAN, NAN, NAN, NAN, NAN]}, "'P1' has a DLT on day 5 but dlt = 0"),
        (
            {"dlt": [1, 0, 0, 0, 0, 0], "dlt_day": [-2, NAN, NAN, NAN, NAN, NAN]},
            "before the infusion",
        ),
        ({"amount": [1e6, -1, 3e6, 3e6, 1e7, 1e7]}, "'P2' was given -1"),
        ({"last_contact_day": [-3, 30, 30, 30, 30, 30]}, "'P1' was last seen on day -3"),
    ],
)
def test_what_cannot_be_true_is_refused_with_its_patient(columns, said):
    with pytest.raises(DataError, match=said) as caught:
        dose.data(trial(**columns), levels=LEVELS)
    assert all(p.patient for p in caught.value.problems)


def test_levels_that_are_labels_are_refused():
    asked = trial(dose_level=[1, 1, 2, 2, 3, 3], amount=[1e6, 1e6, 3e6, 3e6, 1e7, 1e7])
    with pytest.raises(DataError, match="as if levels were labels"):
        dose.data(asked)


def test_designs_take_a_trial_as_it_is(fast01):
    levels = (1e6, 3e6, 1e7, 3e7)
    design = dose.BLRM(levels, reference=1e7, prior=dose.BivariateNormal((-1, 0), (2, 1), 0),
                       intervals=(0.16, 0.33)) & dose.EWOC(0.33, 0.25)  # fmt: skip
    for one in (design, dose.BOIN(0.25)):
        found = one.recommend(fast01)
        assert found.to_dict() == one.recommend(dose.data(fast01, levels=levels)).to_dict()


def test_a_trial_without_dlt_is_refused(fast01):
    with pytest.raises(DataError, match="no patient-level variable 'dlt'"):
        dose.data(fast01.drop_vars("dlt"))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: dose.counts({1e6: (4, 3)}, levels=[1e6]), "4 DLTs are more than 3 patients"),
        (lambda: dose.counts({1e6: (-1, 3)}, levels=[1e6]), "-1 is not a count"),
        (lambda: dose.counts({1e6: (0.5, 3)}, levels=[1e6]), "0.5 is not a count"),
        (lambda: dose.counts({2e6: (0, 3)}, levels=[1e6]), "not a planned dose level"),
        (lambda: dose.counts({}, levels=[3e6, 1e6]), "not above level 1 \\(3×10⁶ cells\\)"),
        (lambda: dose.counts({}, levels=[1e6, 1e6]), "rising order"),
        (lambda: dose.counts({}, levels=[0.0, 1e6]), "must be above 0"),
        (lambda: dose.counts({}, levels=[]), "no dose levels"),
        (lambda: dose.counts({}, levels=[1e6], window=0), "longer than 0"),
        (lambda: dose.counts({}, levels=[1e6], pending={1e6: [30]}), "0 to 28 days"),
        (lambda: dose.Levels((1e6,), "cells", within=(1.1, 1.3)), "must hold 1"),
    ],
)
def test_impossible_counts_and_levels_are_refused(call, said):
    with pytest.raises(DataError, match=said):
        call()


def test_counts_make_patients_in_order_and_the_last_dose_is_current():
    found = dose.counts({3e6: (1, 6), 1e6: (0, 3)}, levels=LEVELS, pending={1e6: [7.0]})
    assert found.n.tolist() == [3, 6, 0]
    assert found.dlts.tolist() == [0, 1, 0]
    assert found.pending.tolist() == [1, 0, 0]
    assert found.current == 0
    assert dose.counts({1e6: (0, 3)}, levels=LEVELS, current=3e6).current == 1
    assert dose.counts({}, levels=LEVELS).current is None
    rate = found.table()["rate"]
    assert rate[2] == pytest.approx(1 / 6)
    assert np.isnan(rate[3])


def test_a_decision_is_plain_data_and_shows_itself():
    found = dose.counts({1e6: (0, 3)}, levels=LEVELS)
    decision = dose.BOIN(0.25).recommend(found)
    first = dose.BOIN(0.25).recommend(dose.counts({}, levels=LEVELS))
    assert first.sentence.startswith("Start at 1×10⁶ cells. No patient yet")
    plain = json.loads(json.dumps(decision.to_dict(), allow_nan=False))
    assert plain["dose"] == 3e6
    assert plain["action"] == "escalate"
    assert [row["level"] for row in plain["table"]] == [1, 2, 3]
    assert plain["table"][2]["rate"] is None
    assert "<b>Escalate to 3×10⁶ cells.</b>" in decision._repr_html_()
    assert str(decision).startswith("Escalate to 3×10⁶ cells. 0 DLT of 3 at the current dose")


@pytest.mark.parametrize("words", [("Y", "N"), ("yes", "no"), ("1", "0")])
def test_dlts_may_be_written_as_yes_and_no(words):
    plain = datasets.load("fast01")
    said = plain.assign(dlt=("id", np.where(plain["dlt"] == 1, *words)))
    assert dose.data(said).table().equals(dose.data(plain).table())


def test_a_dlt_that_is_no_flag_is_told_with_its_patient():
    plain = datasets.load("fast01")
    said = plain.assign(dlt=("id", np.where(np.arange(plain.sizes["id"]) == 1, "perhaps", "0")))
    who = str(plain["id"].values[1])
    with pytest.raises(DataError, match=f"'perhaps' for patient {who}.*1 or 0, Y or N"):
        dose.data(said)
    with pytest.raises(DataError, match="give a trial"):
        dose.data(None)


def test_a_dlt_without_a_day_counts_and_is_flagged():
    seen = dose.data(
        trial(dlt=[0, 0, 1, 0, 0, 1], dlt_day=[NAN, NAN, NAN, NAN, NAN, 4]), levels=LEVELS
    )
    assert seen.dlts.tolist() == [0, 1, 1]
    flag = "The day of the DLT of patient P3 is not known; it counts as within 28 days."
    assert seen.doubts == (flag,)
    assert flag in dose.BOIN(0.3).recommend(seen).flags


@pytest.mark.parametrize("within", [None, (0.7, 1.3)])
def test_a_dose_far_off_the_planned_one_points_at_the_unit(within):
    levels = dose.Levels(LEVELS.doses, "cells", within=within)
    seen = dose.data(trial(amount=[1e6, 1e6, 3e4, 3e6, 1e7, 1e7]), levels=levels)
    assert seen.n.tolist() == ([2, 2, 2] if within is None else [2, 1, 2])
    flags = " ".join(dose.BOIN(0.3).recommend(seen).flags)
    assert "3×10⁴ cells is more than 10-fold off the planned 3×10⁶ cells; look at the unit" in flags
    assert "informative for a curve" not in flags
