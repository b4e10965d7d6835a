"""The example trials: the bundled simulation against its truth, and the fetched patients."""

from __future__ import annotations

import copy
import hashlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import solve_ivp

from cart_pkpd import data, datasets
from cart_pkpd._core import units
from cart_pkpd._core.errors import DataError
from cart_pkpd._core.names import CYTOKINES
from cart_pkpd.datasets import simulate_fast01
from cart_pkpd.datasets._fast01 import bundle, cytokines, kinetics, tables

TRUTH = datasets.truth()


def read(name: str) -> pd.DataFrame:
    """Read a bundled CSV without the package."""
    return pd.read_csv(bundle.FOLDER / f"{name}.csv", na_values=["."], keep_default_na=False)


@pytest.fixture(scope="module")
def records() -> pd.DataFrame:
    return read("records")


@pytest.fixture(scope="module")
def observed(records: pd.DataFrame) -> pd.DataFrame:
    return records[(records["EVID"] == 0) & (records["MDV"] == 0)]


@pytest.fixture(scope="module")
def lesions() -> pd.DataFrame:
    return read("lesions")


@pytest.fixture(scope="module")
def followup() -> pd.DataFrame:
    return read("followup").set_index("ID")


@pytest.fixture(scope="module")
def trials() -> list[dict[str, pd.DataFrame]]:
    """Six simulated trials: 180 patients."""
    return [simulate_fast01.simulate(seed) for seed in range(6)]


# --- finding and loading -------------------------------------------------------------------------


def test_names_and_path() -> None:
    assert datasets.names() == ["fast01", "car22"]
    assert datasets.path("fast01").name == "records.csv"
    assert datasets.path("fast01").is_file()


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: datasets.load("fast1"), "Did you mean 'fast01'"),
        (lambda: datasets.load("car22"), r"use datasets.fetch\('car22'\)"),
        (lambda: datasets.fetch("fast01"), r"use datasets.load\('fast01'\)"),
        (lambda: datasets.fetch("car20"), "Did you mean 'car22'"),
        (lambda: datasets.load("fast01", table="lesion"), "Did you mean 'lesions'"),
        (lambda: datasets.path("nothing"), "Known: 'fast01'"),
    ],
)
def test_unknown_names_are_named(call, sentence) -> None:
    with pytest.raises(DataError, match=sentence):
        call()


def test_the_trial_loads(fast01, observed) -> None:
    assert fast01.sizes["id"] == 30
    assert fast01.sizes["dosing"] == 30
    # every observation in the table that has a value is in the Dataset, and no other
    assert fast01.sizes["obs"] == len(observed)
    assert set(data.endpoints(fast01)) == {"transgene", "car_cells", *CYTOKINES}
    assert sorted(set(fast01["dose_level"].values)) == [1e6, 3e6, 1e7, 3e7]
    assert fast01.attrs["time_unit"] == "day"


def test_the_trial_keeps_censoring_and_events(fast01, records, observed) -> None:
    kinds = pd.Series(fast01["censoring"].values).value_counts()
    assert kinds["left"] == (observed["CENS"] == 1).sum()
    assert kinds["right"] == (observed["CENS"] == -1).sum()
    events = pd.Series(fast01["event_name"].values).value_counts().to_dict()
    assert events == records.loc[records["EVID"] == 2, "DVID"].value_counts().to_dict()


def test_further_tables_load(lesions) -> None:
    table = datasets.load("fast01", table="lesions")
    assert len(table) == len(lesions)
    assert table["DIAMETER"].dtype == np.float64
    follow = datasets.load("fast01", table="followup")
    assert list(follow["ID"]) == [f"F01-{i:03d}" for i in range(1, 31)]
    assert np.isnan(follow["DEATH_DAY"]).any()


def test_import_brings_no_sampler_and_no_figures() -> None:
    code = (
        "import sys, cart_pkpd.datasets;"
        "print([m for m in ('pymc', 'matplotlib', 'arviz', 'pooch') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


# --- the generator -------------------------------------------------------------------------------


def test_the_bundled_tables_come_from_the_generator(tmp_path: Path) -> None:
    written = simulate_fast01.write(tmp_path)
    assert {p.name for p in written} == {"records.csv", "lesions.csv", "followup.csv"}
    for path in written:
        assert path.read_bytes() == (bundle.FOLDER / path.name).read_bytes(), path.name


def test_the_readme_states_the_checksums() -> None:
    text = (bundle.FOLDER / "README.md").read_text(encoding="utf-8")
    stated = dict(re.findall(r"`([a-z]+\.(?:csv|toml))`.*?`([0-9a-f]{64})`", text))
    assert set(stated) == {"records.csv", "lesions.csv", "followup.csv", "truth.toml"}
    for name, expected in stated.items():
        assert hashlib.sha256((bundle.FOLDER / name).read_bytes()).hexdigest() == expected, name


def test_a_seed_gives_one_trial() -> None:
    once, again, other = (simulate_fast01.simulate(seed) for seed in (5, 5, 6))
    for name, table in once.items():
        pd.testing.assert_frame_equal(table, again[name])
    assert not once["records"]["DV"].equals(other["records"]["DV"])


def test_parts_of_the_trial_have_their_own_random_numbers() -> None:
    changed = copy.deepcopy(TRUTH)
    changed["cytokines"]["species"]["il6"]["gain"] *= 10
    plain, more = simulate_fast01.simulate(3), simulate_fast01.simulate(3, changed)
    rows = [t["records"].query("DVID == 'transgene'")["DV"].to_numpy() for t in (plain, more)]
    n = min(map(len, rows))  # deaths are drawn apart, so the first patients are the same
    np.testing.assert_array_equal(rows[0][:n], rows[1][:n])
    grades = [t["subjects_truth"]["crs_grade"].mean() for t in (plain, more)]
    assert grades[1] > grades[0]


def test_truth_is_recovered_from_many_trials() -> None:
    """Moments of 100 trials (3000 patients) against truth.toml, within 4 standard errors."""
    t = TRUTH["transgene"]
    who = pd.concat([simulate_fast01.subjects(seed) for seed in range(100)], ignore_index=True)
    n = len(who)
    assert n == 3000
    share, p = who["non_expander"].mean(), t["non_expander_probability"]
    assert abs(share - p) < 4 * np.sqrt(p * (1 - p) / n)
    ln_cmax = (
        np.log(who["cmax"])
        - 0.15 * np.log(who["dose"] / 1e7)
        + who["non_expander"] * np.log(t["non_expander_fold"])
    )
    logit_fb = np.log(who["fb"] / (1 - who["fb"]))
    drawn = {
        "cmax": (ln_cmax, np.log(4000), 1.0),
        "tmax": (np.log(who["tmax"]), np.log(10), 0.25),
        "rho": (np.log(who["rho"]), np.log(0.55), 0.30),
        "alpha": (np.log(who["alpha"]), np.log(0.20), 0.40),
        "fb": (logit_fb, np.log(0.02 / 0.98), 0.60),
        "ratio": (np.log(who["ratio"]), np.log(60), 0.30),
    }
    for name, (values, mean, sd) in drawn.items():
        assert abs(values.mean() - mean) < 4 * sd / np.sqrt(n), name
        assert abs(values.std() - sd) < 4 * sd / np.sqrt(2 * n), name
    etas = np.corrcoef(np.array([values for values, _, _ in drawn.values()]))
    assert np.abs(etas[np.triu_indices(6, 1)]).max() < 4 / np.sqrt(n)
    assert (who["beta"] == 0.010).all()


def test_the_level_is_the_stated_formula() -> None:
    """Worked by hand: cmax at tmax, half of it one doubling before, slope -beta in the end."""
    who = pd.Series({"cmax": 4000, "tmax": 10, "rho": 0.55, "alpha": 0.2, "beta": 0.01, "fb": 0.02})
    time = np.array([10 - np.log(2) / 0.55, 10.0, 15.0, 400.0, 500.0])
    level = np.exp(kinetics.log_level(time, who))
    later = 4000 * (0.98 * np.exp(-1.0) + 0.02 * np.exp(-0.05))
    np.testing.assert_allclose(level[:3], [2000, 4000, later], rtol=1e-12)
    np.testing.assert_allclose(np.log(level[3] / level[4]) / 100, 0.01, rtol=1e-10)


def test_residual_errors_are_the_stated_ones(trials) -> None:
    """ln DV - ln C far above the LLOQ has mean 0 and the stated sd, within 4 standard errors."""
    residuals: dict[str, list[float]] = {"transgene": [], "car_cells": []}
    for trial in trials:
        who = trial["subjects_truth"].set_index("id")
        for name, kept in residuals.items():
            rows = trial["records"].query("DVID == @name and MDV == 0")
            for patient, own in rows.groupby("ID"):
                one = who.loc[patient]
                true = kinetics.log_level(own["TIME"].to_numpy(), one)
                true = true - (np.log(one["ratio"]) if name == "car_cells" else 0)
                far = true > np.log(own["LLOQ"].to_numpy()) + 4 * TRUTH[name]["sigma"]
                kept += list((np.log(own["DV"].to_numpy()) - true)[far])
    for name, values in residuals.items():
        sigma, n = TRUTH[name]["sigma"], len(values)
        assert n > 500
        assert abs(np.mean(values)) < 4 * sigma / np.sqrt(n), name
        assert abs(np.std(values) - sigma) < 4 * sigma / np.sqrt(2 * n), name


def _one_patient() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "cmax": [6000.0], "tmax": [9.0], "rho": [0.6], "alpha": [0.2], "beta": [0.01],
            "fb": [0.02], "dose": [3e7], "tumour_burden": [120.0], "msln_expression": [90.0],
            "muc1_expression": [70.0],
        }
    )  # fmt: skip


def test_cytokines_solve_the_stated_equations() -> None:
    """SciPy's solution (rtol 1e-8) of the equations in truth.toml; the grid costs 1 %."""
    c, who = TRUTH["cytokines"], _one_patient()
    species = list(c["species"].values())
    tumour = np.sqrt(120 / 80) * np.sqrt(80 / 70)
    typical = 0.55 / (0.55 + 0.6) * 4000

    def rhs(t: float, y: np.ndarray) -> np.ndarray:
        active, relay = y[0], y[1]
        growth = 0.6 * 6000 * np.exp(-0.6 * (9 - t)) if t < 9 else 0.0
        a = active / typical
        encounter = 2 * a / (1 + a) * tumour
        early = np.exp(-0.9 * t) * 3**0.15
        out = [growth - 0.6 * active, 1.5 * (encounter - relay)]
        for s, level in zip(species, y[2:], strict=True):
            base = s["base"] + s.get("depletion", 0) * np.exp(-s.get("depletion_loss", 0) * t)
            drive = s["direct"] * encounter + (1 - s["direct"]) * relay + s["early"] * early
            out.append(s["kout"] * (base + s["gain"] * drive - level))
        return np.array(out)

    start = [0.0, 0.0, *(s["base"] + s.get("depletion", 0) for s in species)]
    grid = cytokines.GRID[cytokines.GRID <= 28]
    first = solve_ivp(rhs, (0, 9), start, t_eval=grid[grid < 9], rtol=1e-8, method="LSODA")
    middle = solve_ivp(rhs, (0, 9), start, rtol=1e-8, method="LSODA").y[:, -1]
    last = solve_ivp(rhs, (9, 28), middle, t_eval=grid[grid >= 9], rtol=1e-8, method="LSODA")
    expected = np.hstack([first.y, last.y])[2:]
    none = cytokines.Draws(np.zeros((1, 9)), np.zeros((1, 9)))
    found = cytokines.levels(who, none, TRUTH)[0, :, : grid.size]
    np.testing.assert_allclose(found, expected, rtol=0.01)


def test_tocilizumab_raises_serum_il6() -> None:
    """Worked by hand at constant input, five days after the dose.

    Occupancy 1/(1 + exp((5 - 12)/1.5)) = 0.9907 of a blocked share of 0.7 leaves 0.3065 of the
    loss, so that IL-6 stands at 3.26 times its baseline.
    """
    who = _one_patient().assign(cmax=1e-6)
    none = cytokines.Draws(np.zeros((1, 9)), np.zeros((1, 9)))
    plain = cytokines.levels(who, none, TRUTH)[0]
    toci = cytokines.levels(who, none, TRUTH, toci=np.array([20.0]))[0]
    il6 = list(TRUTH["cytokines"]["species"]).index("il6")
    before, after = round(19.9 / cytokines.STEP), round(25 / cytokines.STEP)
    np.testing.assert_allclose(toci[il6, :before], plain[il6, :before], rtol=1e-12)
    np.testing.assert_allclose(toci[il6, after] / plain[il6, after], 3.26, rtol=0.01)
    others = np.arange(9) != il6
    np.testing.assert_allclose(toci[others], plain[others], rtol=1e-12)


def test_steroids_lower_production() -> None:
    """After four days of 60 % less production, species of hours stand at base + 0.4 of the rise."""
    who, none = _one_patient(), cytokines.Draws(np.zeros((1, 9)), np.zeros((1, 9)))
    plain = cytokines.levels(who, none, TRUTH)[0]
    steroid = cytokines.levels(who, none, TRUTH, steroid=np.array([[8.0, 12.0]]))[0]
    day12 = round(12 / cytokines.STEP)
    species = TRUTH["cytokines"]["species"]
    for name in ("il2", "il6", "ifng", "mcp1"):
        j, base = list(species).index(name), species[name]["base"]
        rise = [level[j, day12] - base for level in (steroid, plain)]
        np.testing.assert_allclose(rise[0] / rise[1], 0.4, rtol=0.02, err_msg=name)


def test_numbers_are_written_as_a_laboratory_would() -> None:
    assert tables.significant(1234.56, 3) == 1230.0
    assert tables.significant(0.0123456, 3) == 0.0123
    written = tables.text(pd.DataFrame({"a": [12340000.0, 0.05, np.nan], "b": ["x", "", "y"]}))
    assert written["a"].tolist() == ["12340000", "0.05", "."]
    assert written["b"].tolist() == ["x", ".", "y"]


# --- the bundled records -------------------------------------------------------------------------


def test_cohorts_and_doses(records) -> None:
    doses = records[records["EVID"] == 1]
    assert (doses["TIME"] == 0).all()
    assert doses.groupby("COHORT", sort=False)["ID"].nunique().to_dict() == {
        "E1": 3, "E2": 3, "E3": 6, "E4": 6, "X1": 12,
    }  # fmt: skip
    levels = doses.groupby("COHORT")["DOSELEVEL"].unique().map(list).to_dict()
    assert levels == {"E1": [1e6], "E2": [3e6], "E3": [1e7], "E4": [3e7], "X1": [1e7]}
    assert (np.abs(np.log(doses["AMT"] / doses["DOSELEVEL"])) < 4 * 0.04).all()
    assert set(doses.loc[doses["COHORT"] == "X1", "PHASE"]) == {"expansion"}


def test_patients_columns_have_the_units_of_the_readme() -> None:
    """The README says ``AGE`` [years] and so on; the CSV has no place for them."""
    trial = datasets.load("fast01")
    text = " ".join((bundle.FOLDER / "README.md").read_text(encoding="utf-8").split())
    written = {"year": "years", "%": "% of tumour cells", "mg/m^2/day": "mg/m² per day"}
    for name, unit in bundle.SUBJECT_UNITS.items():
        assert trial[name].attrs["units"] == units.canonical(unit)
        if name not in ("crs_day", "dlt_day"):
            after = text[text.index(f"`{name.upper()}`") :]
            assert after[after.index("[") + 1 : after.index("]")] == written.get(unit, unit)
    plain = {"prior_lines", "crs_grade", "icans_grade", "dlt", "dlt_evaluable"}
    numbers = {str(v) for v in trial if trial[v].dims == ("id",) and trial[v].dtype.kind == "f"}
    assert numbers - plain - {"dose_level"} == set(bundle.SUBJECT_UNITS)


def test_endpoints_and_units(observed) -> None:
    said = observed.groupby("DVID")["UNIT"].unique().map(list).to_dict()
    cytokine_units = {name: ["pg/mL"] for name in CYTOKINES}
    assert said == {"transgene": ["copies/µg"], "car_cells": ["cells/µL"]} | cytokine_units


def test_censored_records_stand_at_their_limit(records, observed) -> None:
    low, high = observed["CENS"] == 1, observed["CENS"] == -1
    assert low.sum() > 100
    assert high.sum() >= 3
    assert (observed.loc[low, "DV"] == observed.loc[low, "LLOQ"]).all()
    assert (observed.loc[high, "DV"] == observed.loc[high, "ULOQ"]).all()
    inside = observed[observed["CENS"] == 0]
    assert (inside["DV"] >= inside["LLOQ"]).all()
    assert (inside["DV"] <= inside["ULOQ"].fillna(np.inf)).all()
    missing = records[(records["EVID"] == 0) & (records["MDV"] == 1)]
    assert 0 < len(missing) < 0.03 * len(records)
    assert missing["DV"].isna().all()


def test_times_are_sorted_and_close_to_plan(observed, records) -> None:
    assert (records.groupby("ID")["TIME"].diff().dropna() >= 0).all()
    assert not observed.duplicated(["ID", "DVID", "TIME"]).any()
    off = (observed["TIME"] - observed["NTIME"]).abs()
    early, late = observed["NTIME"] <= 14, observed["NTIME"] > 60
    assert off[early].max() < 0.2  # the same day
    assert 2 < off[late].mean() < off[late].max() < 20
    nominal = [0, 1, 3, 7, 10, 14, 21, 28, *(m * 30.4375 for m in (2, 3, 6, 9, 12))]
    transgene = observed.loc[observed["DVID"] == "transgene", "NTIME"].unique()
    np.testing.assert_allclose(sorted(transgene), nominal)
    il6 = observed.loc[observed["DVID"] == "il6", "NTIME"].unique()
    assert sorted(il6) == [0, 1, 2, 3, 5, 7, 9, 10, 11, 14, 17, 21, 28]


def test_nothing_happens_after_the_end(records, lesions, followup) -> None:
    last = followup["LAST_CONTACT_DAY"]
    assert (records["TIME"] <= records["ID"].map(last)).all()
    assert (lesions["DAY"] <= lesions["ID"].map(last)).all()
    assert (lesions["DAY"] <= lesions["ID"].map(followup["NEW_THERAPY_DAY"]).fillna(1e9)).all()
    dead = followup["DEATH_DAY"].notna()
    assert 5 < dead.sum() < 30
    assert (followup.loc[dead, "DEATH_DAY"] == last[dead]).all()
    assert (followup["DEATH_CAUSE"].notna() == dead).all()
    lost = followup["LOST"] == 1
    assert 1 <= lost.sum() <= 6
    assert not (lost & dead).any()
    assert (last <= followup["CUT_OFF_DAY"]).all()
    for name in ("PD_DAY", "NEW_THERAPY_DAY"):
        assert (followup[name].dropna() <= last[followup[name].notna()]).all()


def test_some_visits_are_missed(observed) -> None:
    transgene = observed[observed["DVID"] == "transgene"]
    early = transgene[transgene["NTIME"] <= 14].groupby("ID").size()
    assert early.min() < 6  # days 0, 1, 3, 7, 10 and 14
    assert early.mean() > 5.5


def test_cellular_kinetics_look_like_a_solid_tumour_trial(observed) -> None:
    """Reference: Cmax 1e3-5e3 copies/µg, Tmax 7-14 d, 30 % BLQ or more after day 28."""
    transgene = observed[observed["DVID"] == "transgene"]
    peak = transgene.loc[transgene.groupby("ID")["DV"].idxmax()]
    expanded = peak[peak["DV"] > 500]
    assert 1e3 < np.exp(np.log(expanded["DV"]).mean()) < 5e3
    assert 7 <= expanded["TIME"].median() <= 14.2
    late = transgene[transgene["NTIME"] > 28]
    assert (late["CENS"] == 1).mean() >= 0.30
    assert (late["CENS"] == 0).sum() >= 5


def test_cytokines_look_like_a_solid_tumour_trial(observed) -> None:
    """Reference: IL-6 peak 20-200; IL-2 peaks on day 1, IL-6 about day 10; IL-4 at its floor."""
    peak = observed.groupby(["DVID", "ID"])["DV"].max()
    assert 20 < peak["il6"].median() < 200
    assert (peak["il6"] > 300).mean() < 0.2
    rows = observed.loc[observed.groupby(["DVID", "ID"])["DV"].idxmax()]
    day = rows[rows["CENS"] == 0].groupby("DVID")["NTIME"].median()
    assert day["il2"] <= 1
    assert all(7 <= day[name] <= 12 for name in ("il6", "il8", "il10", "ifng", "mcp1"))
    floor = observed.groupby("DVID")["CENS"].apply(lambda cens: (cens == 1).mean())
    assert floor["il4"] > 0.7
    assert floor["il2"] > 0.3
    assert floor["il6"] < 0.05
    by_day = observed[observed["DVID"] == "il15"].groupby("NTIME")["DV"].median()
    assert 15 < by_day[0] < 35
    assert by_day[28] < by_day[0] / 2
    assert (observed.loc[observed["CENS"] == -1, "DVID"].isin(CYTOKINES)).all()


def test_safety_follows_its_rules(records) -> None:
    who = records.drop_duplicates("ID").set_index("ID")
    assert (who["CRS_GRADE"] >= 3).mean() <= 0.15
    assert (who["CRS_GRADE"] >= 1).mean() > 0.3
    assert (who["CRS_DAY"].notna() == (who["CRS_GRADE"] > 0)).all()
    assert who["DLT"].sum() <= 6
    assert (who["DLT_DAY"].dropna() <= 28).all()
    assert ((who["DLT_TYPE"] != "none") == (who["DLT"] == 1)).all()
    assert (who["DLT_EVALUABLE"] == 0).any()
    given = records[records["EVID"] == 2]
    toci = given[given["DVID"] == "tocilizumab"]
    assert (toci["CRS_GRADE"] >= 2).all()
    assert (toci["TIME"] > toci["CRS_DAY"]).all()
    severe = who.index[who["CRS_GRADE"] >= 3]
    assert set(severe) <= set(toci["ID"])
    steroid = given[given["DVID"] == "steroid"]
    assert ((steroid["CRS_GRADE"] >= 2) | (steroid["ICANS_GRADE"] >= 2)).all()
    first = steroid.drop_duplicates("ID")
    assert (first["DV"] == 1).all()
    assert set(steroid["DV"]) == {0.0, 1.0}


def test_severity_over_many_trials(trials) -> None:
    """CRS of grade 3 or more in at most 15 % of 180 patients, DLT rare and rising with dose."""
    who = pd.concat([t["subjects_truth"] for t in trials])
    assert 0.02 < (who["crs_grade"] >= 3).mean() < 0.15
    assert 0.02 < who["dlt"].mean() < 0.15
    low, high = who["dose"] <= 3e6, who["dose"] == 3e7
    assert who.loc[low, "dlt"].mean() < who.loc[high, "dlt"].mean()
    assert who.loc[who["crs_grade"] == 0, "il6_peak"].median() < 60
    assert who.loc[who["crs_grade"] >= 2, "il6_peak"].median() > 100


# --- lesions and follow-up -----------------------------------------------------------------------


def test_lesions_follow_recist(lesions, records) -> None:
    target = lesions[lesions["KIND"] == "target"]
    base = target[target["VISIT"] == "baseline"]
    counts = base.groupby("ID").size()
    assert counts.between(1, 5).all()
    assert base.groupby(["ID", "SITE"]).size().max() <= 2
    assert (base["DIAMETER"] >= np.where(base["NODE"] == 1, 15, 10)).all()
    assert base["DAY"].between(-28, -1).all()
    burden = records.drop_duplicates("ID").set_index("ID")["TUMOUR_BURDEN"]
    pd.testing.assert_series_equal(
        base.groupby("ID")["DIAMETER"].sum(), burden.astype("float64"), check_names=False
    )
    small = lesions["STATUS"] == "too small to measure"
    assert (lesions.loc[small, "DIAMETER"] == 5).all()
    assert (lesions["MEASURE"].eq("short axis") == lesions["NODE"].eq(1)).all()
    assert (target["DIAMETER"].isna() == (target["STATUS"] == "not assessed")).all()
    assert set(lesions["VISIT"]) <= {"baseline", "d28", "M2", "M3", "M6", "M9", "M12"}
    assert not lesions.duplicated(["ID", "VISIT", "LESION"]).any()


def _first_progression(own: pd.DataFrame) -> float:
    """RECIST 1.1, written out again: 20 % and 5 mm over the nadir, new, or unequivocal."""
    nadir = np.inf
    for day in sorted(own["DAY"].unique()):
        scan = own[own["DAY"] == day]
        sizes = scan.loc[scan["KIND"] == "target", "DIAMETER"].to_numpy()
        total = np.nansum(sizes)
        bad = scan["STATUS"].str.startswith("unequivocal").any()
        if bad or (total - nadir >= 5 and total >= 1.2 * nadir):
            return float(day)
        if not np.isnan(sizes).any():
            nadir = min(nadir, total)
    return np.nan


def test_radiological_progression_is_what_the_lesions_say(lesions, followup) -> None:
    found = pd.Series({patient: _first_progression(own) for patient, own in lesions.groupby("ID")})
    seen = followup["PD_BASIS"] == "radiological"
    assert seen.sum() >= 10
    pd.testing.assert_series_equal(found[seen], followup.loc[seen, "PD_DAY"], check_names=False)
    quiet = followup["PD_DAY"].isna()
    assert quiet.sum() >= 2
    assert found[quiet].isna().all()


def test_responses_are_mixed_and_follow_the_cells(trials) -> None:
    """Over 180 patients: 5-30 % with a fall of 30 %, more often in those who expand."""
    fell, level = [], []
    for trial in trials:
        target = trial["lesions"].query("KIND == 'target'")
        sums = target.groupby(["ID", "DAY"])["DIAMETER"].sum(min_count=1)
        cmax = trial["subjects_truth"].set_index("id")["cmax"]
        for patient, own in sums.groupby(level=0):
            if len(own) > 1:
                fell.append(own.iloc[1:].min() <= 0.7 * own.iloc[0])
                level.append(np.log(cmax[patient]))
    share = np.array(fell, dtype=bool)
    assert 0.05 < share.mean() < 0.30
    assert np.mean(np.array(level)[share]) > np.mean(np.array(level)[~share]) + 0.3


def test_follow_up_is_plausible(trials) -> None:
    """Median time to progression or death two to six months, as in advanced solid tumours."""
    follow = pd.concat([t["followup"] for t in trials])
    event = follow[["PD_DAY", "DEATH_DAY"]].min(axis=1)
    assert 60 < event.fillna(np.inf).median() < 183
    assert 0.3 < follow["NEW_THERAPY_DAY"].notna().mean() < 0.6
    assert (follow["DEATH_DAY"].dropna() >= 20).all()
    basis = follow["PD_BASIS"].value_counts(normalize=True)
    assert basis["radiological"] > basis["clinical"] > 0
