"""How the random effects of a patient are distributed: the one place that knows.

A patient's r random effects are normal with mean 0 and covariance D R D: D has the standard
deviations, and R the correlations within blocks of effects. Effects of one parameter on several
occasions share a standard deviation and are independent.

Correlations are moved as canonical partial correlations, of which any values in (-1, 1) give a
correlation matrix: the Cholesky factor of R has rows L_ij = z_ij √(1 - Σ_{k<j} L_ik²)
(Lewandowski, Kurowicka & Joe 2009, J Multivar Anal 100:1989).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._core.errors import FitError
from cart_pkpd._core.validate import did_you_mean, shown
from cart_pkpd._stats.priors import LKJ, Prior

type Array = NDArray[np.float64]

CORRELATION = "corr"
"""Name of the prior of all correlations."""

_LEAST = 1e-6


@dataclass(frozen=True)
class RandomEffects:
    """The r random effects of a patient.

    Attributes
    ----------
    names : tuple of str
        Model parameters that the effects belong to: those that vary between patients, then the
        deviations on occasions.
    sds : tuple of str
        Quantity that is the standard deviation of each.
    blocks : tuple of tuple of int
        Effects that are correlated with each other, positions in rising order.
    """

    names: tuple[str, ...]
    sds: tuple[str, ...]
    blocks: tuple[tuple[int, ...], ...] = ()

    @property
    def size(self) -> int:
        """Number of effects, r."""
        return len(self.names)

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The correlated pairs (later, earlier), in the order of their quantities."""
        return tuple(pair for block in self.blocks for pair in _pairs(block))

    @property
    def correlations(self) -> tuple[str, ...]:
        """Names of the quantities that are the correlations of the pairs."""
        return tuple(correlation_name(self.names[b], self.names[a]) for a, b in self.pairs)

    @property
    def places(self) -> NDArray[np.int64]:
        """Which pair each two effects are, shape (r, r), [later, earlier]; -1 for none."""
        out = np.full((self.size, self.size), -1, dtype=np.int64)
        for i, pair in enumerate(self.pairs):
            out[pair] = i
        return out

    def sd(self, values: Mapping[str, Any]) -> Array:
        """Return the standard deviations from quantities by name, shape (..., r)."""
        columns = [np.asarray(values[n], dtype=float) for n in self.sds]
        return np.stack(columns, axis=-1) if columns else np.zeros((*_shape(values), 0))

    def factor(self, partial: Array) -> Array:
        """Return the Cholesky factor of the correlation matrix, shape (..., r, r).

        Parameters
        ----------
        partial : ndarray, shape (..., pairs)
            Canonical partial correlations.
        """
        out = np.zeros((*partial.shape[:-1], self.size, self.size))
        left = np.ones((*partial.shape[:-1], self.size))
        for i, (a, b) in enumerate(self.pairs):
            z = partial[..., i]
            out[..., a, b] = z * np.sqrt(left[..., a])
            left[..., a] *= (1.0 - z) * (1.0 + z)
        for a in range(self.size):
            out[..., a, a] = np.sqrt(left[..., a])
        return out

    def factor_slopes(self, partial: Array) -> Array:
        """Return the derivatives of :meth:`factor` by each partial, shape (pairs, r, r)."""
        factor = self.factor(partial)
        out = np.zeros((len(self.pairs), self.size, self.size))
        for i, (a, b) in enumerate(self.pairs):
            z = partial[i]
            rest = (1.0 - z) * (1.0 + z)
            out[i, a, b + 1 :] = -factor[a, b + 1 :] * z / rest
            before = factor[a, :b]
            out[i, a, b] = np.sqrt(1.0 - before @ before)
        return out

    def correlated(self, partial: Array) -> Array:
        """Return the correlations of the pairs, same shape as the canonical partial ones."""
        factor = self.factor(partial)
        columns = [np.sum(factor[..., a, :] * factor[..., b, :], axis=-1) for a, b in self.pairs]
        return np.stack(columns, axis=-1) if columns else np.zeros_like(partial)

    def partial(self, correlation: Array) -> Array:
        """Return canonical partial correlations of correlations of the pairs, same shape.

        Correlations that no matrix can have together, such as medians of several, become the
        nearest partial ones within (-1, 1).
        """
        factor = np.zeros((*correlation.shape[:-1], self.size, self.size))
        factor[..., range(self.size), range(self.size)] = 1.0
        out = np.zeros_like(correlation)
        for i, (a, b) in enumerate(self.pairs):
            shared = np.sum(factor[..., a, :b] * factor[..., b, :b], axis=-1)
            z = (correlation[..., i] - shared) / (factor[..., b, b] * factor[..., a, a])
            z = np.clip(z, -1.0 + _LEAST, 1.0 - _LEAST)
            out[..., i] = z
            factor[..., a, b] = z * factor[..., a, a]
            # What is left for the effect's own part stands on the diagonal meanwhile.
            factor[..., a, a] *= np.sqrt((1.0 - z) * (1.0 + z))
        return out

    def root(self, values: Mapping[str, Any]) -> Array:
        """Return the Cholesky factor of the covariance, shape (..., r, r).

        Parameters
        ----------
        values : mapping of str to array_like
            Standard deviations and correlations, natural scale, by the name of the quantity.
        """
        sd = self.sd(values)
        if not self.blocks:
            return sd[..., :, None] * np.eye(self.size)
        given = [np.asarray(values[n], dtype=float) for n in self.correlations]
        return sd[..., :, None] * self.factor(self.partial(np.stack(given, axis=-1)))

    def covariance(self, values: Mapping[str, Any]) -> Array:
        """Return the covariance, shape (..., r, r); as :meth:`root`."""
        root = self.root(values)
        return root @ np.swapaxes(root, -1, -2)

    def sample(
        self, values: Mapping[str, Any], patients: int, rng: np.random.Generator
    ) -> dict[str, Array]:
        """Return effects of new patients by name, shape (..., patients); as :meth:`root`."""
        root = self.root(values)
        z = rng.standard_normal((self.size, *root.shape[:-2], patients))
        if not self.size:
            return {}
        eta = np.einsum("...ab,b...k->a...k", root, z)
        return dict(zip(self.names, eta, strict=True))


def correlation_name(first: str, second: str) -> str:
    """Return the name of the correlation of two parameters' effects."""
    return f"{CORRELATION}_{first}_{second}"


def _pairs(block: Sequence[int]) -> Iterator[tuple[int, int]]:
    for i, a in enumerate(block):
        for b in block[:i]:
            yield a, b


def _shape(values: Mapping[str, Any]) -> tuple[int, ...]:
    return np.shape(next(iter(values.values()))) if values else ()


def blocks_of(corr: Any, iiv: Sequence[str], mixture: str | None) -> tuple[tuple[str, ...], ...]:
    """Return the blocks of correlated parameters, each in the order of `iiv`.

    Parameters
    ----------
    corr : None, "full" or sequence of sequence of str
        As for ``fit.population``.
    iiv : sequence of str
        Parameters that vary between patients.
    mixture : str or None
        The parameter whose distribution is a mixture.

    Raises
    ------
    FitError
        For unknown names, blocks of one, names in two blocks, or the mixture.
    """
    if corr is None or corr is False:
        return ()
    if not isinstance(corr, str | Sequence):
        raise FitError(
            f"corr: give 'full', or blocks of names such as [['cmax', 'alpha']], not {shown(corr)}."
        )
    if not corr:
        return ()
    if isinstance(corr, str):
        if corr != "full":
            raise FitError(
                f"corr: {corr!r} is not known; give 'full', or blocks of names such as "
                "[['cmax', 'alpha'], ['tmax', 'beta']]."
            )
        corr = [tuple(iiv)]
    blocks = [_block(b, iiv) for b in corr]
    for one, other in combinations(blocks, 2):
        both = set(one) & set(other)
        if both:
            raise FitError(f"corr: {min(both)!r} is in two blocks; join them, or name it once.")
    if mixture is not None and any(mixture in b for b in blocks):
        raise FitError(
            f"corr: {mixture!r} has the mixture of non-expanders, which is not normal and so has "
            "no correlations here; name blocks without it, or leave non_expanders out."
        )
    return tuple(blocks)


def _block(given: Any, iiv: Sequence[str]) -> tuple[str, ...]:
    if isinstance(given, str):
        raise FitError(
            f"corr: {given!r} is one name; give blocks of names, such as [['cmax', 'alpha']]."
        )
    if not isinstance(given, Sequence):
        raise FitError(
            f"corr: give blocks of names, such as [['cmax', 'alpha']], not {shown(given)} for one."
        )
    names = [str(n) for n in given]
    for name in names:
        if name not in iiv:
            raise FitError(
                f"corr: {name!r} does not vary between patients.{did_you_mean(name, iiv)} "
                f"These do: {', '.join(iiv) or 'none'}."
            )
        if names.count(name) > 1:
            raise FitError(f"corr: a block names {name!r} twice.")
    if len(names) < 2:
        raise FitError(
            "corr: a block needs two parameters or more that vary between patients, not "
            f"{', '.join(map(repr, names)) or 'none'}."
        )
    return tuple(sorted(names, key=list(iiv).index))


def effects_of(
    iiv: Sequence[str],
    blocks: Sequence[Sequence[str]],
    deviations: Mapping[str, tuple[str, str]],
) -> RandomEffects:
    """Return the random effects of a population.

    Parameters
    ----------
    iiv : sequence of str
        Parameters that vary between patients.
    blocks : sequence of sequence of str
        From :func:`blocks_of`.
    deviations : mapping of str to tuple of str
        Parameter and label of the occasion of each deviation on an occasion, by its name.
    """
    return RandomEffects(
        names=(*iiv, *deviations),
        sds=(
            *(f"omega_{n}" for n in iiv),
            *(iov_name(parameter) for parameter, _ in deviations.values()),
        ),
        blocks=tuple(tuple(list(iiv).index(n) for n in block) for block in blocks),
    )


def iov_name(parameter: str) -> str:
    """Return the name of the standard deviation between occasions."""
    return f"omega_iov_{parameter}"


def shapes_of(
    effects: RandomEffects, priors: Mapping[str, Prior]
) -> tuple[dict[str, LKJ], frozenset[str]]:
    """Return the prior of every correlation, and the names in `priors` that it has used.

    ``priors["corr"]`` is of every block; that of a pair, such as ``priors["corr_cmax_alpha"]``, of
    the block that the pair belongs to, because the prior is one of the whole block.

    Raises
    ------
    FitError
        For a prior of another kind, or two of one block.
    """
    out: dict[str, LKJ] = {}
    used = {CORRELATION} & set(priors) if effects.blocks else set()
    for block in effects.blocks:
        pairs = list(_pairs(block))
        names = [correlation_name(effects.names[b], effects.names[a]) for a, b in pairs]
        own = {n: priors[n] for n in names if n in priors}
        used |= set(own)
        if len(set(own.values())) > 1:
            raise FitError(
                f"priors: {' and '.join(own)} are of one block, whose correlations have one "
                "prior together; give it once."
            )
        chosen = next(iter(own.values()), priors.get(CORRELATION, LKJ()))
        if not isinstance(chosen, LKJ):
            raise FitError(
                f"priors: correlations need an LKJ prior, such as LKJ(eta=2), not {chosen}."
            )
        for name, (_, b) in zip(names, pairs, strict=True):
            depth = 1.0 + block.index(b)
            out[name] = LKJ(chosen.eta, float(len(block)), depth)
    return out, frozenset(used)
