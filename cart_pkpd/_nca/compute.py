"""Run the parameters over blocks of patients, and dress the results as a Dataset."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd._core import names as glossary
from cart_pkpd._nca.declared import exposure
from cart_pkpd._nca.reasons import REMARKS, Book, Codes, Floats, Ints, Why, remark_text
from cart_pkpd._nca.registry import Parameter, Window, catalogue, select, units, window_name
from cart_pkpd._nca.rules import Rules
from cart_pkpd._nca.source import Samples, blocks
from cart_pkpd._nca.work import Work

WINDOW: Window = (0.0, 28.0)
"""The default window of the areas. [day]"""


@dataclass(frozen=True)
class Plan:
    """What is computed: rules, windows, the catalogue for them, and the names to report."""

    rules: Rules
    windows: tuple[Window, ...]
    known: Mapping[str, Parameter]
    names: tuple[str, ...]
    book: Book

    @property
    def rule_names(self) -> dict[str, Window]:
        """Names of the variables that say how a window was completed."""
        found = {f"auc{window_name(w)}": w for w in self.windows}
        return {f"{name}_rule": w for name, w in found.items() if name in self.names}


def plan(rules: Rules, window: Window | Sequence[Window], parameters: Sequence[str] | None) -> Plan:
    """Return the plan of a call; unknown parameters and impossible windows are ValueErrors."""
    windows = check_windows(window)
    known = catalogue(windows, rules.visits)
    return Plan(rules, tuple(windows), known, tuple(select(known, parameters)), Book(rules))


def check_windows(window: Window | Sequence[Window]) -> list[Window]:
    """Return the windows as a list of pairs; a window rises from a day ≥ 0 to a finite one."""
    pairs = np.asarray(window, dtype=float)
    if pairs.size and (pairs.ndim not in (1, 2) or pairs.shape[-1] != 2):
        raise ValueError(f"a window is a pair of days, or a list of pairs, not {window!r}.")
    found: list[Window] = []
    for start, end in pairs.reshape(-1, 2).tolist():
        if not 0 <= start < end < np.inf:
            raise ValueError(
                f"a window must go from a day of at least 0 to a later, finite day, not "
                f"({start:g}, {end:g}). For the area to infinity use aucinf_obs."
            )
        found.append((start, end))
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class Values:
    """Parameters of all patients as plain arrays, filled block by block.

    Attributes
    ----------
    values : ndarray, shape (parameters, patients)
    why : ndarray of int16, shape (parameters, patients)
    notes, n : ndarray of int, shape (patients,)
        Bits of `Note`; samples of the profile.
    completed : dict of str to ndarray of int16, shape (patients,)
        How each window was completed: codes into `exposure.RULE_TEXTS`.
    """

    values: Floats
    why: Codes
    notes: Ints
    n: Ints
    completed: dict[str, Codes]

    @classmethod
    def empty(cls, plan: Plan, patients: int) -> Values:
        """Return room for the results."""
        shape = (len(plan.names), patients)
        return cls(
            np.empty(shape), np.empty(shape, np.int16), np.empty(patients, np.int64),
            np.empty(patients, np.int64),
            {name: np.empty(patients, np.int16) for name in plan.rule_names},
        )  # fmt: skip


def fill(result: Values, samples: Samples, plan: Plan, offset: int = 0) -> Values:
    """Compute every patient of `samples` into `result`, the first at position `offset`."""
    with np.errstate(all="ignore"):
        for members, block in blocks(samples, plan.rules):
            work, place = Work(block, plan.rules, plan.known), _positions(members + offset)
            values, why = result.values[:, place], result.why[:, place]
            _fill_columns(work, plan.names, values, why)
            if not isinstance(place, slice):  # then they are copies, not views
                result.values[:, place], result.why[:, place] = values, why
            for name, window in plan.rule_names.items():
                result.completed[name][place] = exposure.tail_rule(work, window)
            result.notes[place], result.n[place] = work.notes, work.n_samples
    return result


def _fill_columns(work: Work, names: Sequence[str], values: Floats, why: Codes) -> None:
    """Write parameters of a block, (parameters, patients); what is not finite has a reason."""
    for i, name in enumerate(names):
        values[i], why[i] = work[name]
    lost = ~np.isfinite(values)
    lost &= why == 0
    values[lost], why[lost] = np.nan, Why.OVERFLOW


def _positions(members: Ints) -> Ints | slice:
    """Return positions as a slice where they follow each other, which copies faster."""
    first, last = int(members[0]), int(members[-1])
    follow = last - first == members.size - 1 and bool((members[1:] > members[:-1]).all())
    return slice(first, last + 1) if follow else members


def text_of(codes: NDArray[np.integer], texts: Sequence[str]) -> NDArray[np.str_]:
    """Return the texts of codes, in an array no wider than the texts that occur.

    Empty texts are left as the zeros that they are: most are, and memory that is not written to
    costs next to nothing. The texts lie in the order of the codes for the same reason.
    """
    flat = codes.ravel(order="K")
    # The first text is the empty one as a rule, and zeros are found faster than looked up.
    said = np.flatnonzero(flat) if not texts[0] else np.arange(flat.size)
    used = flat[said]
    width = max((len(texts[c]) for c in np.flatnonzero(np.bincount(used)).tolist()), default=1)
    table = np.array([t[:width] for t in texts], dtype=f"<U{max(width, 1)}")
    out = np.zeros(flat.size, table.dtype)  # not zeros_like, which writes to all of it
    out[said] = table[used]
    return out.reshape(codes.shape, order="C" if codes.flags.c_contiguous else "F")


def dataset(
    result: Values, plan: Plan, ids: NDArray[np.str_], *,
    endpoint: str, unit: str, dose_unit: str, reasons: str,
) -> xr.Dataset:  # fmt: skip
    """Return the result as a Dataset over ``id`` with units, labels and reasons."""
    variables: dict[str, tuple[object, ...]] = {}
    for i, name in enumerate(plan.names):
        variables[name] = ("id", result.values[i], _attrs(plan.known[name], unit, dose_unit))
    variables.update(_explanations(result, plan, as_text=reasons == "text"))
    coords = {
        "id": ("id", ids, {"long_name": "patient"}),
        "n": ("id", result.n, {"units": "1", "long_name": "samples of the profile"}),
        "parameter": np.array(plan.names, dtype=np.str_),
    }
    attrs = {
        "endpoint": endpoint,
        "label": glossary.label(endpoint),
        "units": unit,
        "dose_units": dose_unit,
        "rules": json.dumps(plan.rules.to_dict(), ensure_ascii=False),
    }
    return xr.Dataset(variables, coords=coords, attrs=attrs)


def _attrs(p: Parameter, unit: str, dose_unit: str) -> dict[str, object]:
    attrs: dict[str, object] = {
        "units": units(p.unit, unit, dose_unit), "long_name": p.label, "cdisc": p.cdisc,
        "about": p.about, "statistic": p.statistic, "unit_kind": p.unit,
    }  # fmt: skip
    if p.start is not None and p.end is not None:
        attrs["window"] = [p.start, p.end]
    return attrs


def _explanations(result: Values, plan: Plan, *, as_text: bool) -> dict[str, tuple[object, ...]]:
    """Return rule, reason and note variables, as texts or as codes with their texts."""
    how = {"units": "", "long_name": "how the area of the window was completed"}
    why = {"units": "", "long_name": "why the value is missing"}
    about = {"units": "", "long_name": "remarks on the profile"}
    texts, rule_texts = plan.book.texts, list(exposure.RULE_TEXTS)
    if not as_text:
        codes = {name: ("id", c, how | {"texts": rule_texts}) for name, c in _rules(result)}
        return codes | {
            "reason_code": (("id", "parameter"), result.why.T, why | {"texts": list(texts)}),
            "note_bits": ("id", result.notes, about | {"texts": list(REMARKS.values())}),
        }
    used, inverse = np.unique(result.notes, return_inverse=True)
    notes = text_of(inverse, [remark_text(int(bits)) for bits in used] or [""])
    return {name: ("id", text_of(c, rule_texts), how) for name, c in _rules(result)} | {
        "reason": (("id", "parameter"), text_of(result.why.T, texts), why),
        "note": ("id", notes, about),
    }


def _rules(result: Values) -> list[tuple[str, Codes]]:
    return list(result.completed.items())
