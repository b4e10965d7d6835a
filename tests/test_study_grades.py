"""Run files: vital signs become grades, dates become days of the trial, truths follow exposure."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cart_pkpd import data, dose, endpoints, models, study
from cart_pkpd._core.errors import ConfigError
from cart_pkpd._study import again, operating, plan, steps
from cart_pkpd._study.config import RunFileError
from cart_pkpd._study.folder import RunFolder

EXAMPLES = Path(__file__).parent.parent / "examples"
CLINIC = EXAMPLES / "clinic.toml"


@pytest.fixture(scope="module")
def config():
    return study.load(CLINIC)


@pytest.fixture(scope="module")
def step(config, tmp_path_factory):
    """The trial as a run reads it, what the run says, and the folder."""
    out = tmp_path_factory.mktemp("run") / "clinic"
    with RunFolder(out) as folder:
        trial, said = steps.read(config, folder)
    return trial, said, out


def test_grades_are_those_of_the_function(config, step):
    """As docs/start.md does it in Python, with the dates of infusion from the patients' table."""
    trial, said, out = step
    table = config.spec.grades
    patients = pd.read_csv(EXAMPLES / "clinic" / "patients.csv", index_col="Pt #")
    wanted = endpoints.crs_grade(
        EXAMPLES / "clinic" / "vitals.csv", columns=table.vitals_columns,
        infusion=patients["Infusion date"],
    )  # fmt: skip
    held = wanted.patients.set_index("id").reindex(trial["id"].values)
    np.testing.assert_array_equal(trial["crs_grade"], held["grade"])
    np.testing.assert_array_equal(trial["crs_day"], held["onset_day"])
    had = int((held["grade"] >= 1).sum())
    assert said.endswith(f"; CRS in {had} of 18 patients with records")
    written = pd.read_csv(out / "data" / "crs_patients.csv", dtype={"id": str})
    assert written["rule"].tolist() == wanted.patients["rule"].tolist()
    assert (out / "data" / "crs_records.csv").is_file()
    assert "grade CRS from clinic/vitals.csv" in dict(plan.steps(config))["data"]


def test_the_day_of_the_decision_counts_from_the_dates(config, step):
    """Day 225 minus the days between dates: who has not yet been seen for 28 days is pending."""
    trial = step[0]
    dates = pd.read_csv(EXAMPLES / "clinic" / "patients.csv", index_col="Pt #")["Infusion date"]
    day = pd.to_datetime(dates, format="%d-%b-%Y %H:%M").dt.normalize()
    apart = (day - day.min()).dt.days.reindex(trial["id"].values)
    np.testing.assert_array_equal(trial["infusion_day"], apart)
    seen = dose.data(trial, as_of=config.spec.dose.as_of, levels=(1e7, 5e7, 1.5e8))
    assert len(seen.patients) == int((apart <= 225).sum())
    assert "2024" not in str(trial.drop_attrs().to_dict())


def test_changed_vital_signs_are_noticed(config, step, tmp_path):
    """The checksum of the file is kept; a report of the run again asks for the same file."""
    trial = step[0]
    assert set(steps.checksums(trial)) == {"vitals_sha256"}
    kept = {"sha256": trial.attrs["source_sha256"], "vitals_sha256": "other"}
    (tmp_path / "provenance.json").write_text(json.dumps({"data": kept}), encoding="utf-8")
    with pytest.raises(ConfigError, match="the data are not those of the run"):
        again._check(config, tmp_path, {})


DATA = '[data]\ndataset = "fast01"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{DATA}[grades]\n", "give 'vitals', 'neurology' or both"),
        (f'{DATA}[grades]\nvitals = "gone.csv"\n', 'grades.vitals = "gone.csv" is not a file'),
        (f'{DATA}[grades]\nneurology = "n.csv"\nvitals_columns = {{ id = "Pt" }}\n',
         "'vitals_columns' without 'vitals'"),
        ('[grades]\nvitals = "v.csv"\n', "grades.*needs the table .data."),
    ],
)  # fmt: skip
def test_what_cannot_be_graded_is_refused(text, said):
    with pytest.raises(RunFileError, match=said):
        plan.check(study.loads(text))


def test_neurological_records_give_icans(tmp_path):
    """ICE scores of 7 and 2 are grades 1 and 3 (Lee et al. 2019, table 4)."""
    (tmp_path / "neuro.csv").write_text("id,day,ice\nF01-001,5,7\nF01-002,6,2\n", encoding="utf-8")
    text = f'{DATA}[grades]\nneurology = "neuro.csv"\n'
    trial = steps.load_trial(study.loads(text, root=tmp_path))
    assert trial["icans_grade"].sel(id=["F01-001", "F01-002"]).values.tolist() == [1.0, 3.0]


# --- truths that follow exposure -----------------------------------------------------------------

EXPOSED = """
seed = 7
[dose]
levels = [1e6, 1e7]
[dose.designs.boin]
design = "BOIN"
target = 0.3
[operating]
target = 0.3
max_patients = 12
accrual = 2.0
[operating.scenarios.exposed.p]
model = "stein2019"
metric = "cmax"
intercept = -1.0
slope = 1.0
reference = 24000
iiv = {}
dose_power = { cmax = 0.3 }
dose_reference = 1e7
"""


def test_probabilities_follow_exposure():
    """Without spread between patients the odds are closed: −1 + ln of (dose / d*)^0.3 Cmax / ref.

    The peak of the course lies on a grid of 0.1 day: tolerance 0.5 %.
    """
    config = study.loads(EXPOSED)
    plan.check(config)
    (truth,) = operating.scenarios_of(config).values()
    cmax = models.get("stein2019").parameters["cmax"].typical
    odds = np.exp(-1) * cmax / 24_000 * np.array([0.1**0.3, 1.0])
    np.testing.assert_allclose(truth.rates, odds / (1 + odds), rtol=5e-3)
    spread = study.loads(EXPOSED.replace("iiv = {}\n", ""))
    wanted = dose.ExposureToxicity(
        model=models.get("stein2019"), metric="cmax", intercept=-1.0, slope=1.0, reference=24_000.0,
        dose_power={"cmax": 0.3}, dose_reference=1e7, seed=7,
    )  # fmt: skip
    found = operating.scenarios_of(spread)["exposed"].rates
    np.testing.assert_array_equal(found, wanted(np.array([1e6, 1e7])))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"stein2019"', '"stein2091"', "operating.scenarios.exposed: .*stein2019"),
        ("cmax = 0.3", "cmx = 0.3", "no parameter 'cmx'"),
        ('metric = "cmax"', 'metric = "peak"', "cmax"),
        ("dose_reference = 1e7", "", "dose_power needs dose_reference"),
        ("reference = 24000", "reference = 0", "greater than 0|above 0"),
    ],
)
def test_impossible_truths_are_refused(old, new, said):
    with pytest.raises(RunFileError, match=said):
        plan.check(study.loads(EXPOSED.replace(old, new, 1)))


def test_the_example_reads_as_in_the_guide(step):
    trial = step[0]
    assert data.endpoints(trial) == ["transgene", "il6", "ifng"]
