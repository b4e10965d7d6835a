"""A fit on disk: one netCDF file of arrays and plain JSON, nothing that runs when read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from cart_pkpd._core.errors import FitError, ModelError
from cart_pkpd._engine.solve import Solver
from cart_pkpd._fit.fitted import PopulationFit
from cart_pkpd._fit.laplace_result import LaplaceResult
from cart_pkpd._fit.laplace_verdict import LaplaceVerdict
from cart_pkpd._fit.result import FitResult
from cart_pkpd._fit.trees import read_tree, write_tree
from cart_pkpd._fit.verdict import Verdict
from cart_pkpd._stats.design import (
    DOSE_FIELDS,
    RECORD_FIELDS,
    Change,
    Design,
    Exclusion,
    Measure,
)
from cart_pkpd._stats.occasions import Occasion
from cart_pkpd._stats.population import Population, resolve
from cart_pkpd._stats.priors import KINDS, prior_from
from cart_pkpd.models import Fraction, Model, Parameter, Positive, Real, get, names
from cart_pkpd.models._compose import part_from, pieces
from cart_pkpd.models._extended import plain
from cart_pkpd.models._occasions import without_occasions

FORMAT = 3
_BAYES, _LAPLACE = "bayes", "laplace"
_KINDS: Mapping[str, tuple[Any, Any]] = {
    _BAYES: (FitResult, Verdict),
    _LAPLACE: (LaplaceResult, LaplaceVerdict),
}
_RECORD = "cart_pkpd_fit"
_KNOWN = "known_"
_SUPPORTS: Mapping[str, type[Parameter]] = {c.__name__: c for c in (Positive, Fraction, Real)}
_PRIOR_KINDS = {cls: kind for kind, cls in KINDS.items()}


def save(result: PopulationFit, path: Path) -> Path:
    """Write `result` to `path`; the file appears whole or not at all."""
    tree = result.tree.copy()
    tree["design"] = xr.DataTree(_design_dataset(result.structure.design))
    tree["subjects"] = xr.DataTree(result.structure.design.subjects)
    tree.attrs[_RECORD] = json.dumps(_record(result))
    return write_tree(tree, path)


def load(path: Path, model: Model | None = None) -> FitResult | LaplaceResult:
    """Read a fit; `model` is needed only for a model class that is not registered.

    Raises
    ------
    FitError
        If the file is not a fit of this package, or its model is unknown.
    """
    tree, record = read_tree(path, _RECORD, FORMAT, "a fit saved by cart_pkpd")
    design = _design(tree["design"].to_dataset(), tree["subjects"].to_dataset())
    structure = resolve(_model(record["model"], model), _population(record["population"]), design)
    del tree["design"], tree["subjects"]
    kind, verdict = _KINDS[record.get("kind", _BAYES)]
    return kind(
        label=record["label"],
        structure=structure,
        tree=tree,
        verdict=verdict(**record["verdict"]),
        provenance=record["provenance"],
    )


def provenance(path: Path) -> Mapping[str, Any]:
    """Return how a fit on disk was made, without reading its arrays; empty if it is no fit."""
    import h5netcdf

    try:
        with h5netcdf.File(path, "r") as file:
            record = json.loads(file.attrs[_RECORD])
    except (OSError, KeyError, ValueError):
        return {}
    found: Mapping[str, Any] = record["provenance"] if record.get("format") == FORMAT else {}
    return found


def _record(result: PopulationFit) -> dict[str, Any]:
    structure = result.structure
    # What the population adds to a model is made again when the file is read.
    model, population = without_occasions(plain(structure.model)), structure.population
    return {
        "format": FORMAT,
        "kind": _LAPLACE if isinstance(result, LaplaceResult) else _BAYES,
        "label": result.label,
        "model": {
            **_origin(model),
            "parameters": {
                k: {"support": type(p).__name__, **asdict(p)} for k, p in model.parameters.items()
            },
            "fixed": dict(model.fixed),
            "solver": asdict(model.solver),
        },
        "population": {
            **population.describe(),
            "centred": population.centred,
            "priors": {
                k: {"kind": _PRIOR_KINDS[type(p)], **asdict(p)}
                for k, p in population.priors.items()
            },
        },
        "verdict": result.verdict.as_dict(),
        "provenance": dict(result.provenance),
    }


def _origin(model: Model) -> dict[str, Any]:
    """Return what the class of a model is made again of."""
    base, parts = pieces(model)
    named = {"name": base.name, "class": type(base).__name__}
    return {**named, "parts": [p.describe() for p in parts]}


def _model(record: Mapping[str, Any], given: Model | None) -> Model:
    if given is None and record["name"] not in names():
        raise FitError(
            f"the fit uses the model class {record['class']!r}, which is not registered; "
            f"pass it: fit.load(path, model={record['class']}())."
        )
    base = pieces(given)[0] if given is not None else get(record["name"])
    if type(base).__name__ != record["class"]:
        raise FitError(
            f"the fit was made with the model class {record['class']!r}, not "
            f"{type(base).__name__!r}; pass that class: fit.load(path, model={record['class']}())."
        )
    parameters = {
        k: _SUPPORTS[p["support"]](**{n: v for n, v in p.items() if n != "support"})
        for k, p in record["parameters"].items()
    }
    if record["parts"]:
        base = _with_parts(base, record["parts"], parameters)
    if set(parameters) != set(base.parameters):
        raise FitError(
            f"the fit was made with other parameters ({', '.join(parameters)}) than "
            f"{type(base).__name__} has ({', '.join(base.parameters)})."
        )
    solver = Solver(**record["solver"])
    return type(base)(parameters=parameters, fixed=record["fixed"], solver=solver)


def _with_parts(
    base: Model, parts: Sequence[Mapping[str, Any]], parameters: Mapping[str, Parameter]
) -> Model:
    # Parts take their units from the cell model, so its own may have to come first.
    units = {k: {"unit": parameters[k].unit} for k in base.parameters if k in parameters}
    model = base.with_(**units)
    try:
        for part in parts:
            model = model + part_from(part)
    except ModelError as problem:
        raise FitError(str(problem)) from problem
    return model


def _population(record: Mapping[str, Any]) -> Population:
    centred = record["centred"]
    return Population(
        iiv=tuple(record["iiv"]),
        error=record["error"],
        errors=record["errors"],
        covariates=record["covariates"],
        non_expanders=record["non_expanders"],
        priors={k: prior_from(v) for k, v in record["priors"].items()},
        centred=None if centred is None else tuple(centred),
        scale=tuple(record.get("scale", ())),
        censoring=record.get("censoring", "m3"),
        corr=tuple(tuple(block) for block in record.get("corr", ())),
        iov=tuple(record.get("iov", ())),
    )


def _design_dataset(design: Design) -> xr.Dataset:
    dataset = xr.Dataset(
        {name: ("obs", getattr(design, name)) for name in RECORD_FIELDS}
        | {name: ("dosing", getattr(design, name)) for name in DOSE_FIELDS}
    )
    dataset["ids"] = ("id", design.ids)
    for name, values in design.known.items():
        dataset[f"{_KNOWN}{name}"] = ("id", values)
    dataset.attrs = {
        "measures": json.dumps([asdict(m) for m in design.measures]),
        "dose_unit": design.dose_unit,
        "changes": json.dumps([asdict(c) for c in design.changes]),
        "exclusions": json.dumps([asdict(e) for e in design.exclusions]),
        "given": design.given,
        "treatment": design.treatment,
        "occasions": json.dumps([asdict(o) for o in design.occasions]),
    }
    return dataset


def _design(dataset: xr.Dataset, subjects: xr.Dataset) -> Design:
    names = (*RECORD_FIELDS, *DOSE_FIELDS)
    arrays: dict[str, Any] = {name: dataset[name].to_numpy() for name in names}
    ids = np.asarray(dataset["ids"].to_numpy(), dtype=str)
    subjects = subjects.map(
        lambda v: v.astype(str) if v.dtype.kind in "OTU" else v, keep_attrs=True
    )
    return Design(
        **arrays,
        measures=tuple(Measure(**m) for m in json.loads(dataset.attrs["measures"])),
        ids=ids,
        subjects=subjects.assign_coords(id=ids),
        dose_unit=dataset.attrs["dose_unit"],
        changes=tuple(Change(**c) for c in json.loads(dataset.attrs["changes"])),
        exclusions=tuple(Exclusion(**e) for e in json.loads(dataset.attrs["exclusions"])),
        known={
            str(name).removeprefix(_KNOWN): values.to_numpy()
            for name, values in dataset.data_vars.items()
            if str(name).startswith(_KNOWN)
        },
        given=dataset.attrs.get("given", ""),
        treatment=dataset.attrs.get("treatment", ""),
        # Fits from before there were occasions have none.
        occasions=tuple(Occasion(**o) for o in json.loads(dataset.attrs.get("occasions", "[]"))),
    )
