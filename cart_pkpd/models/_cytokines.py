"""A panel of cytokines that any cell model can drive."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, ClassVar

from cart_pkpd._core.errors import ModelError
from cart_pkpd._core.names import ENDPOINTS
from cart_pkpd._core.validate import did_you_mean
from cart_pkpd.models._compose import Part, Record, driver_ec50, positive_level
from cart_pkpd.models._ode import Input, State
from cart_pkpd.models._parameters import Fraction, Positive
from cart_pkpd.models.math import Value, exp, hill

UNIT = "pg/mL"
_OPEN = "open data of the NIH CD22 CAR-T trial (Lichtenstein 2021)"
_ABOVE = 1.2
"""A usual peak of the driver, in units of EC50: there a cytokine reaches its usual peak."""


@dataclass(frozen=True)
class Cytokine:
    """What is known about one cytokine.

    Attributes
    ----------
    name : str
        Name of the endpoint, such as ``"il6"``.
    base : float
        Level without CAR-T cells. [pg/mL]
    peak : float
        Usual level when production is at its largest; gives the usual production. [pg/mL]
    kout : float
        Elimination rate. Held in fits: daily samples do not show it, because production
        changes more slowly. [1/day]
    relay : bool
        Made by myeloid cells that CAR-T cells activate, where the panel has that relay.
    base_source, peak_source, kout_source : str
        Where the numbers come from; ``"assumed"`` if from nowhere.
    confidence, kout_confidence : str
        How sure levels and elimination are, of ``models.CONFIDENCE``; by default by the source.
    base_iiv, peak_iiv : float
        Standard deviation between patients of ln base, and of ln production.
    iiv_source : str
        Where those come from.
    """

    name: str
    base: float
    peak: float
    kout: float = 4.0
    relay: bool = False
    base_source: str = "assumed"
    peak_source: str = "assumed"
    kout_source: str = "assumed"
    confidence: str = ""
    kout_confidence: str = ""
    base_iiv: float = 0.6
    peak_iiv: float = 1.0
    iiv_source: str = "assumed"

    def __post_init__(self) -> None:
        if not (0 < self.base <= self.peak and self.kout > 0):
            raise ModelError(
                f"cytokine {self.name!r}: base {self.base!r} must be above 0 and at most the peak "
                f"{self.peak!r}, and kout {self.kout!r} above 0."
            )
        for name in ("peak", "kout", "base_iiv", "peak_iiv"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ModelError(
                    f"cytokine {self.name!r}: {name} must be finite and at least 0, not {value!r}."
                )


def _measured(
    name: str, base: float, peak: float, iiv: tuple[float, float] | None = None, **more: Any
) -> Cytokine:
    """Return a cytokine whose levels, and how they vary, are those of the open data."""
    mean = "geometric mean of" if iiv else "mean on the log scale of the median"
    if iiv is not None:
        more |= {"base_iiv": iiv[0], "peak_iiv": iiv[1], "iiv_source": f"SD of ln, {_OPEN}"}
    return Cytokine(
        name, base, peak, base_source=f"median at baseline, {_OPEN}",
        peak_source=f"{mean} peaks with CRS grade 1 and 2, {_OPEN}",
        confidence="computed", **more,
    )  # fmt: skip


def _hardiansyah(half_life: str) -> dict[str, Any]:
    return {
        "kout_source": f"Hardiansyah 2019 (half-life {half_life} h)",
        "kout_confidence": "transcribed",
    }


CYTOKINES: Mapping[str, Cytokine] = MappingProxyType(
    {
        c.name: c
        for c in (
            _measured("il2", 0.75, 4.3),
            _measured("il4", 0.12, 0.27),
            _measured("il6", 3.1, 149.0, (1.2, 1.9), kout=3.96, relay=True, **_hardiansyah("4.2")),
            _measured("il8", 15.0, 269.0, (1.2, 1.3), relay=True),
            _measured(
                "il10", 1.4, 119.0, (1.05, 1.15), kout=4.68, relay=True, **_hardiansyah("3.6")
            ),
            replace(
                _measured("il15", 6.5, 33.0),
                # What is left when the rise after lymphodepletion has gone.
                base_source=f"medians of days 21 and 28, {_OPEN}",
            ),
            _measured("ifng", 11.0, 820.0, (1.1, 1.2), kout=1.51, **_hardiansyah("11.0")),
            _measured("tnfa", 4.7, 19.5, (0.77, 0.84)),
            Cytokine("mcp1", 200.0, 1500.0, relay=True),
        )
    }
)
"""The nine cytokines of a phase 1 panel."""


@dataclass(frozen=True)
class Cytokines(Part):
    """Cytokines as turnover species; made by :func:`cytokines`."""

    species: tuple[Cytokine, ...]
    driver: str = "cells"
    ec50: float | None = None
    steepness: float = 3.0
    relay: bool = False
    relay_steps: int = 1
    tolerance: tuple[str, ...] = ()
    counter_regulation: tuple[str, ...] = ()
    receptor: bool = False
    steroid: bool = False

    shares: ClassVar[tuple[str, ...]] = ("steroid_imax",)
    sources: ClassVar[tuple[str, ...]] = (
        "Turnover, elimination and counter-regulation of cytokines: Hardiansyah D, Ng CM (2019). "
        "Clin Transl Sci 12:343. https://doi.org/10.1111/cts.12636",
        "Usual levels of cytokines: open data of Lichtenstein DA et al. (2021). Blood 138:2469. "
        "https://doi.org/10.1182/blood.2021011898",
        "Tolerance: Chen X et al. (2019). Clin Transl Sci 12:600. https://doi.org/10.1111/cts.12662",
    )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the cytokines."""
        return tuple(c.name for c in self.species)

    @property
    def label(self) -> str:
        return f"{', '.join(self.names)} by {self.driver}"

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "species": tuple(vars(c) for c in self.species)}

    def __post_init__(self) -> None:
        # As read from a file.
        known = (c if isinstance(c, Cytokine) else Cytokine(**c) for c in self.species)
        object.__setattr__(self, "species", tuple(known))

    def records(self, units: Mapping[str, str]) -> Mapping[str, Record]:
        found: dict[str, Record] = {
            f"{self.driver}_ec50": driver_ec50(
                "cytokines", "release", self.driver, units, self.ec50
            )
        }
        if self.steepness != 1.0:
            found[f"{self.driver}_steep"] = Positive(
                self.steepness, "1", "steepness of cytokine release", spread=0.3, fixed=True
            )
        if self._relayed:
            found |= {k: State("1", "activated myeloid cells") for k in self._stages}
            found["myeloid_k"] = Positive(
                2.0, "1/day", "rate of activation and loss of myeloid cells", spread=0.5, fixed=True
            )
        for c in self.species:
            found |= self._of(c)
        if self.counter_regulation:
            found |= _REGULATION
        if self.receptor:
            found |= _RECEPTOR
        if self.steroid:
            found |= _STEROID
        return found

    def initial(self, p: Any) -> Mapping[str, Value]:
        start: dict[str, Value] = dict.fromkeys(self._stages if self._relayed else (), 0.0)
        for name in self.names:
            start[name] = getattr(p, "il15_start" if name == "il15" else f"{name}_base")
        return start | dict.fromkeys((f"{name}_past" for name in self.tolerance), 0.0)

    def rhs(self, t: Value, y: Any, p: Any, d: Any) -> Mapping[str, Value]:
        signal = hill(getattr(d, self.driver), getattr(p, f"{self.driver}_ec50"), self._steep(p))
        slopes: dict[str, Value] = {}
        relayed = signal
        if self._relayed:
            for stage in self._stages:
                slopes[stage] = p.myeloid_k * (relayed - getattr(y, stage))
                relayed = getattr(y, stage)
        for c in self.species:
            made = getattr(p, f"{c.name}_max") * (relayed if c.relay and self.relay else signal)
            made = made * self._inhibited(c.name, y, p)
            level = getattr(y, c.name)
            slopes[c.name] = (
                getattr(p, f"{c.name}_kout") * (self._resting(c.name, t, p) - level) + made
            )
            if self.receptor and c.name == "il6":
                # The receptor clears what it binds; nobody makes less because it is blocked.
                blocked = p.il6_kout * p.il6_receptor_share * p.tocilizumab
                slopes[c.name] = slopes[c.name] + blocked * level
            if c.name in self.tolerance:
                slopes[f"{c.name}_past"] = level - getattr(p, f"{c.name}_base")
        return slopes

    def observe(self, t: Value, y: Any, p: Any, d: Any) -> Mapping[str, Value]:
        levels = {name: getattr(y, name) for name in self.names}
        if self.receptor:
            levels["il6_signal"] = y.il6 * (1.0 - p.tocilizumab)
        return levels

    @property
    def _relayed(self) -> bool:
        return self.relay and any(c.relay for c in self.species)

    @property
    def _stages(self) -> tuple[str, ...]:
        if self.relay_steps == 1:
            return ("myeloid",)
        return tuple(f"myeloid_{i + 1}" for i in range(self.relay_steps))

    def _steep(self, p: Any) -> Value:
        return 1.0 if self.steepness == 1.0 else getattr(p, f"{self.driver}_steep")

    def _resting(self, name: str, t: Value, p: Any) -> Value:
        if name != "il15":
            return getattr(p, f"{name}_base")
        return p.il15_base + (p.il15_start - p.il15_base) * exp(-p.il15_fade * t)

    def _inhibited(self, name: str, y: Any, p: Any) -> Value:
        """Return the share of production that inhibition leaves."""
        left: Value = 1.0
        if name in self.counter_regulation:
            left = left * (
                p.il10_floor + (1.0 - p.il10_floor) * p.il10_ic50 / (y.il10 + p.il10_ic50)
            )
        if name in self.tolerance:
            ic50 = getattr(p, f"{name}_ic50")
            left = left * ic50 / (ic50 + getattr(y, f"{name}_past"))
        if self.steroid:
            left = left * (1.0 - p.steroid_imax * p.steroid)
        return left

    def _of(self, c: Cytokine) -> dict[str, Record]:
        said = _name(c.name)
        # To the peak of IL-15 the rise after lymphodepletion adds what is left of it by then.
        rise = 0.85 * (c.peak - c.base) if c.name == "il15" else c.peak - c.base
        most = c.kout * rise * (1.0 + _ABOVE**-self.steepness)
        source = f"for the usual peak at {_ABOVE:g} EC50; {c.peak_source}"
        found: dict[str, Record] = {
            c.name: State(UNIT, said),
            f"{c.name}_base": Positive(
                c.base, UNIT, f"{said} without CAR-T cells", iiv=c.base_iiv, spread=0.7,
                source=c.base_source, confidence=c.confidence, iiv_source=c.iiv_source,
            ),
            f"{c.name}_kout": Positive(
                c.kout, "1/day", f"elimination rate of {said}", spread=0.3,
                source=c.kout_source, confidence=c.kout_confidence, fixed=True,
            ),
            f"{c.name}_max": Positive(
                max(most, 1e-6 * c.base), f"{UNIT}/day", f"largest production of {said}",
                iiv=c.peak_iiv, iiv_source=c.iiv_source,
                source=source if c.peak_source != "assumed" else "assumed",
                confidence="computed" if c.peak_source != "assumed" else "",
            ),
        }  # fmt: skip
        if c.name == "il15":
            found |= _IL15
        if c.name in self.tolerance:
            # Without cells it is a sum of rounding errors, which no step can resolve.
            found[f"{c.name}_past"] = State(
                f"{UNIT}*day", f"{said} above its base, summed up", floor=1e-3 * c.base
            )
            found[f"{c.name}_ic50"] = Positive(
                5.0 * (c.peak - c.base) + c.base, f"{UNIT}*day",
                f"sum of {said} at which half of its production is left",
            )  # fmt: skip
        return found


_IL15: Mapping[str, Record] = MappingProxyType(
    {
        "il15_start": Positive(
            19.0, UNIT, "IL-15 at the infusion, after lymphodepletion", iiv=0.4, spread=0.5,
            source=f"median at baseline, {_OPEN}", confidence="computed",
        ),
        "il15_fade": Positive(
            0.15, "1/day", "rate at which the rise after lymphodepletion fades", spread=0.5
        ),
    }
)  # fmt: skip
_REGULATION: Mapping[str, Record] = MappingProxyType(
    {
        "il10_floor": Fraction(
            0.59, "1", "share of production that much IL-10 leaves",
            source="Hardiansyah 2019", confidence="transcribed", fixed=True,
        ),
        "il10_ic50": Positive(
            650.0, UNIT, "IL-10 of half its largest inhibition",
            source="Hardiansyah 2019", confidence="transcribed", fixed=True,
        ),
    }
)  # fmt: skip
_RECEPTOR: Mapping[str, Record] = MappingProxyType(
    {
        "tocilizumab": Input(
            0.0, "1", "share of IL-6 receptors that tocilizumab occupies", lower=0.0, upper=1.0
        ),
        "il6_receptor_share": Fraction(
            0.7, "1", "share of IL-6 that is cleared by its receptor", fixed=True
        ),
    }
)
_STEROID: Mapping[str, Record] = MappingProxyType(
    {
        "steroid": Input(
            0.0, "1", "effect of corticosteroids: 1 while they act fully", lower=0.0, upper=1.0
        ),
        "steroid_imax": Fraction(
            0.7, "1", "share of cytokine production that corticosteroids stop", fixed=True
        ),
    }
)


def cytokines(
    names: Sequence[str | Cytokine] = tuple(CYTOKINES),
    *,
    driver: str = "cells",
    ec50: float | None = None,
    steepness: float = 3.0,
    relay: bool = False,
    relay_steps: int = 1,
    tolerance: Sequence[str] = (),
    counter_regulation: bool | None = None,
    receptor: bool = False,
    steroid: bool = False,
) -> Cytokines:
    r"""Return a panel of cytokines, to be added to a cell model.

    Each is a turnover species [1]_: with D the driver, S the signal,

    .. math::

        \dot Y = k_{out} (Y_0 - Y) + P_{max} S I, \qquad S = \frac{D^n}{EC_{50}^n + D^n}

    where I is the product of what inhibits production. Production saturates, because among
    patients with CRS the height of the CAR-T peak says little about that of the cytokines.

    Parameters
    ----------
    names : sequence of str or Cytokine
        Which: names of ``models.CYTOKINES``, or records of one's own; all nine by default.
    driver : str
        What releases them: ``"cells"`` (observed CAR-T level), ``"activated"`` (cells that meet
        antigen), ``"killing"``, or any other driver of the model.
    ec50 : float, optional
        Usual level of the driver at half of the largest release; has a default where the
        driver is in copies/µg, cells/µL, 1/day or a pure number. [unit of the driver]
    steepness : float
        Hill exponent n, held in fits; 1 for none. At 3, and with Stein's cells, IL-6 stays above
        half of its peak for 4 days; in patients, who peak on different days, for about 2.
    relay : bool
        IL-6, IL-8, IL-10 and MCP-1 come from myeloid cells that the signal activates, which
        delays them: one more state, or `relay_steps` for a longer delay.
    relay_steps : int
        Number of stages of the relay, each with a mean of 1 / ``myeloid_k`` days.
    tolerance : sequence of str
        Cytokines whose production falls with their own past, IC50 / (IC50 + sum): the form of
        [2]_ without its priming factor per dose, and far weaker than there by default.
    counter_regulation : bool, optional
        IL-10 inhibits IFN-γ [1]_; by default where both are in the panel.
    receptor : bool
        IL-6 is partly cleared by its receptor, which the input ``tocilizumab`` (occupancy, 0 to 1;
        given by events, or by :func:`tocilizumab`) blocks: IL-6 in serum rises while the
        endpoint ``il6_signal`` falls.
    steroid : bool
        The input ``steroid`` (0 to 1; given by events, or by :func:`corticosteroids`) stops a
        share of all production.

    Returns
    -------
    Cytokines
        Per cytokine ``<name>_base``, ``<name>_max`` and ``<name>_kout`` (held); for IL-15 also
        ``il15_start`` and ``il15_fade``: the rise after lymphodepletion fades by itself. For
        the panel ``<driver>_ec50``. Panels with different drivers can be added side by side.

    Raises
    ------
    ModelError
        For an unknown cytokine, or one that is named twice or needed and missing.

    References
    ----------
    .. [1] Hardiansyah D, Ng CM (2019). Clin Transl Sci 12:343. https://doi.org/10.1111/cts.12636
    .. [2] Chen X et al. (2019). Clin Transl Sci 12:600. https://doi.org/10.1111/cts.12662

    Examples
    --------
    >>> models.get("stein2019") + models.cytokines(["il6", "ifng"])
    >>> cells + models.tumour("killing") + models.cytokines(driver="killing", relay=True)
    """
    species = tuple(_known(n) for n in ([names] if isinstance(names, str) else names))
    found = [c.name for c in species]
    if not found or len(set(found)) < len(found):
        raise ModelError(f"cytokines: name each of them once, not {found!r}.")
    tolerance = (tolerance,) if isinstance(tolerance, str) else tuple(tolerance)
    for name in tolerance:
        if name not in found:
            raise ModelError(f"cytokines: tolerance names {name!r}, which is not in the panel.")
    if receptor and "il6" not in found:
        raise ModelError("cytokines: receptor=True is about IL-6, which is not in the panel.")
    both = {"il10", "ifng"} <= set(found)
    if counter_regulation and not both:
        raise ModelError("cytokines: counter_regulation needs 'il10' and 'ifng' in the panel.")
    if not isinstance(relay_steps, int) or relay_steps < 1:
        raise ModelError(
            f"cytokines: relay_steps must be a whole number of 1 or more, not {relay_steps!r}."
        )
    if not 0 < steepness < math.inf:
        raise ModelError(f"cytokines: steepness must be finite and above 0, not {steepness!r}.")
    positive_level("cytokines", ec50)
    regulated = ("ifng",) if both and counter_regulation is not False else ()
    return Cytokines(
        species, driver, ec50, steepness, relay, relay_steps, tuple(tolerance), regulated,
        receptor, steroid,
    )  # fmt: skip


def _known(name: str | Cytokine) -> Cytokine:
    if isinstance(name, Cytokine):
        return name
    if name not in CYTOKINES:
        raise ModelError(
            f"cytokines: {name!r} is not known.{did_you_mean(str(name), CYTOKINES)} Known: "
            f"{', '.join(CYTOKINES)}; others as models.Cytokine(name, base, peak)."
        )
    return replace(CYTOKINES[name])


def _name(name: str) -> str:
    return ENDPOINTS[name].label if name in ENDPOINTS else name
