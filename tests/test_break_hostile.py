"""Names and texts of the data that try to be code, and files that others try to read or change."""

from __future__ import annotations

import ast
import csv
import html.parser
import http.server
import io
import json
import os
import re
import shutil
import stat
import subprocess
import threading
from pathlib import Path

import damage
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.text import Text

import cart_pkpd
from cart_pkpd import cli, data
from cart_pkpd._core.files import whole_file
from cart_pkpd._core.safe import inert, revived, visible
from cart_pkpd._engine import store
from cart_pkpd._study import faults

PACKAGE = Path(cart_pkpd.__file__).parent
NAMES = (
    "<script>document.title='owned'</script>",
    "<img src=x onerror=fetch('http://127.0.0.1:{port}/owned')>",
    "<img src=http://127.0.0.1:{port}/owned>",
    "=HYPERLINK(\"http://127.0.0.1:{port}\")", "+cmd|' /C calc'!A0", "@SUM(1+1)", "-2+3",
    "../../../owned", "/tmp/owned", "\x1b]0;owned\x07\x1b[2Jx", "a\u202eb\u2066c", "{{7*7}}",
    "$\\frac{1}{", "[bold]x[/nope]", "%s%n{0.__class__}", "a\nb,c\td", "' or ''='", "con",
)  # fmt: skip
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]")
FORMULA = re.compile(r"[=+\-@\t\r].", re.DOTALL)


class Server(http.server.BaseHTTPRequestHandler):
    hits: list[str] = []  # noqa: RUF012  # of the class, as the server makes its own instances

    def do_GET(self):
        self.hits.append(self.path)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def port():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def names(port):
    return [n.replace("{port}", str(port)) for n in NAMES]


def table(names):
    """Return the text of a table whose patients, covariates and remarks are the names."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["ID", "TIME", "DV", "AMT", "DVID", "=SITE()", "REMARK"])
    for i, name in enumerate(names):
        other = names[-1 - i]
        writer.writerow([name, 0, ".", "1e6", "", other, other])
        for day, value in ((1, 20), (7, 900), (14, 400), (28, 100 + i)):
            writer.writerow([name, day, value, ".", "<b>cells</b>", other, other])
    return out.getvalue()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="module")
def run(place, names):
    """A run and an NCA of the hostile table; returns what they wrote to the terminal."""
    (place / "records.csv").write_text(table(names), encoding="utf-8", newline="")
    (place / "study.toml").write_text(
        f'title = {json.dumps("Study " + names[0] + names[9])}\n[data]\ntable = "records.csv"\n'
        'units = {b_cells_b = "cells/uL"}\n[nca]\nendpoints = ["b_cells_b"]\n'
        f"[report]\nnotes = [{json.dumps(names[1])}, {json.dumps(names[10])}]\n"
    )
    out, umask = io.StringIO(), os.umask(0o022)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.stdout", out)
            patch.setattr("sys.stderr", out)
            codes = [
                cli.execute(["run", str(place / "study.toml"), "--out", str(place / "run")]),
                cli.execute(["nca", str(place / "records.csv"), "--out", str(place / "nca"),
                             "--unit", "b_cells_b=cells/uL"]),
            ]  # fmt: skip
    finally:
        os.umask(umask)
    assert codes == [0, 0], out.getvalue()
    return out.getvalue()


@pytest.fixture
def page(run, place):
    return (place / "run" / "report.html").read_text(encoding="utf-8")


# --- where names arrive ------------------------------------------------------------------------


class Tags(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_the_report_holds_names_as_text(page, names):
    tags = Tags(page).found
    scripts = [attrs for tag, attrs in tags if tag == "script"]
    # Its own: one that runs, and what it shows of the patients, which is data.
    assert sum("type" not in attrs for attrs in scripts) == 1
    assert all(attrs["type"] == "application/json" for attrs in scripts if "type" in attrs)
    assert not any("src" in attrs for attrs in scripts)
    assert not any(key.startswith("on") for _, attrs in tags for key in attrs)
    assert all(a["src"].startswith("data:") for _, a in tags if "src" in a)
    assert "{{7*7}}" in page
    assert "[bold]x[/nope]" in page
    assert not CONTROL.search(page)


def test_terminals_get_no_escapes(run):
    assert run
    assert not CONTROL.search(run)


def test_no_table_holds_a_formula(run, place):
    files = [*place.glob("run/**/*.csv"), *place.glob("nca/**/*.csv")]
    assert len(files) > 5
    for path in files:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.reader(file):
                bad = [c for c in row if FORMULA.match(c) and not _number(c)]
                assert not bad, (path, bad)


def _number(cell):
    try:
        float(cell)
    except ValueError:
        return False
    return True


def test_every_file_is_where_it_belongs(run, place):
    assert {p.name for p in place.iterdir()} == {"records.csv", "study.toml", "run", "nca"}
    for path in place.rglob("*"):
        assert "owned" not in path.name or path.name.endswith(".png")
        assert path.resolve().is_relative_to(place.resolve())
        assert not CONTROL.search(path.name)


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/b", "..\\x", "\x1b[2J"])
@pytest.mark.parametrize("where", ["models", "dose.designs"])
def test_tables_of_a_run_file_cannot_name_files_elsewhere(name, where, tmp_path):
    from cart_pkpd import study

    key = json.dumps(name)
    body = 'model = "stein2019"' if where == "models" else 'design = "BOIN"\ntarget = 0.3'
    head = "" if where == "models" else "[dose]\nlevels = [1e6, 1e7]\n"
    (tmp_path / "s.toml").write_text(f'[data]\ndataset = "fast01"\n{head}[{where}.{key}]\n{body}\n')
    if where == "models":
        with pytest.raises(study.RunFileError, match="letters, digits"):
            study.load(tmp_path / "s.toml")
        return
    study.load(tmp_path / "s.toml")  # its files are called after what they hold, not after designs


def test_logs_hold_no_patient_rows(run, place):
    lines = (place / "records.csv").read_text(encoding="utf-8").splitlines()
    logs = [p.read_text(encoding="utf-8") for p in place.rglob("*.log")]
    logs += [p.read_text(encoding="utf-8") for p in place.rglob("status.json")]
    assert len(logs) >= 3
    rows = [",".join(line.split(",")[-5:]) for line in lines if line.count(",") >= 6]
    assert not [row for row in rows for log in logs if row in log]


def test_a_refused_value_is_named_but_its_row_is_not_shown(tmp_path, capsys):
    rows = damage.good(2)
    rows[3]["DV"] = "bad"
    (tmp_path / "t.csv").write_text(damage.text(rows), encoding="utf-8")
    (tmp_path / "s.toml").write_text('[data]\ntable = "t.csv"\n[nca]\nendpoints = ["transgene"]\n')
    assert cli.execute(["run", str(tmp_path / "s.toml"), "--out", str(tmp_path / "out")]) != 0
    said = capsys.readouterr()
    log = (tmp_path / "out" / "run.log").read_text(encoding="utf-8")
    assert "'bad' is not a value" in said.err
    assert "'bad' is not a value" in log
    assert damage.text(rows).splitlines()[4] not in log + said.err + said.out


def test_a_patient_called_like_a_formula_is_drawn():
    from cart_pkpd import nca, plots

    trial = data.read_table(io_frame(["$\\frac{1}{", "P$2$"]), echo=False)
    figure = plots.nca_profiles(trial, nca.table(trial, "transgene"))
    assert any("frac" in text.get_text() for text in figure.findobj(Text))
    figure.suptitle("$\\frac{1}{")
    figure.savefig(io.BytesIO(), format="png")


def io_frame(names):
    return pd.DataFrame(
        [(n, t, v) for n in names for t, v in ((0, 5.0), (7, 50.0), (14, 9.0))],
        columns=["ID", "TIME", "DV"],
    )


# --- what the functions promise ------------------------------------------------------------------


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=8))
@settings(max_examples=300)
def test_texts_that_were_made_inert_come_back(text):
    assert revived(inert(text)) == text
    assert inert(text) == text or text[:1] in "=+-@'＝＋－＠"
    made = inert(text)
    assert not (made[:1] in "=+@" and len(made) > 1) or _number(made)


@pytest.mark.parametrize("number", ["-5", "+5", "-1e-3", ".5", "-", "+", "="])
def test_numbers_and_lone_signs_are_no_formulas(number):
    assert inert(number) == number


@given(st.text(max_size=12))
@settings(max_examples=300)
def test_what_is_visible_holds_no_control(text):
    assert not CONTROL.search(visible(text))
    assert "\n" not in visible(text)
    assert visible(visible(text)) == visible(text)
    printable = "".join(c for c in text if c.isprintable())
    assert visible(printable) == printable


def test_a_hostile_table_is_written_and_read_back_the_same(tmp_path, names):
    (tmp_path / "a.csv").write_text(table(names), encoding="utf-8", newline="")
    trial = data.read_table(tmp_path / "a.csv", echo=False)
    assert "=HYPERLINK" in "".join(map(str, trial.id.values))
    data.write_table(trial, tmp_path / "b.csv")
    again = data.read_table(tmp_path / "b.csv", echo=False)
    assert (
        again.drop_attrs()
        .drop_vars(["row", "dose_row"])
        .identical(trial.drop_attrs().drop_vars(["row", "dose_row"]))
    )
    with (tmp_path / "b.csv").open(encoding="utf-8", newline="") as file:
        cells = [c for row in csv.reader(file) for c in row]
    assert not [c for c in cells if FORMULA.match(c) and not _number(c)]
    assert "'=SITE()" in cells


# --- code -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def code():
    """The nodes of every file of the package that these tests look at, by path."""
    kinds = ast.Attribute | ast.Import | ast.ImportFrom | ast.Call
    found = {}
    for path in PACKAGE.rglob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        found[path] = [node for node in nodes if isinstance(node, kinds)]
    assert len(found) > 100
    return found


def test_every_table_that_is_written_is_inert_first(code):
    """Except for the package's own data, which hold no text of others."""
    for path, nodes in code.items():
        if path.parent.name == "datasets":
            continue
        for node in nodes:
            if isinstance(node, ast.Attribute) and node.attr == "to_csv":
                of = ast.unparse(node.value)
                assert of.startswith("inert_table(") or path.name == "__init__.py", (path, of)


RUNS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml", "runpy"}
PIPES = {"_executor/base.py", "_executor/processes.py"}  # between processes of one program
COMPILES = {"_engine/units.py", "_engine/symbols.py"}  # the package's own files, never data


def test_nothing_that_is_read_can_run(code):
    """No pickle of files, YAML, eval or shell; exec only of the package's own source."""
    found = []
    for path, nodes in code.items():
        own = path.relative_to(PACKAGE).as_posix()
        for node in nodes:
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [a.name for a in node.names] + [getattr(node, "module", None) or ""]
                allowed = {"pickle"} if own in PIPES else set()
                found += [(own, n) for n in names if n.split(".")[0] in RUNS - allowed]
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                builtin = isinstance(node.func, ast.Name)
                of = getattr(getattr(node.func, "value", None), "id", "")
                shell = (of, name) == ("os", "system")
                if (of, name) in (("pickle", "load"), ("pickle", "dump")):
                    found.append((own, "pickle in a file"))
                if shell or name == "read_pickle" or (builtin and name in ("eval", "__import__")):
                    found.append((own, name))
                if builtin and name == "exec" and own not in COMPILES:
                    found.append((own, name))
                keys = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
                if keys.get("shell") or keys.get("allow_pickle"):
                    found.append((own, name))
    assert not found


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['touch owned']", "cos\nsystem\n(S'touch owned'\ntR.",
        "__import__('os').system('touch owned')", "[data]\ntable = !!python/none x",
    ],
)  # fmt: skip
def test_run_files_are_toml_and_nothing_else(text, tmp_path, monkeypatch):
    from cart_pkpd import study

    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.toml").write_text(text)
    with pytest.raises(study.RunFileError):
        study.load("s.toml")
    assert not (tmp_path / "owned").exists()


# --- the browser ------------------------------------------------------------------------------

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")


def shown(path, folder):
    """Return the page as the browser has it after its scripts ran."""
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
         "--disable-background-networking", "--disable-component-update", "--no-first-run",
         "--disable-sync", f"--user-data-dir={folder}", "--virtual-time-budget=3000", "--dump-dom",
         path.as_uri()],
        capture_output=True, timeout=180,
    )  # fmt: skip
    return done.stdout.decode("utf-8", errors="replace")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_the_report_asks_the_network_for_nothing(page, place, port, tmp_path):
    """The server hears of a page that does ask, and of the report nothing."""
    Server.hits.clear()
    control = tmp_path / "control.html"
    control.write_text(
        f"<title>a</title><img src=http://127.0.0.1:{port}/control>"
        "<script>document.title='owned'</script>"
    )
    assert "<title>owned</title>" in shown(control, tmp_path / "profile")
    assert Server.hits == ["/control"]
    Server.hits.clear()
    seen = shown(place / "run" / "report.html", tmp_path / "profile")
    assert "</html>" in seen
    assert "<title>owned</title>" not in seen
    assert Server.hits == []


# --- files and folders -------------------------------------------------------------------------

POSIX = pytest.mark.skipif(not hasattr(os, "getuid"), reason="POSIX modes")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@POSIX
def test_run_folders_are_their_owners_only(run, place):
    assert (mode(place / "run"), mode(place / "nca")) == (0o700, 0o700)


@POSIX
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o000])
def test_unfinished_files_are_their_owners_only(umask, tmp_path):
    from cart_pkpd.report._files import write_whole

    before = os.umask(umask)
    try:
        with whole_file(tmp_path / "a.csv") as part:
            part.write_text("patient")
            assert mode(part) == 0o600
        write_whole(tmp_path / "b.csv", b"patient")
    finally:
        os.umask(before)
    assert {mode(tmp_path / n) for n in ("a.csv", "b.csv")} == {0o666 & ~umask}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.csv", "b.csv"]


@POSIX
def test_tracebacks_are_their_owners_only(tmp_path):
    path = tmp_path / "error.log"
    path.write_text("earlier")
    path.chmod(0o644)
    faults._write_private(path, "a value")
    assert (mode(path), path.read_text()) == (0o600, "a value")


@POSIX
def test_compiled_code_of_somebody_else_is_not_used(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("CART_PKPD_CACHE", str(tmp_path))
    assert store.cache_folder() == tmp_path / "kernels"
    assert mode(tmp_path / "kernels") == 0o700
    path = store.cache_folder() / "code.o"
    store.keep(path, b"ours")
    assert store.kept(path) == b"ours"
    own = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: own + 1)
    assert tmp_path not in store.cache_folder().parents
    assert "belongs to somebody else" in caplog.text
    assert store.kept(path) is None
    assert not path.exists()


@POSIX
def test_compiled_code_that_others_may_write_is_not_used(tmp_path, monkeypatch):
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels").chmod(0o777)
    monkeypatch.setenv("CART_PKPD_CACHE", str(tmp_path))
    folder = store.cache_folder()
    assert (folder, mode(folder)) == (tmp_path / "kernels", 0o755)
    store.keep(folder / "code.o", b"ours")
    (folder / "code.o").chmod(0o666)
    assert store.kept(folder / "code.o") is None
    store.keep(folder / "real.o", b"ours")
    (folder / "link.o").symlink_to(folder / "real.o")
    assert store.kept(folder / "link.o") is None
