"""CD4+ and CD8+ phenotypes in blood and marrow, and B cells (Park et al. 2025)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from cart_pkpd.models._ode import OdeModel, State
from cart_pkpd.models._parameters import Fraction, Positive, Reference
from cart_pkpd.models.math import Value, hill

_PER_SECOND = 86_400.0  # 1/s in 1/day
_TABLE = "Table 1"
_table = partial(Positive, source=_TABLE, confidence="transcribed")
_held = partial(_table, fixed=True)
_product = partial(Fraction, source="Methods 2.1", confidence="transcribed", fixed=True)
_cells = partial(State, "cells", floor=1e-4)

_PHENOTYPES = ("naive", "central", "memory", "effector")


class Park2025(OdeModel):
    """Complexes drive CD4+ and CD8+ cells of four phenotypes, in blood and in marrow [1]_.

    The equations for an infused product whose composition is known: naive cells become
    central memory, effector memory and effector cells; all but effector cells expand where CARs
    are bound to CD19, in blood and in bone marrow; complexes per B cell kill. B cells of another
    kind return when few CAR-T cells are left. The structure is Salem 2023's, with values for
    lupus. Choose it where subsets of CAR-T cells were measured; twenty-four equations are slow.

    References
    ----------
    .. [1] Park H, Mugundu GM, Singh AP (2025). Clin Transl Sci 18:e70146.
       https://doi.org/10.1111/cts.70146
    """

    name = "park2025"
    label = "CD4+ and CD8+ phenotypes in blood and marrow (Park 2025)"
    population = "5 young adults with refractory lupus, CD19 CAR-T 1 million cells/kg"
    endpoint = "car_cells"
    reference = Reference(
        "Park H, Mugundu GM, Singh AP",
        2025,
        "Mechanistic Evaluation of Anti-CD19 CAR-T Cell Therapy Repurposed in Systemic Lupus "
        "Erythematosus Using a Quantitative Systems Pharmacology Model",
        "Clin Transl Sci 18:e70146",
        "10.1111/cts.70146",
    )
    structure = "transcribed"
    sources = (
        "Transcription of the authors' Monolix control stream (Appendix S2) and Table 1 in "
        "nlmixr2lib (Park_2025_cd19_cart_sle_qsp).",
    )
    deviations = (
        "Only CAR-T cells and B cells: host T cells, neutrophils, interferon and the biomarkers of "
        "lupus do not act on them and are left out.",
        "CAR-T cells are numbers, not concentrations, and volumes are those of 70 kg.",
        "The product reaches blood within minutes (`mixing`) instead of at once, so that one dose "
        "spreads over eight kinds of cells.",
        "The return of B cells starts with a steep slope around the level of CAR-T cells at which "
        "the paper switches it on (`steep`), because that time depends on the states.",
        "Ratios per cell have 1e-8 cells/L (`trace`) added below the line, where the control "
        "stream keeps every number above 1e-12.",
    )
    errata = (
        "Table 1 prints the threshold for the return of B cells in cells/L; the control stream "
        "compares it with cells/µL.",
        "Equations 17 and 18 of Appendix S1 kill the returning B cells and switch on all B cells; "
        "the control stream does neither.",
    )

    product = _cells("cells not yet in the circulation")
    cd8_naive = _cells("naive CD8+ cells in blood")
    cd8_central = _cells("central memory CD8+ cells in blood")
    cd8_memory = _cells("effector memory CD8+ cells in blood")
    cd8_effector = _cells("effector CD8+ cells in blood")
    cd4_naive = _cells("naive CD4+ cells in blood")
    cd4_central = _cells("central memory CD4+ cells in blood")
    cd4_memory = _cells("effector memory CD4+ cells in blood")
    cd4_effector = _cells("effector CD4+ cells in blood")
    cd8_naive_marrow = _cells("naive CD8+ cells in marrow")
    cd8_central_marrow = _cells("central memory CD8+ cells in marrow")
    cd8_memory_marrow = _cells("effector memory CD8+ cells in marrow")
    cd8_effector_marrow = _cells("effector CD8+ cells in marrow")
    cd4_naive_marrow = _cells("naive CD4+ cells in marrow")
    cd4_central_marrow = _cells("central memory CD4+ cells in marrow")
    cd4_memory_marrow = _cells("effector memory CD4+ cells in marrow")
    cd4_effector_marrow = _cells("effector CD4+ cells in marrow")
    cd8_complexes = State("1/L", "complexes on CD8+ cells in blood", floor=1e-4)
    cd4_complexes = State("1/L", "complexes on CD4+ cells in blood", floor=1e-4)
    cd8_complexes_marrow = State("1/L", "complexes on CD8+ cells in marrow", floor=1e-4)
    cd4_complexes_marrow = State("1/L", "complexes on CD4+ cells in marrow", floor=1e-4)
    b_cells = State("cells/L", "autoreactive B cells in blood", floor=1e-4)
    b_cells_marrow = State("cells/L", "B cells in marrow", floor=1e-4)
    b_cells_new = State("cells/L", "returned B cells in blood", floor=1e-4)

    dosed = "product"

    kexp_max = _table(
        1.8, "1/day", "largest expansion rate of CD8+ cells", iiv=0.05, iiv_source=_TABLE,
        spread=0.5,
    )  # fmt: skip
    ratio_kexp = Positive(
        1.12, "1", "CD8+ to CD4+ expansion rate", source="Appendix S2, from Salem 2023",
        confidence="transcribed", fixed=True,
    )  # fmt: skip
    ec50_exp = _held(
        1.9e-5, "1/cells", "complexes per CAR-T cell for half the largest expansion", iiv=0.2,
        iiv_source=_TABLE,
    )  # fmt: skip
    rm1 = _table(0.15, "1/day", "naive to central memory", spread=0.5)
    rm2 = _table(0.11, "1/day", "central to effector memory", spread=0.5)
    rm3 = _table(0.72, "1/day", "effector memory to effector", spread=0.5)
    kel_e = _table(47.38, "1/day", "loss of effector cells from blood", spread=0.5)
    kel_m = _table(0.69, "1/day", "loss of other cells from blood", spread=0.5)
    k12 = _table(1.41, "1/day", "blood to marrow", spread=0.5)
    k21 = _table(0.0017, "1/day", "marrow to blood", spread=0.5)
    kkill_max = _table(
        2.76, "1/day", "largest killing rate", iiv=0.087, iiv_source=_TABLE, spread=0.5
    )
    kc50 = _table(7.71, "1/cells", "complexes per B cell for half the largest killing", spread=0.5)
    cart_rev_min = _table(
        2.38e6, "cells/L", "CAR-T cells in blood below which B cells return (2.38 cells/µL)",
        iiv=0.81, iiv_source=_TABLE, spread=0.5,
    )  # fmt: skip
    k0_rev = _table(
        1.58e6, "cells/L/day", "return of B cells", iiv=1.04, iiv_source=_TABLE, spread=0.5
    )
    b_max = _table(
        4.49e8, "cells/L", "largest number of B cells in blood", iiv=0.81, iiv_source=_TABLE,
        spread=0.5,
    )  # fmt: skip
    b0 = _held(1.43e8, "cells/L", "B cells in blood at the infusion")
    b0_marrow = _held(1.50e9, "cells/L", "B cells in marrow at the infusion")
    kg = _held(0.0193, "1/day", "growth of B cells")
    ag_car = _held(15_000.0, "1/cells", "CARs per CAR-T cell")
    ag_b = _held(14_000.0, "1/cells", "CD19 per B cell")
    kon = _held(2.1e5 * _PER_SECOND, "1/M/day", "binding of a CAR to CD19 (2.1e5 /M/s)")
    koff = _held(6.81e-5 * _PER_SECOND, "1/day", "release of CD19 (6.81e-5 /s)")
    blood = _held(5.0, "L", "blood volume at 70 kg")
    marrow = _held(1.6, "L", "marrow volume at 70 kg")
    cd8_share = _product(0.230, "1", "CD8+ cells in the product")
    cd4_share = _product(0.759, "1", "CD4+ cells in the product")
    naive_share = _product(0.0729, "1", "naive cells in the product")
    central_share = _product(0.221, "1", "central memory cells in the product")
    memory_share = _product(0.609, "1", "effector memory cells in the product")
    effector_share = _product(0.0977, "1", "effector cells in the product")
    mixing = Positive(200.0, "1/day", "spread of the product (half in 5 minutes)", fixed=True)
    steep = Positive(20.0, "1", "exponent of the return of B cells", fixed=True)
    avogadro = _held(6.023e23, "1/mol", "Avogadro number as in the control stream")
    trace = Positive(1e-8, "cells/L", "cells below which nothing matters", fixed=True)
    per_litre = Positive(1e6, "µL/L", "µL in a litre", source="definition", fixed=True)

    def initial(self, p: Any) -> Mapping[str, Value]:
        """Return B cells in blood and marrow, and no CAR-T cell."""
        empty = dict.fromkeys(self.states, 0.0)
        return {**empty, "b_cells": p.b0, "b_cells_marrow": p.b0_marrow}

    def rhs(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return the control stream's equations for CAR-T cells and B cells."""
        slope: dict[str, Value] = {"product": -p.mixing * y.product}
        for subset, share, slower in (
            ("cd8", p.cd8_share, 1.0),
            ("cd4", p.cd4_share, p.ratio_kexp),
        ):
            largest = p.kexp_max / slower
            for place, volume, b_cells in self._places(y, p):
                cells = self._cells(y, subset, place)
                bound = getattr(y, f"{subset}_complexes{place}")
                density = sum(cells) / volume
                growth = largest * hill(bound / (density + p.trace), p.ec50_exp)
                changes = self._differentiate(cells, growth, p)
                slope |= self._named(subset, place, changes)
                free = density * p.ag_car - bound
                antigen = b_cells * p.ag_b - self._bound(y, place)
                slope[f"{subset}_complexes{place}"] = (
                    p.kon / p.avogadro * free * antigen - p.koff * bound
                )
            self._exchange(slope, y, p, subset, share)
        for place, _, b_cells in self._places(y, p):
            slope[f"b_cells{place}"] = p.kg * b_cells - self._killing(y, p, place, b_cells)
        room = 1.0 - (y.b_cells + y.b_cells_new) / p.b_max
        few = 1.0 - hill(self._in_blood(y) / p.blood + p.trace, p.cart_rev_min, p.steep)
        slope["b_cells_new"] = p.k0_rev * few * room
        return slope

    @staticmethod
    def _places(y: Any, p: Any) -> Sequence[tuple[str, Value, Value]]:
        return ("", p.blood, y.b_cells), ("_marrow", p.marrow, y.b_cells_marrow)

    @staticmethod
    def _cells(y: Any, subset: str, place: str) -> list[Value]:
        return [getattr(y, f"{subset}_{k}{place}") for k in _PHENOTYPES]

    @staticmethod
    def _named(subset: str, place: str, values: Sequence[Value]) -> dict[str, Value]:
        return {f"{subset}_{k}{place}": v for k, v in zip(_PHENOTYPES, values, strict=True)}

    @staticmethod
    def _differentiate(cells: Sequence[Value], growth: Value, p: Any) -> list[Value]:
        """Return growth and the chain naive, central memory, effector memory, effector."""
        naive, central, memory, _ = cells
        first, second, third = p.rm1 * naive, p.rm2 * central, p.rm3 * memory
        return [
            growth * naive - first,
            growth * central + first - second,
            growth * memory + second - third,
            third,
        ]

    def _exchange(self, slope: dict[str, Value], y: Any, p: Any, subset: str, share: Value) -> None:
        """Add infusion, loss from blood, and exchange with marrow to the slopes of a subset."""
        composition = (p.naive_share, p.central_share, p.memory_share, p.effector_share)
        for k, part in zip(_PHENOTYPES, composition, strict=True):
            here, there = f"{subset}_{k}", f"{subset}_{k}_marrow"
            moved = p.k12 * getattr(y, here) - p.k21 * getattr(y, there)
            lost = (p.kel_e if k == "effector" else p.kel_m) * getattr(y, here)
            slope[here] += p.mixing * share * part * y.product - moved - lost
            slope[there] += moved

    @staticmethod
    def _bound(y: Any, place: str) -> Value:
        return getattr(y, f"cd8_complexes{place}") + getattr(y, f"cd4_complexes{place}")

    @classmethod
    def _killing(cls, y: Any, p: Any, place: str, b_cells: Value) -> Value:
        per_cell = cls._bound(y, place) / (b_cells + p.trace)
        return p.kkill_max * hill(per_cell, p.kc50) * b_cells

    @classmethod
    def _in_blood(cls, y: Any) -> Value:
        return sum(cls._cells(y, "cd8", "") + cls._cells(y, "cd4", ""))

    def observe(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return CAR-T cells in blood: all, by subset and by phenotype; and B cells."""
        volume = p.blood * p.per_litre
        cd8, cd4 = self._cells(y, "cd8", ""), self._cells(y, "cd4", "")
        kinds = {k: (a + b) / volume for k, a, b in zip(_PHENOTYPES, cd8, cd4, strict=True)}
        return {
            "car_cells": self._in_blood(y) / volume,
            "cd8": sum(cd8) / volume,
            "cd4": sum(cd4) / volume,
            **kinds,
            "b_cells_total": (y.b_cells + y.b_cells_new) / p.per_litre,
        }

    def drivers(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return cells, B cells killed per day and reactive B cells left, in blood."""
        return {
            **super().drivers(t, y, p),
            "killing": self._killing(y, p, "", y.b_cells) * p.blood,
            "antigen": y.b_cells * p.blood,
        }
