"""Activity beside toxicity by dose: rates, response, progression-free survival, exposure."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cart_pkpd import datasets, dose, nca
from cart_pkpd._core.errors import DataError

DOSES = np.array([1e6, 3e6, 1e7, 3e7])


class TestActivity:
    def setup_method(self):
        self.trial = datasets.load("fast01")
        self.known = dose.data(self.trial, levels=tuple(DOSES))
        self.ids = [str(i) for i in self.trial["id"].values]

    def test_rates_have_exact_intervals(self):
        table = dose.activity(self.trial, self.known).table()
        # Clopper–Pearson of 0 of n: 1 − (α/2)^(1/n); of 2 of 17 by beta quantiles.
        assert table.loc[1e6, "dlt_upper"] == pytest.approx(1 - 0.025 ** (1 / 3))
        exact = stats.beta.ppf([0.025, 0.975], [2, 3], [16, 15])
        assert table.loc[1e7, ["dlt_lower", "dlt_upper"]].tolist() == pytest.approx(list(exact))
        assert table["infused"].tolist() == [3, 3, 18, 6]
        assert table["evaluable"].tolist() == [3, 3, 17, 6]
        assert table.loc[1e7, "crs3"] == 2

    def test_responses_of_every_kind(self):
        best = {i: ("PR" if i in ("F01-007", "F01-013") else "SD") for i in self.ids}
        best["F01-014"], best["F01-015"] = "NE", ""
        as_frame = pd.DataFrame({"id": list(best), "best_response": list(best.values())})
        one = dose.activity(self.trial, self.known, response=best)
        two = dose.activity(self.trial, self.known, response=as_frame)
        for found in (one, two):
            table = found.table()
            assert table.loc[3e7, ["response", "n_response"]].tolist() == [1, 5]
            assert table.loc[1e7, ["response", "n_response"]].tolist() == [1, 18]
        assert any("no best response" in n for n in one.notes)

    def test_pfs_is_the_median_of_kaplan_and_meier_with_its_interval(self):
        # 1e6: events on days 30, 60, 90, so survival 2/3, 1/3, 0 and a median of day 60. 3e6: one
        # censored before the event on day 61 and one after it: survival 1/2 from day 61. 1e7:
        # nobody progressed. 3e7: nobody has a time.
        start = {1e6: [30, 60, 90], 3e6: [20, 61, 100], 1e7: [50.0] * 18, 3e7: [np.nan] * 6}
        had = {1e6: [1, 1, 1], 3e6: [0, 1, 0], 1e7: [0] * 18, 3e7: [0] * 6}
        level = self.trial["dose_level"].values
        time, event = np.zeros(30), np.zeros(30, dtype=bool)
        for d in start:
            time[level == d], event[level == d] = start[d], np.array(had[d], bool)
        pfs = pd.DataFrame({"id": self.ids, "time": time, "event": event})
        found = dose.activity(self.trial, self.known, pfs=pfs)
        table, month = found.table(), 365.25 / 12
        expected = [60 / month, 61 / month, np.nan, np.nan]
        np.testing.assert_allclose(table["pfs_median"], expected, rtol=1e-9)
        assert table["n_pfs"].tolist() == [3, 3, 18, 0]
        assert table["pfs_events"].tolist() == [3, 1, 0, 0]
        # The lower band of three events crosses one half at the first of them.
        assert table.loc[1e6, "pfs_lower"] == pytest.approx(30 / month)
        assert table.loc[1e7, "pfs_reason"].startswith("not reached")
        said = found.counts()["pfs"].tolist()
        assert said[0].startswith("2.0 months (1.0–")
        assert said[2:] == ["not reached, 0/18 events", "—"]
        with pytest.raises(DataError, match="PFS of patient 'Z'"):
            dose.activity(self.trial, self.known, pfs=pfs.assign(id="Z"))
        with pytest.raises(DataError, match=r"endpoints\.pfs"):
            dose.activity(self.trial, self.known, pfs="pfs")

    def test_geometric_means_by_dose(self):
        params = nca.table(self.trial, "transgene", window=(0, 28))
        found = dose.exposure(params, self.trial, "cmax", data=self.known)
        table = dose.activity(self.trial, self.known, exposures=[found.measured]).table()
        mine = params["cmax"].values[self.trial["dose_level"].values == 3e6]
        assert table.loc[3e6, "cmax"] == pytest.approx(stats.gmean(mine))

    def test_what_cannot_be_a_response_is_named(self):
        with pytest.raises(DataError, match="'F01-001' has the best response 'GREAT'"):
            dose.activity(self.trial, self.known, response={"F01-001": "great"})
        with pytest.raises(DataError, match="'X'"):
            dose.activity(self.trial, self.known, response={"X": "PR"})
        with pytest.raises(DataError, match="no patient-level variable"):
            dose.activity(self.trial, self.known, response="best_respons")
