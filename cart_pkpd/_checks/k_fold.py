"""How well a fit predicts patients that it has not seen, by fitting again without them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd._checks.leave_out import (
    few_points,
    inner,
    named,
    relative_efficiency,
    standard_error,
    thinned,
)
from cart_pkpd._checks.marginal import Marginal, integrated, proposals, sampled
from cart_pkpd._core.errors import FitError
from cart_pkpd._core.progress import listener
from cart_pkpd._core.sealed import DAMAGED, intact
from cart_pkpd._core.validate import one_of, positive_int
from cart_pkpd._core.words import count
from cart_pkpd._fit.laplace_result import LaplaceResult
from cart_pkpd._fit.trees import write_tree

if TYPE_CHECKING:
    from cart_pkpd._checks.proposal import Component
    from cart_pkpd._fit.fitted import PopulationFit
    from cart_pkpd._fit.result import FitResult
    from cart_pkpd._fit.sample import OnProgress

_SETTINGS = ("draws", "tune", "chains", "cores", "target_accept", "threads")
_OF_LAPLACE = ("method", "starts", "iterations")
_MOST_STEPS = 200
_NO_MATCH = "fold {fold} in {folder} is of another fit, split or seed; name an empty folder."


def k_fold(
    result: FitResult,
    *,
    k: int = 10,
    by: str = "patient",
    seed: int = 1,
    n_draws: int = 500,
    n_samples: int = 100,
    folder: str | Path | None = None,
    progress: OnProgress | bool | None = None,
    **settings: Any,
) -> xr.Dataset:
    """Return the log predictive density of every patient under a fit without its fold.

    Parameters
    ----------
    result : FitResult
        The fit of all patients; it holds the records, so that no table is needed. One by
        maximum likelihood is fitted again likewise, and its draws are those about the estimates.
    k : int
        Number of folds, at most the number of patients: then each is left out alone.
    by : str
        ``"patient"``: folds of whole patients.
    seed : int
        Of the split, the refits and the points over which etas are integrated.
    n_draws, n_samples : int
        As for :func:`leave_one_patient_out`.
    folder : str or Path, optional
        Where the draws of each refit are kept; a fold that is there already is not fitted again.
    progress : callable or bool, optional
        A function that hears a ``Progress`` of stage ``"folds"``; True for a bar, in a notebook or
        a terminal; False for none. By default a notebook shows a bar.
    **settings
        ``draws``, ``tune``, ``chains``, ``cores``, ``target_accept``, ``threads`` of the refits;
        those of `result` by default. Of refits by maximum likelihood ``method``, ``starts`` and
        ``iterations`` (at most 200 by default).

    Returns
    -------
    xr.Dataset
        Dim id: ``elpd``, ``mcse``, ``inner_ess``, ``inner_mcse``, ``points``, ``unsolved``,
        ``fold``, ``reason``; dim refit: ``verdict`` and ``converged`` of the refit. Attributes
        ``elpd``, ``se``, ``mcse``, ``reliable``, ``sentence``.

    Raises
    ------
    FitError
        If there are fewer patients than folds, or the folder holds folds of another fit.

    Notes
    -----
    The refits keep the priors and the reference values of covariates of the whole data, so
    that they are what leave-one-patient-out by importance sampling approximates. With fewer
    folds than patients each refit sees less data, and elpd comes out a little lower.

    Examples
    --------
    >>> exact = checks.k_fold(result, k=12, folder="folds", seed=1)
    """
    one_of(by, ("patient",), "way to make folds", error=FitError)
    own = _settings(result, settings)
    structure = result.structure
    fold = _split(structure.design.n_patients, positive_int(k, "k"), seed)
    plan = _Plan(
        result,
        own,
        seed,
        positive_int(n_draws, "n_draws"),
        positive_int(n_samples, "n_samples"),
        None if folder is None else Path(folder),
        proposals(result),
    )
    parts, hears = [], listener(progress, result.label)
    for f in range(k):
        parts.append(plan.fold(f, np.flatnonzero(fold == f)))
        _tell(hears, f + 1, k)
    return _joined(result, parts, fold)


def _settings(result: FitResult, given: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of the refits: those given, else those of the fit."""
    by_maximum = isinstance(result, LaplaceResult)
    names = _OF_LAPLACE if by_maximum else _SETTINGS
    unknown = set(given) - set(names)
    if unknown:
        raise FitError(f"{min(unknown)!r} is no setting of a refit: {', '.join(names)}.")
    kept = {s: result.provenance.get(s) for s in names}
    if by_maximum:  # what is kept there is how many steps were taken
        kept["iterations"] = _MOST_STEPS
    return {**kept, **given}


def _split(n: int, k: int, seed: int) -> NDArray[np.int64]:
    """Return the fold of every patient: at random, sizes that differ by one at most."""
    if not 2 <= k <= n:
        if n < 2:
            raise FitError(
                "the fit has one patient, who cannot be left out: nothing would be left."
            )
        of = f"{count(k, 'fold')} of {count(n, 'patient')}"
        raise FitError(f"k_fold: {of} cannot be made; give k from 2 to {n}.")
    fold = np.empty(n, dtype=np.int64)
    fold[np.random.default_rng(seed).permutation(n)] = np.arange(n) % k
    return fold


def _tell(progress: OnProgress | None, done: int, total: int) -> None:
    if progress is not None:
        from cart_pkpd._fit.sample import Progress

        progress(Progress("folds", done, total))


@dataclass(frozen=True, eq=False)
class _Plan:
    """What all folds share."""

    result: FitResult
    settings: dict[str, Any]
    seed: int
    n_draws: int
    n_samples: int
    folder: Path | None
    found: Sequence[Sequence[Component]]

    def fold(self, f: int, held: NDArray[np.int64]) -> xr.Dataset:
        """Return the densities of the patients that are left out, and the refit's verdict."""
        draws = self._kept(f, held)
        if draws is None:
            draws = self._refitted(f, held)
            self._keep(f, held, draws)
        structure = self.result.structure.among(held.tolist())
        few = thinned(draws, self.n_draws)
        own = [self.found[i] for i in held]
        m = integrated(
            structure, sampled(few), own, n_samples=self.n_samples, seed=self.seed + 1000 + f
        )
        shape = (few.sizes["chain"], few.sizes["draw"], -1)
        loglik = xr.DataArray(m.loglik.reshape(shape), dims=("chain", "draw", "id"))
        return inner(structure.design, m).assign(_predictive(loglik, m)).assign_attrs(draws.attrs)

    def _refitted(self, f: int, held: NDArray[np.int64]) -> xr.Dataset:
        from cart_pkpd._fit import bayes, laplace

        structure = self.result.structure
        others = np.setdiff1d(np.arange(structure.design.n_patients), held)
        shared: dict[str, Any] = {
            "label": f"{self.result.label}, fold {f + 1}", "source": {}, "seed": self.seed + 1 + f,
            **self.settings,
        }  # fmt: skip
        among = structure.among(others.tolist())
        again: PopulationFit = (
            laplace.fit_structure(among, **shared)
            if isinstance(self.result, LaplaceResult)
            else bayes.fit_structure(among, on_progress=None, **shared)
        )
        verdict = {"converged": int(again.verdict.ok), "verdict": again.verdict.sentence}
        return again.draws().drop_attrs().assign_attrs(verdict)

    def _path(self, f: int) -> Path | None:
        return None if self.folder is None else self.folder / f"fold_{f + 1:03d}.nc"

    def _key(self, f: int, held: NDArray[np.int64]) -> str:
        """Return what the draws of a fold depend on."""
        design = self.result.structure.design
        records = (design.time, design.dv, design.code, design.patient, design.measure, held)
        said = {
            "records": hashlib.sha256(b"".join(a.tobytes() for a in records)).hexdigest(),
            "model": self.result.sentence,
            "quantities": [f"{q.name} {q.prior}" for q in self.result.structure.quantities],
            "settings": {k: v for k, v in self.settings.items() if k != "cores"},
            "seed": self.seed + 1 + f,
        }
        return json.dumps(said, sort_keys=True)

    def _kept(self, f: int, held: NDArray[np.int64]) -> xr.Dataset | None:
        path = self._path(f)
        if path is None or not path.is_file():
            return None
        try:
            with xr.open_dataset(path, engine="h5netcdf") as opened:
                draws = opened.load()
        except DAMAGED:
            return None
        if not intact(path):
            return None
        if draws.attrs.pop("key", "") != self._key(f, held):
            raise FitError(_NO_MATCH.format(fold=f + 1, folder=str(self.folder)))
        return draws

    def _keep(self, f: int, held: NDArray[np.int64], draws: xr.Dataset) -> None:
        path = self._path(f)
        if path is None:
            return
        write_tree(draws.assign_attrs(key=self._key(f, held)), path)


def _predictive(loglik: xr.DataArray, found: Marginal) -> dict[str, Any]:
    """Return ln of the mean likelihood over draws, and its Monte-Carlo standard error."""
    most = found.loglik.max(axis=0)
    with np.errstate(invalid="ignore"):
        likelihood = np.exp(found.loglik - most)
        mean = likelihood.mean(axis=0)
        # Errors of the integrals are independent over draws: they are in the scatter already.
        density = xr.DataArray(
            likelihood.reshape(loglik.shape), dims=loglik.dims
        )  # of each patient, relative
        influence = (likelihood / mean - 1) / likelihood.shape[0]
    influence = influence / np.sqrt(relative_efficiency(density))
    return {
        "elpd": ("id", np.log(mean) + most, {"units": "1"}),
        "mcse": ("id", np.sqrt((influence**2).sum(axis=0)), {"units": "1"}),
        "_joint": float((influence.sum(axis=1) ** 2).sum()),
    }


def _joined(result: FitResult, parts: list[xr.Dataset], fold: NDArray[np.int64]) -> xr.Dataset:
    ids = result.structure.design.ids
    error = float(np.sqrt(sum(float(p["_joint"]) for p in parts)))
    converged = np.array([bool(p.attrs["converged"]) for p in parts])
    verdicts = np.array([p.attrs["verdict"] for p in parts], dtype=str)
    rows = [p.drop_vars("_joint").drop_attrs(deep=False) for p in parts]
    out = xr.concat(rows, dim="id", join="exact").sel(id=ids)
    elpd = out["elpd"].to_numpy()
    few = few_points(out)
    reasons = [
        "; ".join(_reasons(e, c, f)) for e, c, f in zip(elpd, converged[fold], few, strict=True)
    ]
    failed = [f"the refit of fold {i + 1} did not converge" for i in np.flatnonzero(~converged)]
    if few.any():
        failed.append(f"few effective points in the integral over the etas for {named(ids[few])}")
    if not np.isfinite(elpd).all():
        failed.append(f"no elpd for {named(ids[~np.isfinite(elpd)])}")
    se = standard_error(elpd)
    sentence = (
        "Not reliable: " + "; ".join(failed) + "."
        if failed
        else f"Reliable: {len(parts)} refits converged; Monte-Carlo error {error:.2f} beside a "
        f"standard error of {se:.2f}."
    )
    return out.assign(
        fold=("id", fold + 1),
        reason=("id", np.array(reasons, dtype=str)),
        converged=("refit", converged),
        verdict=("refit", verdicts),
    ).assign_attrs(
        elpd=float(elpd.sum()), se=se, mcse=error, reliable=int(not failed), sentence=sentence,
        fit=result.label, folds=len(parts),
    )  # fmt: skip


def _reasons(elpd: float, converged: bool, few: bool) -> list[str]:
    said = [] if np.isfinite(elpd) else ["the density is 0 at every draw, or not a number"]
    said += [] if converged else ["the refit without this patient did not converge"]
    return said + (["few effective points in the integral over the etas"] if few else [])
