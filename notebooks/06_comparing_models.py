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
# **Question.** Does the peak depend on the dose? Are the patients whose cells hardly expand a group of their own? Which of the
# answers would predict the *next* patient better?
#
# A better fit of the patients at hand is not the question, because a richer model always fits them better.

# %%
import pandas as pd

from cart_pkpd import compare, datasets, fit, models, plots

# %% tags=["parameters"]
sampling = {"draws": 1500, "tune": 1000, "chains": 4}
n_draws = 500  # of each fit, used to predict patients left out

# %% [markdown]
# ## First: a screen by likelihood
#
# Marginal-likelihood fits take seconds. A fall of the objective function by more than 3.84 for one more parameter is the usual
# threshold; AIC and BIC say the same with a penalty.

# %%
trial = datasets.load("fast01")
model = models.get("stein2019").with_(cmax={"typical": 5000}, beta=models.Fixed(0.01))
iiv = ["cmax", "tmax", "alpha"]
candidates = {
    "no covariate": None,
    "dose": {"cmax": ["dose_level"]},
    "tumour burden": {"cmax": ["tumour_burden"]},
    "mesothelin": {"cmax": ["msln_expression"]},
}
screen = {}
for name, covariates in candidates.items():
    population = fit.population(iiv=iiv, covariates=covariates)
    found = fit.laplace(model, trial, population, starts=1)
    screen[name] = {"OFV": found.ofv, "AIC": found.aic, "BIC": found.bic_patients}
screen = pd.DataFrame(screen).T
screen.insert(1, "ΔOFV", screen["OFV"] - screen.loc["no covariate", "OFV"])
screen.round(1)

# %% [markdown]
# No covariate earns its parameter. Remember that four of thirty patients are non-expanders, which a log-normal peak has to
# cover by a wide spread, and that hides weak effects.
#
# ## Then: prediction of patients left out
#
# Three Bayesian fits of the same records. For each, every patient is left out in turn and predicted from the others: the expected
# log predictive density (elpd), higher is better.

# %%
iiv = ["cmax", "tmax", "rho", "alpha", "fb"]
populations = {
    "one population": fit.population(iiv=iiv),
    "dose on the peak": fit.population(iiv=iiv, covariates={"cmax": ["dose_level"]}),
    "non-expanders": fit.population(iiv=iiv, non_expanders=True),
}
fits = {
    name: fit.bayes(model, trial, population, **sampling, seed=1, label=name)
    for name, population in populations.items()
}
for name, result in fits.items():
    print(f"{name}: {result.verdict.sentence}")

# %%
patients = compare.patients(fits, seed=1, n_draws=n_draws)
ranking = compare.models(fits, patients=patients)
ranking.T

# %%
plots.comparison(ranking)

# %% [markdown]
# The differences are no larger than their standard errors: thirty patients do not separate these models. Reporting the best of
# them as *the* model would claim more than the data say.
#
# ## Who decides?
#
# A difference is a sum over patients, and it is worth knowing whether all of them contribute a little or one a lot. Open marks are
# estimates that importance sampling cannot be trusted for.

# %%
plots.patient_elpd(patients)

# %% [markdown]
# ## Does it matter for the question?
#
# When models cannot be told apart, look at what the trial wants from them. Typical peak, its spread between patients and residual
# error under each:

# %%
rows = {}
for name, result in fits.items():
    table = result.table()
    rows[name] = {
        table.loc[p, "label"]: "{:.3g} ({:.3g} to {:.3g})".format(
            *table.loc[p, ["median", "lower", "upper"]]
        )
        for p in ["cmax", "omega_cmax", "tmax", "alpha", "sigma_log"]
    }
pd.DataFrame(rows)

# %% [markdown]
# ## What it means for the trial
#
# - The typical peak means something else with non-expanders in the model: the peak *of those who expand*. Say which one is meant.
# - Everything else agrees, so conclusions on timing and contraction do not depend on the choice.
# - Whether non-expanders are real is worth asking with the product's attributes, not with more modelling of the same samples.
