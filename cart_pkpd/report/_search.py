"""The section on a search: what was added and removed, and every candidate of every step."""

from __future__ import annotations

from cart_pkpd import plots
from cart_pkpd._compare.rules import NAMES
from cart_pkpd._compare.searched import Search
from cart_pkpd.report._blocks import Block, Details, Section, Text, picture
from cart_pkpd.report._tables import Kind, from_frame

_TAKEN: dict[str, tuple[str, str, Kind]] = {
    "step": ("Step", "", "count"),
    "action": ("Action", "", "text"),
    "candidate": ("Candidate", "", "text"),
    "ofv": ("−2 ln L", "", "decimal"),
    "n_estimated": ("Estimated", "", "count"),
    "criterion": ("Criterion", "", "decimal"),
    "change": ("Change", "", "decimal"),
    "p": ("p", "", "number"),
    "verdict": ("Verdict", "", "text"),
    "why": ("Why", "", "text"),
    "seconds": ("Run time", "s", "number"),
}
_NOTE = (
    "p values are of likelihood-ratio tests, for one candidate and not for the best of many; for a "
    "standard deviation of a 50:50 mixture of chi-squared distributions."
)


def section(found: Search | None) -> Section | None:
    """Return the section on a search, None if there was none."""
    if found is None:
        return None
    labels = {k: v for k, v in _TAKEN.items() if found.steps[k].notna().any()}
    taken = tuple(k for k in labels if k not in ("seconds", "verdict"))
    path = from_frame(found.path, "search_path", "Steps that were taken", labels=labels,
                      notes=(_NOTE,), shown=taken)  # fmt: skip
    whole = from_frame(found.steps, "search_steps", "Every candidate of every step",
                       labels=labels, shown=tuple(labels))  # fmt: skip
    blocks: list[Block] = [
        Text(found.sentence, "good" if found.fit.verdict.ok else "warn"),
        Text(f"Criterion: {NAMES[found.rule.criterion]}; {found.direction}. Population found: "
             f"{found.fit.sentence}"),
        picture(
            "search",
            lambda: plots.search(found),
            caption="Criterion of every candidate at every step; the line is what holds after it.",
            alt="A column of dots per step, the chosen ones joined by a line.",
        ),
        path,
        Details("Every candidate of every step", (whole,)),
    ]  # fmt: skip
    return Section("search", "Search for covariates and variability", tuple(blocks))
