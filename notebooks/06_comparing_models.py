# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 6 · Comparing models
#
# **Question.** Does the peak depend on the dose or the tumour burden? Are the patients whose cells hardly expand a group of their
# own? Which of the answers would predict the *next* patient better?
#
# A better fit of the patients at hand is not the question, because a richer model always fits them better.

# %%
import pandas as pd

from cart_pkpd import compare, datasets, fit, models, plots

# %% tags=["parameters"]
sampling = {"draws": 2000, "tune": 1000, "chains": 4}

# %% [markdown]
# ## First: a search by likelihood
#
# Marginal-likelihood fits take seconds, so that many candidates can be tried. The search adds one thing at a time while the mixed BIC
# asks for it, by at least 2 points, and reports every candidate of every step.

# %%
trial = datasets.load("fast01")
model = models.get("stein2019").with_(cmax={"typical": 5000}, beta=models.Fixed(0.01))
found = compare.search(
    model,
    trial,
    fit.population(iiv=["cmax", "tmax", "alpha"]),
    candidates=compare.candidates(
        covariates={"cmax": ["dose_level", "tumour_burden"]}, iiv=["rho"]
    ),
    least=2,
)
print(found.sentence)
plots.search(found)

# %% [markdown]
# The growth rate varies between patients (it does in the simulation). Neither covariate earns its parameter. (The dose does act in this simulated trial, with a power of 0.15: thirty patients with such a
# spread do not show it. "Not selected" is not "no effect".)
#
# ## Then: prediction of patients left out
#
# Two Bayesian fits of the same records, without and with a share of non-expanders. For each, every patient is left out in turn and
# predicted from the others: the expected log predictive density (elpd), higher is better.

# %%
iiv = ["cmax", "tmax", "alpha", "fb"]
populations = {
    "one population": fit.population(iiv=iiv),
    "non-expanders": fit.population(iiv=iiv, non_expanders=True),
}
fits = {
    name: fit.bayes(model, trial, population, **sampling, seed=1)
    for name, population in populations.items()
}
for name, result in fits.items():
    print(f"{name}: {result.verdict.sentence}")

# %%
left_out = compare.patients(fits, seed=1)
ranking = compare.models(fits, patients=left_out, exposure=False)
print(ranking.sentence)
columns = ["rank", "elpd", "se", "elpd_diff", "dse", "mcse", "pareto_k_bad", "reliable"]
ranking.table[columns].style.format(precision=1)

# %% [markdown]
# Read the difference before the rank. It is far below 4, the size at which such a difference begins to matter: thirty patients do not
# separate these models, and reporting the better one as *the* model would claim more than the data say.
#
# *Reliable* is False because under each fit one patient's estimate is not to be trusted (open marks below). More draws
# (`n_draws=1000`) or refits without these patients (`checks.k_fold`) would settle their share, of about 0.4 in all.
#
# ## Who decides?
#
# A difference is a sum over patients, and it is worth knowing whether all of them contribute a little or one a lot.

# %%
plots.patient_elpd(left_out)

# %% [markdown]
# ## Does it matter for the question?
#
# When models cannot be told apart, look at what the trial wants from them. Medians with 90 % intervals under each:

# %%
rows = {}
for name, result in fits.items():
    table = result.table().loc[["cmax", "omega_cmax", "tmax", "alpha", "sigma_log"]]
    numbers = table[["median", "lower", "upper"]].map(lambda x: f"{float(f'{x:.3g}'):,g}")
    rows[name] = numbers["median"] + " (" + numbers["lower"] + " to " + numbers["upper"] + ")"
pd.DataFrame(rows).set_axis(table["label"] + ", " + table["unit"].replace("1", "—"), axis=0)

# %% [markdown]
# ## What it means for the trial
#
# - The typical peak means something else with non-expanders in the model: the peak *of those who expand*. Say which one is meant.
# - Time of the peak, contraction and residual error agree, so conclusions on these do not depend on the choice.
# - Whether non-expanders are real is worth asking with the product's attributes, not with more modelling of the same samples.
