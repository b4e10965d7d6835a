"""The figures of an NCA: spaghetti and exposure by dose, persistence, and every profile."""

from __future__ import annotations

import functools
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from cart_pkpd._core.errors import DataError
from cart_pkpd._study import tables
from cart_pkpd._study.folder import whole_file
from cart_pkpd._study.nca.compute import Analysis, dose_unit, persistence_of
from cart_pkpd._study.nca.folder import NcaFolder
from cart_pkpd._study.watch import Watch

if TYPE_CHECKING:
    import xarray as xr

MOST_PAGES = 60
"""Patients up to whom each has a page of its own; more share pages."""
PER_PAGE = 20
_DPI = 110


def draw(analysis: Analysis, folder: NcaFolder, watch: Watch) -> str:
    """Draw everything into ``figures`` and return in words what was drawn.

    Notes
    -----
    ``figures/index.csv`` says which file shows which patients, and why one is missing.
    """
    import pandas as pd

    jobs = list(_jobs(analysis))
    rows = []
    for done, (name, endpoint, what, patients, make) in enumerate(jobs):
        watch.advanced("figures", done, len(jobs), what)
        why = _save(make, folder, name)
        rows.append(
            {"file": "" if why else name, "endpoint": endpoint, "shows": what,
             "patients": patients, "reason": why}
        )  # fmt: skip
    index = pd.DataFrame(rows)
    tables.write_csv(folder.add("figures/index.csv"), index)
    return _said(analysis, index)


def _said(analysis: Analysis, index: Any) -> str:
    drawn, lost = index[index["reason"] == ""], index[index["reason"] != ""]
    n = analysis.trial.sizes["id"]
    pages = int((drawn["shows"] == "profile").sum())
    shared = int((drawn["shows"] == "profiles").sum())
    parts = [f"{len(drawn)} figures"]
    if pages:
        parts.append(f"{pages} of them profiles of one patient each")
    if shared:
        parts.append(
            f"{shared} of them pages of up to {PER_PAGE} profiles, because there are {n} patients"
        )
    said = ", ".join(parts)
    return f"{said}; {len(lost)} could not be drawn (see figures/index.csv)" if len(lost) else said


Job = tuple[str, str, str, str, Callable[[], Any]]
"""File, endpoint, what it shows, which patients, and the function that draws it."""


def _jobs(analysis: Analysis) -> Iterator[Job]:
    names = safe_names([str(p.attrs["endpoint"]) for p in analysis.params])
    for params, name in zip(analysis.params, names, strict=True):
        endpoint = str(params.attrs["endpoint"])
        start = f"figures/{name}"
        for what, make in _overviews(analysis, params):
            yield f"{start}_{_safe(what)}.png", endpoint, what, "all", make
        yield from _profiles(analysis, params, endpoint, start)


def _overviews(analysis: Analysis, params: xr.Dataset) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield the pictures of all patients: what each shows, and how to draw it."""
    from cart_pkpd import data, plots

    by = analysis.by[0] if analysis.by else None
    one = data.endpoint(analysis.trial, str(params.attrs["endpoint"]))
    scale = _time_scale(one, analysis)
    yield "spaghetti", functools.partial(plots.profiles, one, by=by, time_scale=scale)
    known = params["parameter"].values.tolist()
    for name in ("cmax", *analysis.areas):
        if by is not None and name in known:
            yield f"{name} by {by}", functools.partial(plots.exposure, params, name, by=by)

    def survival() -> Any:
        curve = persistence_of(analysis, params, by)
        units = dose_unit(params) if by == "dose_level" else ""
        return plots.persistence(curve, unit=units)

    yield "persistence", survival


def _time_scale(one: xr.Dataset, analysis: Analysis) -> Literal["linear", "log"]:
    """Return the scale on which the first weeks are seen: years of follow-up would crowd them."""
    last = float(one["time"].max()) if one.sizes["obs"] else 0.0
    return "log" if last > 3 * max(end for _, end in analysis.settings.windows) else "linear"


def _profiles(analysis: Analysis, params: xr.Dataset, endpoint: str, start: str) -> Iterator[Job]:
    from cart_pkpd import data, plots

    trial = analysis.trial
    shared: dict[str, Any] = {
        "infusion": analysis.settings.infusion,
        "time_scale": _time_scale(data.endpoint(trial, endpoint), analysis),
    }
    patients = [str(p) for p in params["id"].values]
    if len(patients) <= MOST_PAGES:
        for patient, name in zip(patients, safe_names(patients), strict=True):
            yield (
                f"{start}/{name}.png", endpoint, "profile", patient,
                functools.partial(plots.nca_profile, trial, params, patient, **shared),
            )  # fmt: skip
        return
    for page, first in enumerate(range(0, len(patients), PER_PAGE), start=1):
        some = patients[first : first + PER_PAGE]
        yield (
            f"{start}/page_{page:03d}.png", endpoint, "profiles", "; ".join(some),
            functools.partial(
                plots.nca_profiles, trial, params, patients=some, **shared
            ),
        )  # fmt: skip


def _save(make: Callable[[], Any], folder: NcaFolder, name: str) -> str:
    """Draw one figure to its file; return why there is none, empty where there is."""
    with warnings.catch_warnings():
        # A letter that the font lacks is drawn as a box, which a warning does not change.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        try:
            made = make()
        except DataError as error:
            return str(error)
        figure = getattr(made, "figure", None) or made
        for text in figure.findobj(lambda artist: hasattr(artist, "set_parse_math")):
            text.set_parse_math(False)  # a patient "A$1$" is no formula
        with whole_file(folder.add(name)) as part:
            figure.savefig(part, dpi=_DPI, facecolor="white")
    return ""


# --- names of files ---------------------------------------------------------------------------

_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")
_LONGEST = 60  # letters; a file name holds 255 bytes and a letter takes up to four


def safe_names(texts: Sequence[str]) -> list[str]:
    """Return one file name per text: readable, safe on every system, and all different.

    Examples
    --------
    >>> safe_names(["P/01", "P 01", "p_01", "Müller", "..", "con"])
    ['P_01', 'P_01-2', 'p_01-3', 'Müller', '_', 'con_']
    """
    taken: set[str] = set()
    return [_free(_safe(text), taken) for text in texts]


def _safe(text: str) -> str:
    plain = unicodedata.normalize("NFC", text)
    name = "".join(c if c.isalnum() or c in "-_." else "_" for c in plain)[:_LONGEST]
    name = name.strip(".") or "_"
    return f"{name}_" if _RESERVED.fullmatch(name) else name


def _free(name: str, taken: set[str]) -> str:
    """Return the name, numbered where it is taken; case does not tell files apart everywhere."""
    found, number = name, 1
    while unicodedata.normalize("NFKC", found).casefold() in taken:
        number += 1
        found = f"{name}-{number}"
    taken.add(unicodedata.normalize("NFKC", found).casefold())
    return found
