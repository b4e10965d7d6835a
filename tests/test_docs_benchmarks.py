"""The page of speeds is what its script writes, and what it compares is computed as it says."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from cart_pkpd._nca.compute import text_of

ROOT = Path(__file__).parents[1]


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.delitem(sys.modules, "bench_page", raising=False)
    import bench_page

    return bench_page


def test_the_page_is_what_the_results_say(page: ModuleType, tmp_path: Path) -> None:
    page.write_page(ROOT / "benchmarks/results/bench", tmp_path / "page.md")
    written = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert written == (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")


def test_ratios_are_of_ess_per_second_with_and_without_compilation(page: ModuleType) -> None:
    def run(tool: str, ess: float, sample: float, build: float) -> dict:
        return {
            "tool": tool, "min_ess": ess, "sample": {"cpu": sample}, "build": {"cpu": build},
        }  # fmt: skip

    found = {"runs": [run("cart_pkpd", 100, 10, 0), run("numpyro", 100, 20, 30)]}
    # 10 ESS/s against 5, and against 2 with compilation
    assert page.versus(found, "numpyro") == pytest.approx((2.0, 5.0), rel=1e-12)
    assert page.versus(found, "stan") is None


@pytest.mark.parametrize("order", ["C", "F"])
def test_texts_of_codes_are_those_of_the_table(order: str) -> None:
    texts = ["", "one", "three words here", "never used and much longer than all of the others"]
    codes = np.array([[0, 1, 0], [2, 0, 0]], dtype=np.int16, order=order)  # type: ignore[call-overload]
    found = text_of(codes, texts)
    assert found.tolist() == [["", "one", ""], ["three words here", "", ""]]
    assert found.dtype == np.dtype("<U16")


def test_texts_of_codes_where_the_first_is_not_empty() -> None:
    assert text_of(np.array([0, 1, 0]), ["a", "b"]).tolist() == ["a", "b", "a"]
