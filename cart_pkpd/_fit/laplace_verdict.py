"""Whether a maximum of a marginal likelihood was found, in one sentence."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

MAX_LEFT = 0.01
MAX_CONDITION = 1e4
TOO_WIDE = "the data say next to nothing of it: its error would cover all values"


@dataclass(frozen=True)
class LaplaceVerdict:
    """Convergence of one marginal likelihood fit.

    Attributes
    ----------
    ok : bool
        A maximum was found and standard errors can be had.
    sentence : str
        For people: what holds or what failed.
    left : float
        How much lower -2 ln L would go by the curvature at the end (limit 0.01); NaN where
        the curvature has no minimum.
    positive_definite : bool
        The curvature of -2 ln L is that of a minimum.
    condition_number : float
        Largest by smallest eigenvalue of the estimates' correlation matrix (above 10 000: said).
    at_zero : tuple of str
        Standard deviations that are 0 as far as the data tell.
    unresolved : tuple of str
        Patients whose most likely deviations were not found exactly.
    replaced : tuple of str
        Patients whose second derivatives were replaced by expected ones.
    at_limit : tuple of str
        Correlations at the limit that the earlier ones of their block leave, as far as the data
        tell (1 or -1 in a block of two).
    apart : tuple of tuple of str
        Quantities that the data could not tell apart, in groups; of one alone they say nothing.
    wide : tuple of str
        Omegas and correlations whose error would cover all values.
    """

    ok: bool
    sentence: str
    left: float
    positive_definite: bool
    condition_number: float
    at_zero: tuple[str, ...]
    unresolved: tuple[str, ...]
    replaced: tuple[str, ...]
    at_limit: tuple[str, ...] = ()
    apart: tuple[tuple[str, ...], ...] = ()
    wide: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("at_zero", "unresolved", "replaced", "at_limit", "wide"):  # files have lists
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "apart", tuple(tuple(group) for group in self.apart))

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for files."""
        return asdict(self)


def judged(
    *,
    left: float,
    positive_definite: bool,
    condition_number: float,
    at_zero: tuple[str, ...],
    unresolved: tuple[str, ...],
    replaced: tuple[str, ...],
    ran_out: bool,
    at_limit: tuple[str, ...] = (),
    apart: tuple[tuple[str, ...], ...] = (),
    wide: tuple[str, ...] = (),
) -> LaplaceVerdict:
    """Return the verdict on numbers at the end of a search."""
    failed = []
    if ran_out:
        failed.append("the search stopped at max_iterations")
    if not positive_definite:
        failed.append(_no_minimum(apart))
    elif not left <= MAX_LEFT:
        failed.append(f"-2 ln L could still fall by {left:.2g} (limit {MAX_LEFT})")
    if unresolved:
        failed.append(f"no exact mode for patient {', '.join(unresolved[:5])}")
    said = []
    if at_zero:
        said.append(f"{', '.join(at_zero)} {'is' if len(at_zero) == 1 else 'are'} 0: leave out")
    if at_limit:
        what = ", ".join(at_limit)
        verb = "is" if len(at_limit) == 1 else "are"
        said.append(
            f"{what} {verb} at the limit, where a deviation follows wholly from others: leave out "
            "of corr, or vary fewer parameters"
        )
    if wide:
        said.append(
            f"the data say next to nothing of {', '.join(wide)}, whose error would cover all "
            "values: leave out"
        )
    if condition_number > MAX_CONDITION:
        said.append(f"estimates are strongly correlated (condition number {condition_number:.2g})")
    if replaced:
        said.append(f"expected curvature in place of the observed for {len(replaced)} patients")
    begin = "Not converged: " + "; ".join(failed) if failed else _converged(left)
    sentence = f"{'; '.join([begin, *said])}."
    return LaplaceVerdict(
        not failed, sentence, left, positive_definite, condition_number, at_zero, unresolved,
        replaced, at_limit, apart, wide,
    )  # fmt: skip


def _converged(left: float) -> str:
    return f"Converged: -2 ln L at a minimum, at most {max(left, 1e-6):.1g} more to gain"


def said_of(group: tuple[str, ...]) -> str:
    """Return in words that the data do not determine what is in a group."""
    if len(group) == 1:
        return f"the data say nothing of {group[0]}"
    return f"the data could not tell {', '.join(group[:-1])} and {group[-1]} apart"


def _no_minimum(apart: tuple[tuple[str, ...], ...]) -> str:
    begin = "the curvature at the end is not that of a minimum"
    if not apart:
        return f"{begin}, so there are no errors"
    return f"{begin}: {', and '.join(said_of(group) for group in apart)}"
