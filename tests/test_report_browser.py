"""The report in a real browser: no network, sorting, the view of patients, paper, small screens."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import figure_inputs as made
import numpy as np
import pytest

from cart_pkpd import dose, report
from cart_pkpd.report import _blocks, _html, _tables

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), "")
pytestmark = [
    pytest.mark.skipif(not BROWSER, reason="no Chromium is installed"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
EVIL = "</script><script>document.title='taken'</script>"
PAPER = 687  # pixels between the margins of A4: 182 mm at 96 per inch
LEVELS = (1e6, 3e6)


def findings() -> report.DoseFindings:
    """Decisions from counts: the lower dose is safe, at the higher one half have a DLT."""
    known = dose.counts({1e6: (0, 3), 3e6: (3, 6)}, levels=LEVELS)
    design = dose.BOIN(target=0.25)
    return report.DoseFindings(known, {"BOIN": design}, {"BOIN": design.recommend(known)})


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    """A report of six patients, one of whom has a name that tries to end the script."""
    who = {"P01": EVIL}
    return report.write(
        tmp_path_factory.mktemp("browser"),
        title="Six patients",
        trial=made.small_trial(who),
        nca={"transgene": made.renamed(made.nca().isel(id=np.arange(6)), who)},
        dose=findings(),
        data_cutoff="2026-10-31",
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def seen(browser, path) -> Iterator[SimpleNamespace]:
    """The page as a reader opens it, with all that it complains of and asks the network for."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    said, asked = [], []
    page.on("console", lambda m: said.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda r: asked.append(r.url[:60]))
    page.goto(path.as_uri())
    yield SimpleNamespace(page=page, said=said, asked=asked)
    page.close()


def column(page: Any, table: str, i: int) -> list[str]:
    cells = page.locator(f"#table-{table} tbody tr td:nth-child({i})")
    return [text.strip() for text in cells.all_inner_texts()]


def lines(page: Any) -> int:
    return int(page.locator("#explorer svg polyline").count())


def test_it_needs_no_network_and_has_no_errors(seen, path) -> None:
    assert seen.said == []
    assert [url for url in seen.asked if not url.startswith(("file:", "data:"))] == []
    assert sum(url.startswith("file:") for url in seen.asked) == 1
    assert path.stat().st_size < 10e6
    assert seen.page.title() == "Six patients"


def test_every_figure_is_drawn_and_described(seen) -> None:
    images = seen.page.evaluate(
        "async () => Promise.all([...document.images].map(async i => {"
        " await i.decode(); return [i.naturalWidth, i.alt.length]; }))"
    )
    assert len(images) >= 6
    assert all(width > 100 and alt > 30 for width, alt in images)


def test_the_answer_is_on_the_first_screen(seen) -> None:
    """At 3 of 6, above 0.359, BOIN with target 0.25 (Liu and Yuan 2015) goes down."""
    box = seen.page.locator(".answer")
    assert box.bounding_box()["y"] < 300
    assert "De-escalate to 1×10⁶ cells" in box.locator(".dose").inner_text()
    assert "2026-10-31" in box.inner_text()
    assert seen.page.locator(".stamp").is_visible()
    row = seen.page.locator("#table-by_dose tr.chosen").inner_text()
    assert row.startswith("1×10⁶ cells, next")


def test_tables_sort_by_mouse_and_by_keyboard(seen) -> None:
    """Amounts sort by value, not as text, and a value that is missing stays last."""
    page = seen.page
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    head = page.locator("#table-nca_transgene th").nth(2)
    values = [float(v) for v in made.nca()["cmax"].values[:6]]
    assert "Cmax" in head.inner_text()
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    cells = page.locator("#table-nca_transgene tbody tr td:nth-child(3)")
    assert [float(c.get_attribute("data-sort")) for c in cells.all()] == sorted(values)
    head.locator("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert [float(c.get_attribute("data-sort")) for c in cells.all()] == sorted(values)[::-1]
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert head.get_attribute("aria-sort") == "none"
    assert page.locator("#table-nca_transgene th").nth(3).get_attribute("aria-sort") == "ascending"


def test_the_view_of_patients_follows_its_controls(seen) -> None:
    page = seen.page
    assert lines(page) == 6
    page.locator("[data-dose='0']").uncheck()
    assert lines(page) == 3
    page.locator("[data-dose='1']").uncheck()
    assert "No record to show" in page.locator("#explorer svg").text_content()
    for i in (0, 1):
        page.locator(f"[data-dose='{i}']").check()
    logarithmic = page.locator("#explorer svg").inner_html()
    page.locator("[data-control=level]").select_option("linear")
    linear = page.locator("#explorer svg").inner_html()
    assert linear != logarithmic
    assert "linear level axis" in page.locator("#explorer svg").get_attribute("aria-label")
    page.locator("[data-control=endpoint]").select_option(label="IL-6")
    assert "IL-6" in page.locator("#explorer svg text.title").all_text_contents()[0]
    assert page.locator("#explorer svg").inner_html() != linear
    assert seen.said == []


def test_the_log_axis_is_logarithmic(seen) -> None:
    """Powers of ten lie at equal distances."""
    ticks = seen.page.evaluate(
        "() => [...document.querySelectorAll('#explorer svg text[text-anchor=end]')]"
        ".filter(t => !t.textContent.startsWith('LLOQ'))"
        ".map(t => [Number(t.textContent.replace(/,/g, '')), Number(t.getAttribute('y'))])"
    )
    assert len(ticks) >= 3
    gaps = np.diff([y for _, y in ticks])
    np.testing.assert_allclose(gaps, gaps[0], atol=1e-6)
    np.testing.assert_allclose(np.diff(np.log10([v for v, _ in ticks])), 1.0)


def test_a_patient_is_named_by_hover_and_by_choice(seen) -> None:
    """The name that tries to be markup is shown as it is, and the page is not taken."""
    page = seen.page
    page.locator("#explorer svg").scroll_into_view_if_needed()
    dot = page.locator("#explorer g[data-patient='3'] circle").first.bounding_box()
    page.mouse.move(dot["x"] + dot["width"] / 2, dot["y"] + dot["height"] / 2)
    tip = page.locator("#explorer .tip")
    assert tip.is_visible()
    assert tip.inner_text().startswith("P0")
    assert page.locator("#explorer g.front").count() == 1
    page.mouse.move(5, 5)
    assert not tip.is_visible()
    chosen = page.locator("[data-control=pinned]")
    chosen.focus()
    page.keyboard.press("ArrowDown")
    side = page.locator("#explorer .who").inner_text()
    assert EVIL in side
    assert "CRS grade" in side
    assert "Peak IL-6" in side
    assert page.title() == "Six patients"
    page.locator("[data-control=mark]").select_option(label="CRS grade ≥ 2, n = 2")
    chosen.select_option("-1")
    assert page.locator("#explorer g.front").count() == 2  # grades run 0, 1, 2, 3, 0, 1


def test_figures_side_by_side_can_be_enlarged(seen) -> None:
    page = seen.page
    figure = page.locator(".row figure").first
    before = figure.bounding_box()["width"]
    button = figure.locator(".enlarge")
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    assert figure.bounding_box()["width"] > 1.5 * before


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_runs_over_the_screen(seen, width) -> None:
    seen.page.set_viewport_size({"width": width, "height": 800})
    seen.page.reload()
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    assert seen.page.locator("details.contents").get_attribute("open") == (
        None if width == 390 else ""
    )
    assert seen.page.locator(".answer").bounding_box()["y"] < 400


def test_on_paper_nothing_is_cut_or_missing(seen, tmp_path) -> None:
    """Tables and figures fit between the margins, and what is folded on screen is printed."""
    page = seen.page
    page.set_viewport_size({"width": PAPER, "height": 900})
    page.emulate_media(media="print")
    right = page.evaluate(
        "() => { window.dispatchEvent(new Event('beforeprint'));"
        " return [...document.querySelectorAll('table, img')]"
        ".map(e => [e.getBoundingClientRect().right, (e.alt || e.textContent).slice(0, 60)]); }"
    )
    assert [what for edge, what in right if edge > PAPER + 1] == []
    assert page.locator("details:not([open]):not(.contents)").count() == 0


def test_the_pdf_holds_every_row(seen) -> None:
    pdfium = pytest.importorskip("pypdfium2")
    seen.page.emulate_media(media="print")
    whole = pdfium.PdfDocument(seen.page.pdf(prefer_css_page_size=True))
    texts = []
    for i in range(len(whole)):
        sheet = whole[i]
        assert [round(v) for v in sheet.get_size()] in ([595, 842], [596, 842])  # A4 [point]
        text = sheet.get_textpage()
        texts.append(text.get_text_range())
        edges = [text.get_rect(k)[2] for k in range(text.count_rects())]
        assert max(edges, default=0) <= 595 - 39  # the margin of 14 mm
        text.close()
        sheet.close()
    whole.close()
    said = "".join("".join(texts).split())  # letters of the stamp stand apart
    for expected in ("DRAFT", "Everydoseataglance", "P06", "SUBJ"):  # SUBJ is in a folded table
        assert expected in said


def test_without_scripts_the_evidence_is_there(browser, path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(path.as_uri())
    assert "needs JavaScript" in page.locator("#explorer").inner_text()
    assert page.locator("figure img").count() >= 6
    context.close()


def test_a_dense_table_of_texts_fits_on_paper(browser) -> None:
    """Five columns of long texts, in one piece: they wrap rather than leave the page."""
    columns = tuple(_tables.Column(f"c{i}", f"Column {i}", kind="text") for i in range(5))
    row = {c.key: "a text that is long enough to wrap in its cell" for c in columns}
    table = _tables.Table("texts", "Texts", columns, (row, row))
    assert table.dense
    page = browser.new_page(viewport={"width": PAPER, "height": 900})
    page.set_content(_html.page([_blocks.Section("s", "S", (table,))], title="x"))
    page.emulate_media(media="print")
    box = page.locator("table").bounding_box()
    assert box["x"] + box["width"] <= PAPER + 1
    page.close()
