"""Files that changed on the disk or on their way here: refused or made anew, never believed."""

from __future__ import annotations

import hashlib
import http.server
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import h5netcdf
import pooch
import pytest
import xarray as xr
from interrupted import known_fit
from test_engine_cache import DOUBLE

from cart_pkpd import fit, simulate
from cart_pkpd._core import sealed
from cart_pkpd._core.errors import DataError, FitError
from cart_pkpd._core.sealed import intact
from cart_pkpd._engine import kernel, store
from cart_pkpd._fit.trees import write_tree
from cart_pkpd.datasets import _car22

# --- fits -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return known_fit(7).save(tmp_path_factory.mktemp("fit") / "fit.nc").read_bytes()


@pytest.mark.parametrize("way", ["cut", "flip", "zero", "swap"])
def test_a_fit_that_changed_on_the_disk_is_refused(saved, way, tmp_path):
    """Without a checksum one in five of these bits changes a number that loads."""
    rng, path = random.Random(1), tmp_path / "fit.nc"
    for _ in range(15):
        content, at = bytearray(saved), rng.randrange(len(saved) - 200)
        match way:
            case "cut":
                del content[at:]
            case "flip":
                content[at] ^= 1 << rng.randrange(8)
            case "zero":
                content[at : at + 64] = bytes(x ^ 0xFF for x in content[at : at + 64])
            case "swap":
                content[:at], content[at:] = content[-at:], content[:-at]
        path.write_bytes(content)
        with pytest.raises(FitError, match=r"damaged.*fit again"):
            fit.load(path)


@pytest.mark.parametrize("content", [b"", b"CDF\x01", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04", b"{}"])
def test_what_is_no_fit_is_refused(content, tmp_path):
    path = tmp_path / "fit.nc"
    path.write_bytes(content)
    with pytest.raises(FitError, match="is not a fit saved by cart_pkpd, or it is damaged"):
        fit.load(path)


def test_the_checksum_disturbs_no_other_reader_of_netcdf(saved, tmp_path):
    path = tmp_path / "fit.nc"
    path.write_bytes(saved)
    with xr.open_datatree(path, engine="h5netcdf") as tree:
        assert tree["posterior"].sizes["draw"] == 7
    with h5netcdf.File(path, "a") as file:  # who changes a file takes its checksum away
        file.attrs["remark"] = "mine"
    assert intact(path)
    assert fit.load(path, type(known_fit(4).structure.model)()).posterior.sizes["draw"] == 7


def test_a_file_without_a_checksum_is_read(tmp_path):
    path = write_tree(xr.Dataset({"x": 1.5}), tmp_path / "x.nc")
    assert intact(path)
    path.write_bytes(path.read_bytes()[: -sealed.END])
    assert intact(path)
    assert xr.open_dataset(path, engine="h5netcdf")["x"].item() == 1.5


# --- virtual patients -----------------------------------------------------------------------


@pytest.fixture(scope="module", params=["nc", "zarr"])
def people(request, tmp_path_factory) -> Path:
    """5000 virtual patients in three chunks."""
    path = tmp_path_factory.mktemp("people") / f"people.{request.param}"
    simulate.patients(
        "stein2019", 5000, times=[1, 7, 28], error=0.3, seed=1, out=path, chunk=2048
    ).close()
    return path


def content(path: Path) -> list[Path]:
    """Return the files that hold something."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [p for p in files if p.is_file() and p.stat().st_size]


@pytest.mark.parametrize("way", ["cut", "flip", "swap", "empty"])
def test_virtual_patients_that_changed_on_the_disk_are_refused(people, way):
    rng = random.Random(2)
    for _ in range(8):
        file = rng.choice(content(people))
        good = file.read_bytes()
        at = rng.randrange(1, max(2, len(good) - sealed.END))
        bad = bytearray(good)
        match way:
            case "cut":
                del bad[at:]
            case "flip":
                bad[at] ^= 1 << rng.randrange(8)
            case "swap":
                bad[:at], bad[at:] = bad[-at:], bad[:-at]
            case "empty":
                bad.clear()
        if bytes(bad) == good:
            continue
        file.write_bytes(bad)
        try:
            with pytest.raises(DataError, match=r"people\.\w+' .*damaged.*simulate again"):
                simulate.load(people)
        finally:
            file.write_bytes(good)


def test_virtual_patients_of_which_a_part_is_missing_are_refused(people):
    """A zarr folder without a chunk holds NaN there, and no reader says so."""
    if people.is_file():
        pytest.skip("one file")
    file = people / "dv" / "1.0.0"
    good = file.read_bytes()
    file.unlink()
    with pytest.raises(DataError, match="its content is not what was written"):
        simulate.load(people)
    file.write_bytes(good)
    (people / "dv" / ".DS_Store").touch()  # which a system leaves in folders
    simulate.load(people).close()


def test_virtual_patients_are_read_back_and_by_others(people):
    again = simulate.patients("stein2019", 5000, times=[1, 7, 28], error=0.3, seed=1)
    engine = {"engine": "zarr", "consolidated": False} if people.is_dir() else {}
    with simulate.load(people) as found:
        xr.testing.assert_equal(found.load(), again)
        assert set(found.attrs) == set(again.attrs)
    with xr.open_dataset(people, decode_times=False, **engine) as found:
        xr.testing.assert_equal(found.load(), again)


@pytest.mark.parametrize(
    ("name", "words"),
    [("none.nc", "there is no file"), ("x.csv", r"end in \.nc or \.zarr"),
     ("other.nc", "holds no virtual patients"), ("text.nc", "holds no virtual patients, or it is"),
     ("none.zarr", "there is no file"), ("folder.zarr", "holds no virtual patients, or it is")],
)  # fmt: skip
def test_what_holds_no_virtual_patients_is_refused(name, words, tmp_path):
    write_tree(xr.Dataset({"x": 1.5}), tmp_path / "other.nc")
    (tmp_path / "text.nc").write_text("no netCDF")
    (tmp_path / "folder.zarr").mkdir()
    with pytest.raises(DataError, match=words):
        simulate.load(tmp_path / name)


# --- compiled code --------------------------------------------------------------------------


def test_compiled_code_with_any_byte_changed_is_not_used(tmp_path):
    path = tmp_path / "code.o"
    store.keep(path, b"machine code")
    good = path.read_bytes()
    for at in range(len(good)):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        assert store.kept(path) is None
        path.write_bytes(good[:at])
        assert store.kept(path) is None


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"def observe(", b"raise SystemExit"])
def test_equations_that_changed_on_the_disk_are_written_anew(content):
    make = kernel.kernel.__wrapped__
    name = make(DOUBLE, (), None).name
    path = kernel.source_path(name)
    good = path.read_bytes()
    path.write_bytes(content)
    assert make(DOUBLE, (), None).name == name
    assert path.read_bytes() == good


# --- downloads ------------------------------------------------------------------------------


class Half(http.server.BaseHTTPRequestHandler):
    """Serves a file that breaks off, another file, or the right one, as it is told."""

    content, way = b"x" * 5000, "whole"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        sent = {
            "whole": self.content,
            "half": self.content[:2000],
            "tampered": self.content[:-1] + b"y",
        }
        self.wfile.write(sent[self.way])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Half]]:
    """A server from which the real fetching, with its checksum, takes its files."""
    one = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Half)
    threading.Thread(target=one.serve_forever, daemon=True).start()
    real, port = pooch.retrieve, one.server_address[1]
    monkeypatch.setattr(
        "pooch.retrieve", lambda url, **how: real(f"http://127.0.0.1:{port}/x.csv", **how)
    )
    yield Half
    one.shutdown()
    one.server_close()


@pytest.mark.parametrize("way", ["half", "tampered"])
def test_a_download_that_breaks_off_or_is_tampered_with_is_refused(
    server, way, tmp_path: Path, monkeypatch
):
    sha = hashlib.sha256(Half.content).hexdigest()
    monkeypatch.setattr(server, "way", way)
    with pytest.raises(DataError, match=r"could not be fetched .*try again.*set CART_PKPD_DATA"):
        _car22._retrieve("data/x.csv", sha, tmp_path)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []
    monkeypatch.setattr(server, "way", "whole")
    assert _car22._retrieve("data/x.csv", sha, tmp_path).read_bytes() == Half.content
    monkeypatch.setattr(server, "way", way)  # what is there and sound is not fetched again
    assert _car22._retrieve("data/x.csv", sha, tmp_path).read_bytes() == Half.content
