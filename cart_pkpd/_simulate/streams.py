"""Random numbers of virtual patients: by blocks of fixed size, one stream per purpose.

What is drawn for a patient depends on the seed and the patient's number alone: not on how many
patients there are, how they are cut into chunks, or who works on them. A purpose of its own stream,
so that switching one part on or off leaves the others as they were.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

type Floats = NDArray[np.float64]
type Ints = NDArray[np.int64]

BLOCK = 2048
"""Patients whose random numbers come from one stream; part of what a seed means."""

_PURPOSES = (
    "covariates", "draws", "etas", "mixture", "visits", "missed", "residual", "dropout", "death",
    "outcomes", "template",
)  # fmt: skip


@dataclass(frozen=True)
class Streams:
    """The streams of one block of patients.

    Attributes
    ----------
    seed, block : int
        Seed of the simulation, and position of the block.
    """

    seed: int
    block: int

    def of(self, purpose: str, *which: int) -> np.random.Generator:
        """Return the stream of a purpose, or of one of several things of it."""
        key = (self.block, _PURPOSES.index(purpose), *which)
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))

    def uniform(self, purpose: str, *shape: int, which: tuple[int, ...] = ()) -> Floats:
        """Return numbers in (0, 1), shape (BLOCK, ...)."""
        # 0 itself, which has no normal quantile, comes once in 2^53 draws.
        return np.maximum(self.of(purpose, *which).random((BLOCK, *shape)), 2.0**-54)

    def normal(self, purpose: str, *shape: int) -> Floats:
        """Return standard normal numbers, shape (BLOCK, ...)."""
        return self.of(purpose).standard_normal((BLOCK, *shape))


def share_below(z: Floats) -> Floats:
    """Return the standard normal distribution function, kept inside (0, 1)."""
    return np.clip(special.ndtr(z), 2.0**-54, 1.0 - 2.0**-53)
