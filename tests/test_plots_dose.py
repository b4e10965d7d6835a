"""Pictures of dose decisions, by what they put on the axes."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from cart_pkpd import dose, plots
from cart_pkpd._core.errors import DataError
from cart_pkpd.plots import _axes

LEVELS = (1e6, 3e6, 1e7, 3e7)
BLRM = (
    dose.BLRM(LEVELS, reference=1e7, prior=dose.BivariateNormal((-1, 0), (2, 1), 0),
              intervals=(0.16, 0.33))
    & dose.EWOC(0.33, 0.25)
    & dose.NoSkip()
)  # fmt: skip


@pytest.fixture(scope="module")
def seen():
    return dose.counts({1e6: (0, 3), 3e6: (0, 3), 1e7: (1, 6)}, levels=LEVELS)


def texts(ax) -> list[str]:
    return [t.get_text() for t in ax.texts]


def legend(ax) -> list[str]:
    figure = ax.get_figure(root=True)
    found = [ax.get_legend(), *figure.legends]
    return [t.get_text() for part in found if part for t in part.get_texts()]


def test_the_curve_has_two_ribbons_levels_and_counts(seen):
    curve, decision = BLRM.curve(seen), BLRM.recommend(seen)
    empty = BLRM.curve(dose.counts({}, levels=LEVELS))
    ax = plots.dose_toxicity(curve, decision.table, prior=empty)
    assert ax.get_xlabel() == "Dose (cells)"
    assert ax.get_xscale() == "log"
    assert len(ax.collections) == 2
    assert texts(ax) == ["0/3", "0/3", "1/6"]
    assert {"prior median", "prior 95\u202f% interval"} <= set(legend(ax))
    assert {"50\u202f% interval", "95\u202f% interval", "target 0.16–0.33"} <= set(legend(ax))
    open_marks = [
        line for line in ax.lines
        if line.get_marker() == "o" and line.get_markerfacecolor() == "white"
    ]  # fmt: skip
    ineligible = decision.table.loc[~decision.table["eligible"], "dose"]
    assert open_marks[0].get_xdata().tolist() == ineligible.tolist()
    median = next(line for line in ax.lines if line.get_color() == _axes.BLUE)
    assert (np.diff(median.get_ydata()) > 0).all()


def test_interval_bars_stack_to_one_and_fade_what_is_not_eligible(seen):
    table = BLRM.recommend(seen).table
    ax = plots.dose_intervals(table, bound=0.25, prior=BLRM.prior_table())
    bars = [p for p in ax.patches if isinstance(p, Rectangle) and p.get_width() > 0.5]
    assert len(bars) == 12
    for k in range(4):
        stack = bars[3 * k : 3 * k + 3]
        assert sum(b.get_height() for b in stack) == pytest.approx(1, abs=1e-9)
        assert stack[0].get_height() == pytest.approx(table["over"].iloc[k])
        assert (stack[0].get_alpha() == 1) == table["eligible"].iloc[k]
    line = next(ln for ln in ax.lines if ln.get_linestyle() == "--")
    assert set(line.get_ydata()) == {0.25}
    names = [ax.xaxis.get_major_formatter()(v, 0) for v in range(4)]
    assert sum("next" in n for n in names) == 1
    assert "EWOC bound 0.25" in legend(ax)
    assert plots.dose_intervals(BLRM.prior_table()).get_ylabel() == "Prior probability"


def test_scenarios_show_arrows_stays_and_stops():
    levels = (1e6, 3e6, 1e7)
    seen = dose.counts({1e6: (0, 3)}, levels=levels)
    table = dose.scenarios(dose.BOIN(0.3), seen, dose=1e6)
    # 0, 1 of 6 escalate; 2 of 6 stay; 3 of 6 at the lowest dose stay: nothing below
    ax = plots.dose_scenarios(table)
    assert [t for t in texts(ax) if t] == ["escalate", "escalate", "stay", "stay"]
    stop = dose.scenarios(dose.BOIN(0.3), dose.counts({1e6: (1, 3)}, levels=levels), dose=1e6)
    crosses = [ln for ln in plots.dose_scenarios(stop).lines if ln.get_marker() == "X"]
    assert len(crosses) == 1
    chance = dose.scenarios(BLRM, dose.counts({1e6: (0, 3)}, levels=LEVELS))
    shown = [t for t in texts(plots.dose_scenarios(chance)) if t]
    assert all(t.startswith("probability 0.") for t in shown)


def test_the_decision_table_is_drawn_cell_by_cell(seen):
    design = dose.BOIN(0.3)
    ax = plots.boin_table(design.decision_table(9), seen=design.recommend(seen).table)
    letters = [t for t in ax.texts if len(t.get_text()) == 1]
    drawn = {(round(t.xy[0]), round(t.xy[1])): t.get_text() for t in letters}
    table = design.decision_table(9)
    assert drawn[(3, 1)] == table.loc[1, 3] == "S"
    assert drawn[(6, 4)] == "U"
    assert "L1, 2" in texts(ax)
    assert "L3" in texts(ax)
    assert legend(ax) == [
        "E escalate",
        "S stay",
        "D de-escalate",
        "U de-escalate and eliminate",
        "L level given, with its counts",
    ]


def test_other_tables_are_refused(seen):
    table = BLRM.recommend(seen).table
    with pytest.raises(DataError, match=r"BLRM\.curve"):
        plots.dose_toxicity(table)
    with pytest.raises(DataError, match="no column"):
        plots.dose_intervals(dose.BOIN(0.3).recommend(seen).table)
    with pytest.raises(DataError, match="no column"):
        plots.dose_scenarios(table)
    with pytest.raises(DataError, match="decision_table"):
        plots.boin_table(table)
