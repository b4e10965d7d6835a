"""Make docs/gallery.md and its pictures: ``python docs/make_gallery.py [name ...]``.

The code on the page is the code that drew the picture: each entry below is executed after what
it needs. With names, only those pictures are drawn; the page is always written.
"""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from PIL import Image

DOCS = Path(__file__).parent
FOLDER = DOCS / "figures" / "gallery"
PAGE = DOCS / "gallery.md"

SETUP = {
    "trial": """\
from cart_pkpd import checks, compare, crs, data, datasets, dose, endpoints, fit, models, nca, plots
from cart_pkpd import simulate

trial = datasets.load("fast01")                                    # or data.read_table("study.csv")
cells = data.endpoint(trial, "transgene")
params = nca.table(trial, "transgene", window=(0, 28))
""",
    "fit": """\
expected = {"cmax": {"typical": 4000, "spread": 1.5}, "beta": {"typical": 0.01}}
model = models.get("stein2019").with_(**expected)
population = fit.population(
    iiv=["cmax", "tmax", "alpha", "fb"], covariates={"cmax": ["dose_level"]}, non_expanders=True)
result = fit.bayes(model, trial, population, draws=2000, seed=1, label="stein")
""",
    "second": """\
lagged = models.get("ogasawara2021").with_(**expected)
other = fit.bayes(lagged, trial, population, draws=2000, seed=1, label="ogasawara")
left_out = compare.patients({"stein": result, "ogasawara": other}, seed=1)
""",
    "endpoints": """\
followup = endpoints.read_followup(datasets.load("fast01", table="followup"))
points = endpoints.recist(endpoints.read_lesions(datasets.load("fast01", table="lesions")))
best = endpoints.best_response(points, followup)
pfs = endpoints.pfs(points, followup)
""",
    "dose": """\
levels = dose.Levels((1e6, 3e6, 1e7, 3e7), "cells")
seen = dose.data(trial, levels=levels)
blrm = dose.BLRM(levels, reference=1e7, prior=dose.BivariateNormal((-1, 0), (2, 1), 0),
                 intervals=(0.16, 0.33)) & dose.EWOC(0.33, 0.25) & dose.NoSkip()
decision = blrm.recommend(seen)
boin = dose.BOIN(0.25)
""",
    "chain": """\
toxicity = dose.Toxicity(fit.Normal(dose.log_odds(0.2), 1.5))
chain = dose.chain(trial, toxicity=toxicity, reference=1e7, endpoint="transgene",
                   cytokines=["il6", "ifng"], data=seen, seed=1)
""",
    "crs": """\
layer = crs.default()
courses = crs.observed_courses(trial, ["transgene", "il6"])
fitted = layer.bayes(layer.predictors(courses, trial), seed=1)
""",
    "sbc": """\
small = models.get("stein2019").with_(
    cmax={"spread": 0.3}, alpha={"spread": 0.3}, tmax=models.Fixed(9.3), rho=models.Fixed(0.889),
    fb=models.Fixed(0.0079), beta=models.Fixed(0.0032))
tight = fit.population(iiv=["cmax"], priors={
    "omega_cmax": {"kind": "lognormal", "median": 0.5, "sigma": 0.2},
    "sigma_log": {"kind": "lognormal", "median": 0.4, "sigma": 0.2}})
plan = checks.planned_trial(small, 6, [5, 9, 14, 28], lloq=50)
calibrated = checks.sbc(small, plan, tight, simulations=40, ranks=20, draws=500, tune=500, seed=1)
""",
}
TITLES = {
    "trial": "The trial and its non-compartmental analysis",
    "fit": "A Bayesian fit",
    "second": "A second model, and every patient left out",
    "endpoints": "Response and survival",
    "dose": "A dose decision",
    "chain": "Dose, exposure and toxicity in one chain",
    "crs": "Cytokine release syndrome",
    "sbc": "Simulation-based calibration",
}


@dataclass(frozen=True)
class Entry:
    """A picture: what it shows, in a sentence, the code that draws it, and what comes before."""

    about: str
    code: str
    needs: tuple[str, ...] = ("trial",)


def _of_fit(about: str, code: str) -> Entry:
    return Entry(about, code, ("trial", "fit"))


def _of_dose(about: str, code: str, *more: str) -> Entry:
    return Entry(about, code, ("trial", "dose", *more))


def _clinical(about: str, code: str) -> Entry:
    return Entry(about, code, ("trial", "endpoints"))


GALLERY: dict[str, dict[str, Entry]] = {
    "Data": {
        "profiles": Entry(
            "Every patient's course by dose level, with geometric means; ▽ below the LLOQ.",
            'plots.profiles(cells, time_scale="log")',
        ),
        "cytokines": Entry(
            "Cytokines of the first 28 days, one panel each.",
            'plots.cytokines(trial, measures=["il6", "ifng", "il10"])',
        ),
    },
    "Non-compartmental analysis": {
        "nca_profile": Entry(
            "What was done with one profile: area, terminal slope, insertions, extrapolation.",
            'plots.nca_profile(trial, params, "F01-026")',
        ),
        "nca_profiles": Entry(
            "The same for many patients.",
            'some = list(trial["id"].values[:8])\n'
            'plots.nca_profiles(trial, params, patients=some, time_scale="log")',
        ),
        "exposure": Entry(
            "A parameter by dose level: patients, geometric mean and its 90 % interval.",
            'plots.exposure(params, "auc0_28")',
        ),
        "persistence": Entry(
            "Share of patients whose cells are still quantifiable, with the numbers at risk.",
            'plots.persistence(nca.persistence(params, by="dose_level"))',
        ),
    },
    "Fits": {
        "individual": _of_fit(
            "Individual courses with 90 % intervals over the records.",
            'predictions = checks.predictions(result)\n'
            'plots.individual(predictions, patients=list(trial["id"].values[:8]), last=90)',
        ),
        "intervals": _of_fit(
            "Population quantities: posterior beside prior, 90 % intervals.",
            "plots.intervals(result)",
        ),
        "posterior": _of_fit(
            "Their densities, with priors.",
            'plots.posterior(result, parameters=["cmax", "tmax", "alpha", "omega_cmax"])',
        ),
        "trace": _of_fit("Chains, draw by draw.", 'plots.trace(result, ["cmax", "omega_cmax"])'),
        "ranks": _of_fit(
            "Ranks of the draws by chain: flat where chains agree.",
            'plots.ranks(result, ["cmax", "omega_cmax"])',
        ),
        "prior_predictive": Entry(
            "What the priors expect before any data, with the data over it.",
            "prior = checks.prior_predictive(model, trial, population, n_sims=200)\n"
            "plots.prior_predictive(prior)",
            ("trial", "fit"),
        ),
        "prior_sensitivity": _of_fit(
            "What results owe to the priors and to the data.",
            "plots.prior_sensitivity(checks.prior_sensitivity(result))",
        ),
    },
    "Diagnostics": {
        "observed_vs_predicted": _of_fit(
            "Observed against predicted, one panel.",
            'plots.observed_vs_predicted(checks.predictions(result), "ipred")',
        ),
        "goodness_of_fit": _of_fit(
            "Observed against individual and population predictions.",
            "plots.goodness_of_fit(checks.predictions(result))",
        ),
        "residual": _of_fit(
            "One kind of residual against time, prediction or dose.",
            'plots.residual(checks.residuals(result), "npde", "time")',
        ),
        "npde": _of_fit(
            "Distribution of the NPDE, and their course.", "plots.npde(checks.residuals(result))"
        ),
        "gof": _of_fit("Six panels for the first look.", "plots.gof(checks.residuals(result))"),
        "vpc": _of_fit(
            "Percentiles of the records within 90 % intervals of simulated ones; share BLQ.",
            'plots.vpc(checks.vpc(result), time_scale="log")',
        ),
        "etas": _of_fit(
            "Deviations of the patients, with shrinkage.", "plots.etas(checks.etas(result))"
        ),
        "eta_covariates": _of_fit(
            "Deviations against covariates.",
            'plots.eta_covariates(checks.etas(result), ["dose_level", "tumour_burden", "sex"], '
            '["cmax", "alpha"])',
        ),
        "predictive_exposure": _of_fit(
            "NCA of simulated trials beside that of the trial.",
            'plots.predictive_exposure(checks.predictive_exposure(result, by="dose_level"))',
        ),
        "exposure_twin": _of_fit(
            "Exposure from the model against NCA, patient by patient.",
            'plots.exposure_twin(checks.exposure(result), params, "auc0_28")',
        ),
        "exposure_twins": _of_fit(
            "The same for several parameters.",
            "plots.exposure_twins(checks.exposure(result), params)",
        ),
        "sbc": Entry(
            "Ranks of the truth in fits of simulated trials, with 95 % bands.",
            "plots.sbc(calibrated)",
            ("trial", "sbc"),
        ),
    },
    "Comparison": {
        "comparison": Entry(
            "Models ranked by what they predict of a patient left out.",
            'ranked = compare.models({"stein": result, "ogasawara": other}, patients=left_out)\n'
            "plots.comparison(ranked)",
            ("trial", "fit", "second"),
        ),
        "patient_elpd": Entry(
            "The same, patient by patient.",
            "plots.patient_elpd(left_out)",
            ("trial", "fit", "second"),
        ),
    },
    "Search and simulation": {
        "search": Entry(
            "Steps of a search for covariates and variability: every candidate of every step.",
            'simple = models.get("stein2019").with_(\n'
            '    cmax={"typical": 5000}, beta=models.Fixed(0.01))\n'
            "found = compare.search(\n"
            '    simple, trial, fit.population(iiv=["cmax", "tmax"]),\n'
            "    candidates=compare.candidates(\n"
            '        covariates={"cmax": ["dose_level", "tumour_burden", "age"]},\n'
            '        iiv=["alpha", "fb"]))\n'
            "plots.search(found)",
            ("trial",),
        ),
        "simulated": Entry(
            "Virtual patients by dose: quantiles over time, and shares below the limit.",
            "people = simulate.patients(\n"
            '    "effector_memory", 6000, seed=1, doses=[1e6, 3e6, 1e7], error=0.3, lloq=50,\n'
            "    times=simulate.Schedule([0, 1, 3, 5, 7, 10, 14, 21, 28, 60, 90],\n"
            "                            window=0.5, missed=0.05),\n"
            "    dropout=simulate.Dropout(share=0.15, day=28),\n"
            "    death=simulate.Dropout(hazard=0.002))\n"
            'plots.simulated(simulate.summary(people), time_scale="log")',
            ("trial",),
        ),
    },
    "Response and survival": {
        "waterfall": _clinical(
            "Best change of the sum of diameters.", "plots.waterfall(best, trial)"
        ),
        "spider": _clinical("Its course in every patient.", "plots.spider(points, trial)"),
        "swimmer": _clinical("Time on study with events.", "plots.swimmer(followup, best, trial)"),
        "survival": _clinical(
            "Kaplan–Meier curves with the numbers at risk.",
            'plots.survival(endpoints.kaplan_meier(pfs, "dose_level", patients=trial))',
        ),
        "exposure_response": _clinical(
            "Probability of an outcome by exposure, with 95 % interval and shares by quartile.",
            'found = endpoints.exposure_response(params, "crs_grade", "cmax", at_least=2)\n'
            "plots.exposure_response(found)",
        ),
    },
    "Cytokine release syndrome": {
        "crs_course": Entry(
            "Grade by day, one row per patient.",
            "# grades: from endpoints.crs_grade(vitals)\nplots.crs_course(grades, last=14)",
            ("trial", "grades"),
        ),
        "crs_incidence": Entry(
            "Cumulative incidence: observed, and what the layer predicts.",
            "plots.crs_incidence(crs.incidence(fitted))",
            ("trial", "crs"),
        ),
        "crs_odds_ratios": Entry(
            "Odds and hazard ratios per doubling.",
            "plots.crs_odds_ratios(fitted.odds_ratios())",
            ("trial", "crs"),
        ),
        "crs_response": Entry(
            "Probability of each grade by predictor.",
            'plots.crs_response(crs.response(fitted, "grade"))',
            ("trial", "crs"),
        ),
    },
    "Dose": {
        "dose_toxicity": _of_dose(
            "P(DLT) by dose: 50 % and 95 % intervals, the prior, target and counts.",
            "before = dose.counts({}, levels=levels)\n"
            "plots.dose_toxicity(blrm.curve(seen), decision.table, prior=blrm.curve(before))",
        ),
        "dose_intervals": _of_dose(
            "P(under-dosing, target, over-dosing) of each dose.",
            "plots.dose_intervals(decision.table, bound=0.25, prior=blrm.prior_table())",
        ),
        "dose_scenarios": _of_dose(
            "Where each number of DLTs in the next cohort leads.",
            "plots.dose_scenarios(dose.scenarios(blrm, seen, cohort=3))",
        ),
        "boin_table": _of_dose(
            "Decision table of an interval design, with the doses seen.",
            "plots.boin_table(boin.decision_table(15), seen=boin.recommend(seen).table)",
        ),
        "operating_characteristics": _of_dose(
            "How often designs select each level in simulated trials.",
            "truth = dose.Scenario(levels=levels, p=(0.05, 0.12, 0.25, 0.45), target=0.25,\n"
            "                      max_patients=24, accrual=2.0)\n"
            'both = {"BOIN": boin, "3+3": dose.ThreePlusThree("de-escalate")}\n'
            'runs = dose.compare_designs(both, {"middle": truth}, trials=1000, seed=1)\n'
            "plots.operating_characteristics(runs)",
        ),
        "exposure_power": _of_dose(
            "Exposure by dose: power model with 90 % intervals of the mean and of a patient.",
            'plots.exposure_power(dose.exposure(params, trial, "auc0_28", data=seen))',
        ),
        "dlt_by_dose": _of_dose(
            "P(DLT) through exposure, beside a dose-only curve and no curve.",
            "plots.dlt_by_dose(chain, curve=blrm.curve(seen), free=dose.order_free(seen), "
            "target=(0.16, 0.33))",
            "chain",
        ),
        "toxicity_by_exposure": _of_dose(
            "P(DLT) by exposure.", "plots.toxicity_by_exposure(chain)", "chain"
        ),
        "mediated_share": _of_dose(
            "How much of a dose's toxicity goes through exposure.",
            "plots.mediated_share(chain.mediated())",
            "chain",
        ),
        "peaks_by_dose": _of_dose(
            "Cytokine peaks by dose.", "plots.peaks_by_dose(chain)", "chain"
        ),
    },
}  # fmt: skip


def names() -> dict[str, Entry]:
    """Return every entry by the name of its function."""
    return {name: e for part in GALLERY.values() for name, e in part.items()}


class Prepared:
    """The namespace of the snippets; what an entry needs is computed once."""

    def __init__(self) -> None:
        self.space: dict[str, Any] = {}
        self._done: set[str] = set()

    def draw(self, entry: Entry) -> Any:
        """Execute an entry and return its figure."""
        return _figure(eval(self.ready(entry), self.space))

    def ready(self, entry: Entry) -> str:
        """Execute what an entry needs and all its lines but the call that draws; return that."""
        for need in entry.needs:
            if need not in self._done:
                self._prepare(need)
                self._done.add(need)
        before, _, last = entry.code.rpartition("plots.")
        exec(before, self.space)
        return f"plots.{last}"

    def _prepare(self, need: str) -> None:
        if need == "grades":
            self.space["grades"] = _grades(self.space)
        else:
            exec(SETUP[need], self.space)


def _grades(space: dict[str, Any]) -> Any:
    sys.path.insert(0, str(DOCS))
    from make_endpoints_survival_figures import vitals

    return space["endpoints"].crs_grade(vitals(space["trial"]["id"].values[:12].tolist()))


def _figure(drawn: Any) -> Any:
    first = drawn[0] if isinstance(drawn, list) else drawn
    return first.get_figure(root=True) if isinstance(first, Axes) else first


def page() -> str:
    """Return the gallery as Markdown."""
    parts = [
        "# Gallery\n\n"
        "<!-- written by docs/make_gallery.py -->\n\n"
        "Every function of `cart_pkpd.plots`, with the code that drew the picture. Functions with "
        "one panel take `ax=` and return the Axes; those with several make a figure and return it, "
        "because they arrange panels, legend and common labels themselves. Each takes a result (a "
        "Dataset, a table or a fit) and computes nothing of its own; labels and units are those of "
        "the result. Save with `.figure.savefig(...)` or `.savefig(...)`.\n\n"
        "What the snippets share is [at the end](#what-the-snippets-share). The pictures are of "
        "the simulated trial that comes with the package.\n"
    ]
    for title, entries in GALLERY.items():
        parts.append(f"## {title}\n")
        for name, entry in entries.items():
            parts.append(
                f"### plots.{name}\n\n{entry.about} "
                f'<a href="api/plots.html#cart_pkpd.plots.{name}">Reference</a>\n\n'
                f"```python\n{entry.code}\n```\n\n"
                f"![{entry.about}](figures/gallery/{name}.png)\n"
            )
    parts.append("## What the snippets share\n")
    for key, title in TITLES.items():
        parts.append(f"{title}:\n\n```python\n{SETUP[key]}```\n")
    return "\n".join(parts)


def write(figure: Any, name: str) -> None:
    """Write a picture in few colours, 900 pixels wide at most."""
    from cart_pkpd.plots import _axes

    image = Image.open(io.BytesIO(_axes.png(figure, dpi=100))).convert("RGB")
    image.thumbnail((900, 1400), Image.Resampling.LANCZOS)
    few = image.quantize(128, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(FOLDER / f"{name}.png", optimize=True)


def main() -> None:
    """Write the page and the pictures asked for."""
    FOLDER.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
    prepared, wanted = Prepared(), sys.argv[1:] or list(names())
    for name in wanted:
        write(prepared.draw(names()[name]), name)
        sys.stdout.write(f"{name}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
