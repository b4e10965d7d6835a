"""What an NCA prints at its end: the summary by group and dose proportionality, as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from cart_pkpd._study.nca.compute import Analysis, dose_unit, proportionality

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

_MOST_GROUPS = 12
_STATISTICS = {
    "geometric": "geometric mean (CV %)", "arithmetic": "mean (SD)",
    "median": "median [min; max]", "count": "count",
}  # fmt: skip


def summary_text(analysis: Analysis) -> str:
    """Return the usual parameters by group, one block per endpoint, and the power models."""
    blocks = ["\n".join(_block(analysis, params)) for params in analysis.params]
    power = [f"{name}: {found.sentence}" for name, found in proportionality(analysis)]
    return "\n\n".join([*blocks, "\n".join(power)]).rstrip()


def summary_data(analysis: Analysis) -> dict[str, Any]:
    """Return the same as plain data."""
    return {
        "by": list(analysis.by),
        "summary": [
            {"endpoint": str(params.attrs["endpoint"])} | row
            for params in analysis.params
            for row in _rows(analysis, params).to_dict("records")
        ],
        "proportionality": [
            {"endpoint": name} | vars(found) | {"sentence": found.sentence}
            for name, found in proportionality(analysis)
        ],
    }


def _rows(analysis: Analysis, params: xr.Dataset) -> pd.DataFrame:
    from cart_pkpd import nca

    names = _shown(analysis, params["parameter"].values.tolist())
    return nca.summary(params, by=list(analysis.by) or None, parameters=names)


def _shown(analysis: Analysis, known: Sequence[str]) -> list[str]:
    """Return the parameters of a label's table, or the first few where it has none of them."""
    label = ("cmax", "tmax", *analysis.areas, "half_life", "tlast")
    return [name for name in label if name in known] or list(known[:6])


def _block(analysis: Analysis, params: xr.Dataset) -> Iterator[str]:
    rows, by = _rows(analysis, params), analysis.by
    n = params.sizes["id"]
    yield f"{params.attrs['endpoint']}, {n} {'patient' if n == 1 else 'patients'}{_by(by)}:"
    for _, part in rows.groupby("parameter", sort=False):
        first = part.iloc[0]
        yield f"  {first['label']} [{first['unit']}], {_STATISTICS[first['statistic']]}"
        names = [_group(params, by, row) for _, row in part.iterrows()]
        wide = max(map(len, names))
        lines = [f"    {n:<{wide}}  {t}" for n, t in zip(names, part["text"], strict=True)]
        yield from lines[:_MOST_GROUPS]
        if len(lines) > _MOST_GROUPS:
            yield f"    and {len(lines) - _MOST_GROUPS} more groups in summary.csv"


def _by(by: Sequence[str]) -> str:
    return f" by {', '.join(by)}" if by else ""


def _group(params: xr.Dataset, by: Sequence[str], row: Any) -> str:
    return ", ".join(_value(params, name, row[name]) for name in by) or "all"


def _value(params: xr.Dataset, name: str, value: Any) -> str:
    if value is None or value != value or value == "":
        return "not known"
    if isinstance(value, str):
        return value
    unit = dose_unit(params) if name == "dose_level" else str(params[name].attrs.get("units", ""))
    return f"{float(value):g} {unit}".strip()
