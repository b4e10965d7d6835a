"""What a search may add to a population or take from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any, Protocol

from cart_pkpd._core.errors import FitError
from cart_pkpd._core.validate import as_names, shown
from cart_pkpd._stats.covariates import FORMS, Term, as_term, named_terms
from cart_pkpd._stats.population import Population
from cart_pkpd._stats.random_effects import CORRELATION, correlation_name

_KEYS = ("covariates", "iiv", "corr")


class Candidate(Protocol):
    """One change of a population, and back."""

    @property
    def kind(self) -> str:
        """``covariate``, ``iiv`` or ``corr``."""
        ...

    @property
    def name(self) -> str:
        """For people: ``"dose_level on cmax"``."""
        ...

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters that it changes."""
        ...

    def within(self, population: Population) -> bool:
        """Return True if the population has it."""
        ...

    def obstacle(self, population: Population) -> str:
        """Return why it cannot be added, or removed where it is within; empty if it can."""
        ...

    def added(self, population: Population) -> Population:
        """Return the population with it."""
        ...

    def removed(self, population: Population) -> Population:
        """Return the population without it."""
        ...

    def owns(self, quantity: str) -> bool:
        """Return True for a quantity that there is only with it."""
        ...


@dataclass(frozen=True)
class CovariateEffect:
    """A covariate of a parameter, in one form."""

    parameter: str
    term: Term
    kind: str = "covariate"

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameter that the covariate acts on."""
        return (self.parameter,)

    @property
    def name(self) -> str:
        """Covariate, parameter and form."""
        form = f" ({self.term.form})" if self.term.form else ""
        return f"{self.term.covariate} on {self.parameter}{form}"

    def within(self, population: Population) -> bool:
        """Return True if the parameter has this covariate in this form."""
        return self.term in self._terms(population)

    def obstacle(self, population: Population) -> str:
        """Return that another form of it is in, if so."""
        same = [t for t in self._terms(population) if t.covariate == self.term.covariate]
        if not same or self.within(population):
            return ""
        return f"{self.term.covariate} acts on {self.parameter} already, in another form"

    def added(self, population: Population) -> Population:
        """Return the population with the covariate."""
        return self._with(population, (*self._terms(population), self.term))

    def removed(self, population: Population) -> Population:
        """Return the population without the covariate."""
        return self._with(population, [t for t in self._terms(population) if t != self.term])

    def owns(self, quantity: str) -> bool:
        """Return True for its coefficients."""
        own = f"beta_{self.parameter}_{self.term.covariate}"
        return quantity == own or quantity.startswith(f"{own}_")

    def _terms(self, population: Population) -> list[Term]:
        return [as_term(t) for t in population.covariates.get(self.parameter, ())]

    def _with(self, population: Population, terms: Sequence[Term]) -> Population:
        covariates = dict(population.covariates) | {self.parameter: tuple(terms)}
        return replace(population, covariates={k: v for k, v in covariates.items() if v})


@dataclass(frozen=True)
class Variability:
    """A parameter that varies between patients."""

    parameter: str
    kind: str = "iiv"

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameter that varies."""
        return (self.parameter,)

    @property
    def name(self) -> str:
        """What is meant, with the parameter."""
        return f"IIV of {self.parameter}"

    def within(self, population: Population) -> bool:
        """Return True if the parameter varies."""
        return self.parameter in population.iiv

    def obstacle(self, population: Population) -> str:
        """Return that the mixture needs it, if so."""
        if population.non_expanders == self.parameter:
            return "the mixture of non-expanders needs it"
        return ""

    def added(self, population: Population) -> Population:
        """Return the population in which the parameter varies."""
        return replace(population, iiv=(*population.iiv, self.parameter))

    def removed(self, population: Population) -> Population:
        """Return the population in which it does not, nor is it correlated."""
        iiv = tuple(n for n in population.iiv if n != self.parameter)
        blocks = [tuple(n for n in b if n != self.parameter) for b in population.corr]
        return replace(population, iiv=iiv, corr=tuple(b for b in blocks if len(b) > 1))

    def owns(self, quantity: str) -> bool:
        """Return True for its standard deviation and correlations."""
        own = (f"{CORRELATION}_{self.parameter}_", f"_{self.parameter}")
        correlated = quantity.startswith(f"{CORRELATION}_") and (
            quantity.startswith(own[0]) or quantity.endswith(own[1])
        )
        return correlated or quantity == f"omega_{self.parameter}"


@dataclass(frozen=True)
class Correlation:
    """A block of parameters whose deviations are correlated."""

    block: tuple[str, ...]
    kind: str = "corr"

    @property
    def parameters(self) -> tuple[str, ...]:
        """The members of the block."""
        return self.block

    @property
    def name(self) -> str:
        """What is meant, with the parameters."""
        return f"correlation of {', '.join(self.block)}"

    def within(self, population: Population) -> bool:
        """Return True if these, and no others with them, are a block."""
        return any(set(b) == set(self.block) for b in population.corr)

    def obstacle(self, population: Population) -> str:
        """Return that a member does not vary or is in another block, if so."""
        still = [n for n in self.block if n not in population.iiv]
        if still:
            verb = "do not vary" if len(still) > 1 else "does not vary"
            return f"{', '.join(still)} {verb} between patients"
        shared = [b for b in population.corr if set(b) & set(self.block)]
        if any(not set(b) <= set(self.block) for b in shared):
            return "a member is correlated with others already"
        return ""

    def added(self, population: Population) -> Population:
        """Return the population with the block, in place of smaller ones within it."""
        others = [b for b in population.corr if not set(b) <= set(self.block)]
        return replace(population, corr=(*others, self.block))

    def removed(self, population: Population) -> Population:
        """Return the population in which these are not correlated."""
        others = [b for b in population.corr if set(b) != set(self.block)]
        return replace(population, corr=tuple(others))

    def owns(self, quantity: str) -> bool:
        """Return True for its correlations."""
        return quantity in {correlation_name(a, b) for a, b in permutations(self.block, 2)}


@dataclass(frozen=True)
class Candidates:
    """What a search may add or remove; made by :func:`candidates`.

    Attributes
    ----------
    all : tuple of Candidate
        Covariates, then variability, then correlations, in the order given.
    """

    all: tuple[Candidate, ...]

    def __len__(self) -> int:
        return len(self.all)


def candidates(
    *,
    covariates: Mapping[str, Any] | Sequence[Any] | None = None,
    parameters: Sequence[str] | None = None,
    forms: Sequence[str] | None = None,
    iiv: Sequence[str] = (),
    corr: Sequence[Sequence[str]] = (),
) -> Candidates:
    """Say what a search may add to a population or take from it.

    Parameters
    ----------
    covariates : mapping of str to sequence, or sequence
        ``{"cmax": ["dose_level", fit.covariate("age", form="linear")]}`` as for
        ``fit.population``, or covariates alone, each to be tried on each of `parameters`.
    parameters : sequence of str, optional
        Parameters for covariates that are given alone.
    forms : sequence of str, optional
        Forms in which each covariate that names neither a form nor a reference is tried, one of
        them at a time; by default the one that suits its values.
    iiv : sequence of str
        Parameters that may vary between patients.
    corr : sequence of sequence of str
        Blocks whose deviations may be correlated; a block replaces smaller ones within it.

    Returns
    -------
    Candidates

    Raises
    ------
    FitError
        If nothing is named, something twice, or covariates alone come without parameters.

    Examples
    --------
    >>> candidates(covariates=["age", "sex"], parameters=["cmax", "alpha"], iiv=["beta"])
    """
    found: list[Candidate] = [
        CovariateEffect(parameter, term)
        for parameter, given in _by_parameter(covariates, parameters).items()
        for one in named_terms(given)
        for term in _in_forms(as_term(one), forms)
    ]
    found += [Variability(n) for n in as_names(iiv, "iiv", such_as="['cmax', 'alpha']")]
    found += [Correlation(_block(b)) for b in corr]
    names = [c.name for c in found]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise FitError(f"candidates: {twice[0]!r} is there twice; name it once.")
    if not found:
        raise FitError(
            "candidates: name at least one, such as candidates(iiv=['beta']) or "
            "candidates(covariates={'cmax': ['dose_level']})."
        )
    return Candidates(tuple(found))


def as_candidates(value: Any) -> Candidates:
    """Return candidates, given as themselves or as a mapping of the arguments of `candidates`."""
    if isinstance(value, Candidates):
        return value
    if isinstance(value, Mapping):
        unknown = [k for k in value if k not in (*_KEYS, "parameters", "forms")]
        if not unknown:
            return candidates(**value)
        raise FitError(f"candidates: unknown key {unknown[0]!r}. Known: {', '.join(_KEYS)}.")
    raise FitError(
        "candidates: give compare.candidates(covariates=..., iiv=..., corr=...), not "
        f"{shown(value)}."
    )


def _by_parameter(given: Any, parameters: Sequence[str] | None) -> Mapping[str, Any]:
    if given is None:
        return {}
    if isinstance(given, Mapping):
        if parameters is not None:
            raise FitError(
                "candidates: covariates by parameter name their parameters; leave parameters= out."
            )
        return given
    if not parameters:
        raise FitError("candidates: covariates alone need parameters=, those that each may act on.")
    return dict.fromkeys(as_names(parameters, "parameters", such_as="['cmax', 'alpha']"), given)


def _in_forms(term: Term, forms: Sequence[str] | None) -> list[Term]:
    if not forms or term.form is not None or term.reference is not None:
        return [term]
    unknown = [f for f in forms if f not in FORMS]
    if unknown:
        raise FitError(f"candidates: unknown form {unknown[0]!r}. Known: {', '.join(FORMS)}.")
    return [replace(term, form=form) for form in forms]


def _block(given: Any) -> tuple[str, ...]:
    block = as_names(given, "corr", such_as="[['cmax', 'alpha']]") if given else ()
    if isinstance(given, str) or len(set(block)) < 2:
        raise FitError(
            f"candidates: corr needs blocks of two parameters or more, such as "
            f"[['cmax', 'alpha']], not {shown(given)}."
        )
    return block
