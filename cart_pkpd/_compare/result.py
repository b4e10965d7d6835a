"""The frozen table of a comparison: in words, and as CSV, JSON and HTML."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cart_pkpd._compare import files, said
from cart_pkpd._compare.likelihood import CRITERIA
from cart_pkpd._compare.records import BAYES
from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import one_of
from cart_pkpd._core.words import MISSING, fixed, number

LABELS: Mapping[str, str] = {
    "rank": "Rank", "kind": "Kind", "converged": "Converged", "elpd": "elpd", "se": "SE",
    "elpd_diff": "Δ elpd", "dse": "SE of Δ", "weight": "Weight", "p": "Effective parameters",
    "mcse": "Monte-Carlo SE", "pareto_k_bad": "Large Pareto k", "pareto_k_max": "Largest Pareto k",
    "inner_ess_min": "Fewest effective points", "ofv": "−2 ln L", "bic_mixed": "BIC, mixed",
    "bic": "BIC", "bic_patients": "BIC, patients", "aic": "AIC", "difference": "Δ",
    "n_estimated": "Estimated", "elpd_record": "elpd by record", "se_record": "SE by record",
    "elpd_diff_record": "Δ by record", "dse_record": "SE of Δ by record",
    "weight_record": "Weight by record", "pareto_k_bad_record": "Large Pareto k by record",
    "elpd_patient": "elpd by patient", "se_patient": "SE by patient",
    "elpd_diff_patient": "Δ by patient", "dse_patient": "SE of Δ by patient",
    "weight_patient": "Weight by patient", "pareto_k_bad_patient": "Large Pareto k by patient",
    "n_obs": "Records", "n_patients": "Patients", "seconds": "Run time (s)",
    "reliable": "Reliable", "note": "Note", "verdict": "Verdict",
    "exposure_note": "Note on exposure",
}  # fmt: skip
_OF_EXPOSURE = {
    "error": "median error (%)", "rmse": "RMSE (ln)", "coverage": "in 90 % interval"
}  # fmt: skip
_COUNTS = ("rank", "n_obs", "n_patients", "n_estimated", "pareto_k_bad", "pareto_k_bad_record",
           "pareto_k_bad_patient")  # fmt: skip
_DECIMALS = ("elpd", "se", "dse", "ofv", "aic", "bic", "difference", "mcse", "weight", "p")
STYLE = (
    "<style>.cart-comparison{border-collapse:collapse;font:14px/1.4 system-ui,sans-serif}"
    ".cart-comparison th,.cart-comparison td{padding:3px 9px;text-align:right;vertical-align:top;"
    "border-bottom:1px solid #d7dbe0}.cart-comparison th{white-space:nowrap}"
    ".cart-comparison .words{text-align:left;max-width:28em}"
    ".cart-comparison .unranked{color:#5f6772}"
    ".cart-comparison caption{caption-side:top;text-align:left;padding:6px 0}</style>"
)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Fits compared: what :func:`cart_pkpd.compare.models` returns.

    Columns can be taken from it as from its table (``found["rank"]``, ``found.loc["a"]``).

    Attributes
    ----------
    table : pandas.DataFrame
        Indexed by fit, one block of rows per kind of fit, best first within each.
    by : str
        What was left out to rank Bayesian fits: ``"patient"`` or ``"record"``.
    criterion : str
        What ranks likelihood fits, a key of ``compare.CRITERIA``.
    """

    table: pd.DataFrame
    by: str = "patient"
    criterion: str = "bic_mixed"

    @cached_property
    def sentence(self) -> str:
        """Which fit is best and whether the difference matters."""
        return said.sentence(self.table, self.by, self.criterion)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of fit that were ranked apart: bayes, likelihood, least squares."""
        return tuple(dict.fromkeys(self.table["kind"]))

    def block(self, kind: str) -> Comparison:
        """Return the comparison of one kind of fit, with the columns that it has.

        Raises
        ------
        DataError
            If there is no fit of that kind.
        """
        one_of(kind, self.kinds, "kind of fit in this comparison", error=DataError)
        own = self.table[self.table["kind"] == kind].dropna(axis="columns", how="all")
        own = own.assign(rank=self.table.loc[own.index, "rank"])  # also where none is ranked
        own.attrs = dict(self.table.attrs)
        return Comparison(own[[c for c in self.table if c in own]], self.by, self.criterion)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain data; None for numbers that cannot be had."""
        shared = {"sentence": self.sentence, "by": self.by}
        if self.kinds != (BAYES,):
            shared["criterion"] = self.criterion
        rows = self.table.reset_index().to_dict(orient="records")
        return {
            **shared,
            "fits": [{str(k): files.plain(v) for k, v in row.items()} for row in rows],
        }

    def csv(self, path: str | Path) -> Path:
        """Write the table in full precision; empty cells for what cannot be had."""
        return files.csv(path, self.table)

    def json(self, path: str | Path | None = None) -> str:
        """Return sentence and table as JSON, and write it where a path is given."""
        return files.json_text(path, self.as_dict())

    def html(self, path: str | Path | None = None) -> str:
        """Return sentence and table as a piece of HTML; a whole page where a path is given."""
        body = STYLE + "".join(self._html_of(self.block(kind)) for kind in self.kinds)
        return files.page(path, "Model comparison", body)

    def text(self) -> str:
        """Return the main columns as text, for a terminal, and the sentence below."""
        blocks = []
        for kind in self.kinds:
            own = self.block(kind).table
            names = [c for c in map(str, own) if c not in _WORDS and c not in _ASIDE]
            shown = pd.DataFrame(
                {label_of(c): [cell(c, v) for v in own[c]] for c in names},
                index=own.index,
            )
            blocks.append("\n".join([shown.T.to_string(), *_notes(own)]))
        return "\n\n".join([*blocks, self.sentence])

    def _html_of(self, one: Comparison) -> str:
        table = one.table.drop(columns=["kind"])
        names = [str(c) for c in table]
        head = "".join(f"<th{_words(c)}>{html.escape(label_of(c))}</th>" for c in names)
        rows = "".join(_html_row(str(i), row, names) for i, row in table.iterrows())
        return (
            f"<table class='cart-comparison'><caption>{html.escape(one.sentence)}</caption>"
            f"<thead><tr><th class='words'>Fit</th>{head}</tr></thead><tbody>{rows}</tbody></table>"
        )

    def _repr_html_(self) -> str:
        return self.html()

    def __repr__(self) -> str:
        return self.text()

    def __getitem__(self, key: Any) -> Any:
        return self.table[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.table)

    def __len__(self) -> int:
        return len(self.table)

    def __contains__(self, key: object) -> bool:
        return key in self.table

    @property
    def loc(self) -> Any:
        """Rows and columns of the table by label."""
        return self.table.loc

    @property
    def index(self) -> pd.Index:
        """Names of the fits, best first within each kind."""
        return self.table.index

    @property
    def columns(self) -> pd.Index:
        """Names of the columns."""
        return self.table.columns

    @property
    def attrs(self) -> dict[Any, Any]:
        """Attributes of the table."""
        return self.table.attrs


_WORDS = ("note", "verdict", "exposure_note")
_ASIDE = ("kind", "inner_ess_min", "pareto_k_max")


def as_table(value: Any, asking: str) -> pd.DataFrame:
    """Return the table of a comparison, given as itself or as its table.

    Raises
    ------
    DataError
        For anything else, such as a fit.
    """
    from cart_pkpd._core.validate import shown

    if isinstance(value, Comparison):
        return value.table
    if isinstance(value, pd.DataFrame) and (value.empty or "rank" in value):
        return value
    what = "a table without the column 'rank'" if isinstance(value, pd.DataFrame) else shown(value)
    raise DataError(
        f"{asking} draws what compare.models returns: {asking}(compare.models({{'a': fit, 'b': "
        f"other}})), not {what}."
    )


def label_of(column: str) -> str:
    """Return what a column is called for people."""
    return LABELS.get(column) or _exposure_label(column) or column.replace("_", " ")


def _exposure_label(column: str) -> str:
    name, _, measure = column.rpartition("_")
    if measure not in _OF_EXPOSURE or not name:
        return ""
    what = "Cmax" if name == "cmax" else name.replace("auc", "AUC").replace("_", "–")
    return f"{what}: {_OF_EXPOSURE[measure]}"


def cell(column: str, value: Any) -> str:
    """Return a value as it is printed."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if value is None or not np.isfinite(value):
        return MISSING
    if column in _COUNTS:
        return f"{int(value):,}"
    if column.endswith("coverage"):
        return f"{100 * value:.0f} %"
    if column.startswith(_DECIMALS) or column.endswith("_rmse"):
        return fixed(value, 2)
    return number(value)


def _notes(table: pd.DataFrame) -> list[str]:
    """Return why fits are not ranked or not to be trusted."""
    out = []
    for name, row in table.iterrows():
        if pd.isna(row["rank"]):
            out.append(f"{name}: {row['verdict']}")
        elif not row["reliable"]:
            out.append(f"{name}: {row['note']}")
    return out


def _html_row(name: str, row: pd.Series, columns: list[str]) -> str:
    quiet = " class='unranked'" if pd.isna(row["rank"]) else ""
    cells = "".join(f"<td{_words(c)}>{html.escape(cell(c, row[c]))}</td>" for c in columns)
    return f"<tr{quiet}><th class='words'>{html.escape(name)}</th>{cells}</tr>"


def _words(column: str) -> str:
    return " class='words'" if column in _WORDS else ""


__all__ = ["CRITERIA", "LABELS", "Comparison", "as_table", "cell", "label_of"]
