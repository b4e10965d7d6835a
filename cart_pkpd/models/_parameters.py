"""Parameters as records: what a quantity is, its usual value, where that comes from."""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from cart_pkpd._core.errors import ModelError
from cart_pkpd._core.units import canonical
from cart_pkpd._core.validate import did_you_mean
from cart_pkpd.models.math import Value, exp, expit, log, logit

CONFIDENCE = MappingProxyType(
    {
        "published": "read in the publication, its label or its data",
        "transcribed": "read in code or a model file that cites the paper",
        "computed": "computed from published numbers or open data",
        "assumed": "assumed: not read in any publication",
        "given": "given by the user",
    }
)
"""How sure a number or an equation is, from most to least, in words."""


@dataclass(frozen=True)
class Parameter(abc.ABC):
    """One parameter of a model: what it is, its usual value, how much it varies.

    The class says which values are possible (`Positive`, `Fraction`, `Real`); from that
    follow the free scale of fits (log, logit, identity) and the form of the prior, whose
    median is `typical` and whose standard deviation on the free scale is `spread`.

    Attributes
    ----------
    typical : float
        Typical value in the population, natural scale.
    unit : str
        Unit of `typical`; ``"1"`` for a pure number.
    about : str
        Meaning in a few words.
    iiv : float or None
        Published between-patient standard deviation (omega) on the free scale.
    spread : float
        Standard deviation of the prior of the typical value on the free scale.
    source : str
        Table or page of the publication; ``"assumed"`` if there is none.
    confidence : str
        How sure `typical` is, one of `CONFIDENCE`; by default ``"published"`` with a source and
        ``"assumed"`` without.
    iiv_source : str
        Where `iiv` comes from; ``"assumed"`` if from nowhere.
    fixed : bool
        Fits hold it at `typical` unless ``with_`` changes its record.
    """

    typical: float
    unit: str = "1"
    about: str = ""
    iiv: float | None = None
    spread: float = 1.0
    source: str = "assumed"
    confidence: str = ""
    iiv_source: str = "assumed"
    fixed: bool = False

    scale: ClassVar[str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "unit", canonical(self.unit))
        object.__setattr__(self, "typical", float(self.typical))
        if not self.contains(self.typical):
            raise ModelError(
                f"typical value {self.typical!r} is outside the support of "
                f"{type(self).__name__} ({self.support})."
            )
        if not self.spread > 0 or (self.iiv is not None and not self.iiv > 0):
            raise ModelError(f"spread and iiv of {self.about!r} must be above 0.")
        sure = self.confidence or ("assumed" if self.source == "assumed" else "published")
        check_confidence(self.about, sure)
        object.__setattr__(self, "confidence", sure)

    @property
    @abc.abstractmethod
    def support(self) -> str:
        """The possible values in words."""

    @abc.abstractmethod
    def contains(self, value: float) -> bool:
        """Return True if `value` is possible."""

    @staticmethod
    @abc.abstractmethod
    def to_free(value: Value) -> Value:
        """Map the natural value to the whole real line."""

    @staticmethod
    @abc.abstractmethod
    def to_natural(value: Value) -> Value:
        """Map a real number back to the natural value."""


@dataclass(frozen=True)
class Positive(Parameter):
    """A parameter above 0; free scale is the natural log."""

    scale: ClassVar[str] = "log"

    @property
    def support(self) -> str:
        return "above 0"

    def contains(self, value: float) -> bool:
        return bool(0 < value < np.inf)

    @staticmethod
    def to_free(value: Value) -> Value:
        return log(value)

    @staticmethod
    def to_natural(value: Value) -> Value:
        return exp(value)


@dataclass(frozen=True)
class Fraction(Parameter):
    """A parameter strictly between 0 and 1; free scale is the logit."""

    scale: ClassVar[str] = "logit"

    @property
    def support(self) -> str:
        return "between 0 and 1"

    def contains(self, value: float) -> bool:
        return bool(0 < value < 1)

    @staticmethod
    def to_free(value: Value) -> Value:
        return logit(value)

    @staticmethod
    def to_natural(value: Value) -> Value:
        return expit(value)


@dataclass(frozen=True)
class Real(Parameter):
    """A parameter of either sign; free scale is the natural one."""

    scale: ClassVar[str] = "identity"

    @property
    def support(self) -> str:
        return "any real number"

    def contains(self, value: float) -> bool:
        return bool(np.isfinite(value))

    @staticmethod
    def to_free(value: Value) -> Value:
        return value

    @staticmethod
    def to_natural(value: Value) -> Value:
        return value


def check_confidence(what: str, word: str) -> None:
    """Raise ModelError if `word` is not one of `CONFIDENCE`."""
    if word not in CONFIDENCE:
        raise ModelError(
            f"confidence of {what!r}: {word!r} is not known.{did_you_mean(word, CONFIDENCE)} "
            f"Known: {', '.join(CONFIDENCE)}."
        )


@dataclass(frozen=True)
class ParameterSet:
    """Another published set of values of one model: a patient, a product, a disease.

    Attributes
    ----------
    about : str
        Whose values these are.
    values : mapping of str to float
        Parameters that differ from the declaration, natural scale, in the declared units.
    source, confidence : str
        As for a parameter.
    """

    about: str
    values: Mapping[str, float] = field(default_factory=dict)
    source: str = "assumed"
    confidence: str = ""

    def __post_init__(self) -> None:
        sure = self.confidence or ("assumed" if self.source == "assumed" else "published")
        check_confidence(self.about, sure)
        object.__setattr__(self, "confidence", sure)
        object.__setattr__(self, "values", MappingProxyType(dict(self.values)))


@dataclass(frozen=True)
class Fixed:
    """A value at which a parameter is held: ``model.with_(beta=Fixed(0.003))``."""

    value: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ModelError(f"a parameter can be held at a finite number, not {self.value!r}.")


@dataclass(frozen=True)
class Reference:
    """The publication behind a model.

    Attributes
    ----------
    authors, year, title, journal, doi : str
        As printed; empty where not known.
    """

    authors: str
    year: int
    title: str
    journal: str
    doi: str

    def __str__(self) -> str:
        said = [f"{self.authors} ({self.year})", self.title, self.journal]
        text = " ".join(f"{s}." for s in said if s)
        return f"{text} https://doi.org/{self.doi}" if self.doi else text
