"""Simulation-based calibration: whether fits report the posterior that they should."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd._checks.prior_trials import check_method
from cart_pkpd._checks.sbc_ranks import (
    CONVERGED,
    FAILED,
    LOG_LIKELIHOOD,
    UNCONVERGED,
    Ranked,
    Sampler,
    quantity_names,
    simulation,
)
from cart_pkpd._checks.uniform import Walk, holm
from cart_pkpd._core.errors import FitError
from cart_pkpd._core.files import whole_file
from cart_pkpd._core.progress import listener
from cart_pkpd._core.validate import positive_int, probability
from cart_pkpd._stats.fingerprint import described
from cart_pkpd._stats.population import Population, Structure

if TYPE_CHECKING:
    from cart_pkpd._fit.sample import OnProgress
    from cart_pkpd.models import Model

_NUMBERS = ("truth", "rank", "mean", "sd", "ess")
_ALPHA = 0.05


def sbc(
    model: Model | str,
    trial: xr.Dataset,
    population: Population,
    *,
    endpoint: str | Sequence[str] = "transgene",
    simulations: int = 200,
    ranks: int = 100,
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    cores: int | None = None,
    target_accept: float = 0.9,
    threads: int = 1,
    retries: int = 1,
    seed: int = 1,
    progress: OnProgress | bool | None = None,
    resume: str | Path | None = None,
) -> xr.Dataset:
    """Return where the truth lies in the posteriors of trials simulated from the priors.

    Unknowns are drawn from the priors, patients from the population, records with residual error
    at the design of `trial` and with the limits of its records; each trial is fitted as a
    real one would be. If model, priors, likelihood and sampler agree, the rank of the truth
    among independent posterior draws is uniform.

    Parameters
    ----------
    model : Model or str
        A declared model, or the name of a registered one.
    trial : xr.Dataset
        The design: from ``data.read_table``, or from :func:`cart_pkpd.checks.planned_trial`.
        Its measurements are not used, except that the default prior of an additive error has
        their usual size.
    population : Population
        From ``fit.population``. Its priors must be ones from which sensible trials can be drawn:
        state them, the declared ones are wide.
    endpoint : str or sequence of str
        What is simulated and fitted.
    simulations : int
        Number of simulated trials.
    ranks : int
        Number of possible ranks: posteriors are thinned to ranks − 1 draws. With an effective
        sample size below that the fit counts as not converged.
    draws, tune, chains, cores, target_accept, threads
        Of every fit, as for ``fit.bayes``.
    retries : int
        How often a fit that did not converge is repeated, each time with chains twice as long.
    seed : int
        Of everything; simulation i is the same, however many there are.
    progress : callable or bool, optional
        A function that hears a ``Progress`` of stage ``"simulations"``; True for a bar, in a
        notebook or a terminal; False for none. By default a notebook shows a bar.
    resume : str or Path, optional
        Folder in which every finished simulation is kept, and from which it is taken if it is
        there already.

    Returns
    -------
    xr.Dataset
        Dims simulation, quantity: ``rank`` (0 … ranks − 1), ``truth``, ``mean`` and ``sd`` of the
        posterior, ``ess``; NaN where the fit failed. By simulation: ``status`` (``converged``,
        ``unconverged``, ``failed``), ``reason``, ``below`` (share of records below the LLOQ),
        ``seconds``, ``patient``, ``tries``. By quantity: ``p_value`` of uniform ranks among
        fits that converged, ``p_adjusted`` for the number of quantities, ``p_value_all`` with
        unconverged fits, ``bias`` (mean normalised rank − ½) and ``dispersion`` (variance of
        the normalised rank over that of a uniform; above 1 the posteriors are too narrow),
        ``contraction`` (share of the prior variance that data take away, median over trials).
        Attributes ``sentence``, ``counts``, and what was fitted with which priors and settings.

    Raises
    ------
    FitError
        If model, population and design do not fit together, or `resume` holds simulations of
        other settings.

    Notes
    -----
    Ranked are all population quantities, the parameters of one patient drawn at random
    (``<name>_i``), and the log likelihood of all records, which notices what parameters do not:
    a posterior equal to the prior, or one that ignores part of the data [2]_. Fits that failed
    or did not converge are kept apart and counted. Whether a fit converges depends on its data,
    and ranks are uniform given any data [2]_, so that leaving these out makes no ranks uniform
    that are not; but they are trials in which the method gives no answer. The test is exact:
    the probability that the ECDF of uniform ranks comes as far out of its pointwise
    distribution anywhere [3]_.

    References
    ----------
    .. [1] Talts S et al. (2018). arXiv:1804.06788.
    .. [2] Modrák M et al. (2023). Bayesian Analysis. https://doi.org/10.1214/23-BA1404
    .. [3] Säilynoja T, Bürkner P-C, Vehtari A (2022). Stat Comput 32:32.
       https://doi.org/10.1007/s11222-022-10090-6

    Examples
    --------
    >>> plan = checks.planned_trial("stein2019", 12, [0, 3, 7, 10, 14, 21, 28], lloq=50)
    >>> found = checks.sbc("stein2019", plan, pop, simulations=200, resume="sbc")
    >>> found.sentence
    """
    from cart_pkpd import fit

    structure = fit.structure(model, trial, population, endpoint=endpoint)
    settings = {
        "draws": positive_int(draws, "draws"),
        "tune": positive_int(tune, "tune"),
        "chains": positive_int(chains, "chains"),
        "target_accept": probability(target_accept, "target_accept"),
        "threads": positive_int(threads, "threads"),
    }
    if positive_int(ranks, "ranks") < 2 or ranks - 1 > draws * chains:
        raise FitError(
            f"ranks must be from 2 to draws × chains + 1 = {draws * chains + 1}, not {ranks}."
        )

    def sampler(simulated: Structure, own_seed: int, longer: int) -> Any:
        from cart_pkpd._fit.bayes import fit_structure

        lengths = {"draws": draws * longer, "tune": tune * longer}
        return fit_structure(
            simulated, label="sbc", source={}, on_progress=None, cores=cores, seed=own_seed,
            **{**settings, **lengths},
        )  # fmt: skip

    return calibrated(
        structure,
        sampler,
        simulations=positive_int(simulations, "simulations"),
        ranks=ranks,
        retries=retries,
        seed=seed,
        settings=settings,
        progress=listener(progress, "calibration"),
        resume=resume,
    )


def calibrated(
    structure: Structure,
    sampler: Sampler,
    *,
    simulations: int,
    ranks: int,
    seed: int,
    retries: int = 0,
    settings: dict[str, Any],
    progress: OnProgress | None = None,
    resume: str | Path | None = None,
) -> xr.Dataset:
    """Return the same for any sampler; see :func:`cart_pkpd._checks.sbc_ranks.simulation`."""
    check_method(structure)
    kept = _Kept(None if resume is None else Path(resume), _key(structure, settings, ranks, seed))
    found = []
    for i in range(simulations):
        one = kept.read(i)
        if one is None or (one.status == UNCONVERGED and one.tries <= retries):
            one = simulation(structure, sampler, ranks=ranks, retries=retries, seed=seed, index=i)
            kept.write(i, one)
        found.append(one)
        _tell(progress, i + 1, simulations)
    return _joined(structure, found, ranks, seed, settings)


def _tell(progress: OnProgress | None, done: int, total: int) -> None:
    if progress is not None:
        from cart_pkpd._fit.sample import Progress

        progress(Progress("simulations", done, total))


def _key(structure: Structure, settings: dict[str, Any], ranks: int, seed: int) -> str:
    """Return what a simulation depends on, its number apart."""
    said = described(structure, measured=False) | {
        "settings": settings,
        "ranks": ranks,
        "seed": seed,
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class _Kept:
    """Finished simulations in a folder, one file each."""

    folder: Path | None
    key: str

    def _path(self, i: int) -> Path | None:
        return None if self.folder is None else self.folder / f"simulation_{i + 1:05d}.json"

    def read(self, i: int) -> Ranked | None:
        path = self._path(i)
        if path is None or not path.is_file():
            return None
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            same, values = record.pop("key") == self.key, Ranked(**record)
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            raise FitError(f"{str(path)!r} is damaged; remove it.") from problem
        if not same:
            raise FitError(
                f"{path.name} in {str(self.folder)!r} is of another model, design, prior, setting "
                "or seed; name an empty folder."
            )
        return values

    def write(self, i: int, one: Ranked) -> None:
        path = self._path(i)
        if path is None:
            return
        with whole_file(path) as part:
            part.write_text(json.dumps({"key": self.key, **asdict(one)}), encoding="utf-8")


def _joined(
    structure: Structure, found: list[Ranked], ranks: int, seed: int, settings: dict[str, Any]
) -> xr.Dataset:
    names = quantity_names(structure)
    numbers = {
        key: np.array([[f.values.get(q, {}).get(key, np.nan) for q in names] for f in found])
        for key in _NUMBERS
    }
    status = np.array([f.status for f in found])
    out = xr.Dataset(
        {key: (("simulation", "quantity"), value) for key, value in numbers.items()},
        coords={"simulation": np.arange(1, len(found) + 1), "quantity": list(names)},
    )
    out = out.assign_coords(_about(structure)).assign(
        status=("simulation", status),
        reason=("simulation", np.array([f.reason for f in found], dtype=str)),
        below=("simulation", np.array([f.below for f in found]), {"units": "1"}),
        seconds=("simulation", np.array([f.seconds for f in found]), {"units": "s"}),
        patient=("simulation", np.array([f.patient for f in found], dtype=str)),
        tries=("simulation", np.array([f.tries for f in found])),
    )
    out = out.assign(_uniformity(out, ranks))
    counts = {s: int((status == s).sum()) for s in (CONVERGED, UNCONVERGED, FAILED)}
    return out.assign_attrs(
        model=structure.model.name or type(structure.model).__name__,
        what=structure.sentence(),
        priors=json.dumps({q.name: str(q.prior) for q in structure.quantities}),
        patients=structure.design.n_patients,
        records=structure.design.n_obs,
        ranks=ranks,
        seed=seed,
        settings=json.dumps(settings),
        counts=json.dumps(counts),
        sentence=_sentence(out, counts, len(found)),
    )


def _about(structure: Structure) -> dict[str, Any]:
    """Return label, unit and role of what is ranked."""
    model = structure.model
    rows = [(q.label, q.unit, q.role) for q in structure.quantities]
    rows += [
        (f"{model.parameters[n].about or n}, one patient", model.parameters[n].unit, "individual")
        for n in structure.population.iiv
    ]
    rows.append(("log likelihood of all records", "1", LOG_LIKELIHOOD))
    label, unit, role = zip(*rows, strict=True)
    return {
        "label": ("quantity", list(label)),
        "unit": ("quantity", list(unit)),
        "role": ("quantity", list(role)),
    }


def _uniformity(found: xr.Dataset, ranks: int) -> dict[str, Any]:
    """Return tests and summaries of the ranks of every quantity."""
    converged = found["status"].to_numpy() == CONVERGED
    rank = found["rank"].to_numpy()
    known = np.isfinite(rank).all(axis=1)
    p = _p_values(rank[converged], ranks)
    normalised = (rank[converged] + 0.5) / ranks
    few = normalised.shape[0] < 2
    uniform = (1.0 - 1.0 / ranks**2) / 12.0
    prior = found["truth"].to_numpy()[known].copy()
    left = found["sd"].to_numpy()[converged] ** 2
    nan = np.full(rank.shape[1], np.nan)
    # The log likelihood at the truth has a distribution of its own, which is no prior.
    prior[:, found["role"].to_numpy() == LOG_LIKELIHOOD] = np.nan
    return {
        "p_value": ("quantity", p),
        "p_adjusted": ("quantity", holm(p)),
        "p_value_all": ("quantity", _p_values(rank[known], ranks)),
        "bias": ("quantity", nan if few else normalised.mean(axis=0) - 0.5),
        "dispersion": ("quantity", nan if few else normalised.var(axis=0, ddof=1) / uniform),
        "contraction": (
            "quantity",
            nan if few else 1.0 - np.median(left, axis=0) / prior.var(axis=0, ddof=1),
        ),
    }


def _p_values(rank: NDArray[np.float64], ranks: int) -> NDArray[np.float64]:
    if not rank.shape[0]:
        return np.full(rank.shape[1], np.nan)
    walk = Walk(rank.shape[0], ranks)
    return np.array([walk.p_value(column.astype(np.int64)) for column in rank.T])


def _sentence(found: xr.Dataset, counts: dict[str, int], total: int) -> str:
    apart = counts[UNCONVERGED] + counts[FAILED]
    said = f"{counts[CONVERGED]} of {total} fits converged"
    if apart:
        said += f" ({counts[UNCONVERGED]} did not, {counts[FAILED]} failed)"
    if not counts[CONVERGED]:
        return f"{said}: nothing can be said of calibration."
    adjusted = found["p_adjusted"]
    off = [str(q) for q in found["quantity"].to_numpy()[adjusted.to_numpy() < _ALPHA]]
    least = float(adjusted.min())
    if off:
        return (
            f"{said}. Ranks are not uniform for {', '.join(off)} (smallest adjusted p {least:.2g})."
        )
    return (
        f"{said}. Ranks of {adjusted.size} quantities agree with uniform ones (smallest p "
        f"{float(found['p_value'].min()):.2g}, adjusted for their number {least:.2g})."
    )
