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
# # 4 · A Bayesian population fit, with its diagnostics
#
# **Question.** What is the typical course of the cells, how much do patients differ, does the dose move the peak, and can the
# model be believed?
#
# The order of this notebook is the order of a good analysis report: what the priors expect, a quick fit to look at first, the full
# fit, whether it converged, whether it describes the data, and only then the numbers.

# %%
from cart_pkpd import checks, datasets, fit, models, plots

# %% tags=["parameters"]
sampling = {"draws": 1000, "tune": 1000, "chains": 4}

# %%
trial = datasets.load("fast01")
model = models.get("stein2019").with_(cmax={"typical": 5000}, beta=models.Fixed(0.01))
population = fit.population(
    iiv=["cmax", "tmax", "rho", "alpha"],  # what varies between patients
    covariates={"cmax": ["dose_level"]},
    non_expanders=True,  # some patients' cells hardly expand
    error="lognormal",
)

# %% [markdown]
# Samples below the LLOQ, nearly half of all, enter the likelihood by the probability of lying there (M3).
#
# ## What the priors expect
#
# Trials simulated from the priors alone, before any data are used. The band must be wide enough to hold the data and
# not so wide that it holds nonsense.

# %%
expected = checks.prior_predictive(model, trial, population, n_sims=200, seed=1)
plots.prior_predictive(expected)

# %% [markdown]
# ## First look: a marginal-likelihood fit in seconds
#
# FOCE has no mixture, so non-expanders count here as very low peaks. Look at relative standard errors and
# shrinkage.

# %%
simple = fit.population(iiv=["cmax", "tmax", "alpha"], covariates={"cmax": ["dose_level"]})
first = fit.laplace(model, trial, simple, starts=1)
print(first.sentence)
first.table()[["estimate", "rse", "lower", "upper", "shrinkage_sd"]].round(3)

# %% [markdown]
# ## The fit

# %%
result = fit.bayes(model, trial, population, **sampling, seed=1)
print(result.verdict.sentence)

# %% [markdown]
# The verdict is a gate: fits that did not converge are kept but not ranked, and a report says so. Chains that agree look like this:

# %%
plots.ranks(result, ["cmax", "omega_cmax", "beta_cmax_dose_level", "sigma_log"])

# %% [markdown]
# ## Does it describe the data?
#
# Visual predictive check: bands are where the percentiles of simulated trials lie, lines are those of the data; below, the
# share of samples under the LLOQ.

# %%
plots.vpc(checks.vpc(result, n_sims=300), time_scale="log")

# %% [markdown]
# Residuals with censored records included (NPDE): if the model is right they are standard normal over time and prediction.

# %%
residuals = checks.residuals(result, n_sims=300)
plots.npde(residuals)

# %% [markdown]
# Individual fits of four patients, from a strong expander to one whose cells never were quantifiable for long:

# %%
plots.individual(
    checks.predictions(result), ["F01-002", "F01-009", "F01-016", "F01-026"], last=120
)

# %% [markdown]
# ## The numbers
#
# Priors stand beside posteriors. Where the two are alike, the number is an assumption and not a finding.

# %%
plots.posterior(result)

# %%
table = result.table()
shown = ["prior_lower", "prior_upper", "median", "lower", "upper"]
table[["label", "unit"]].join(table[shown].map("{:,.3g}".format))

# %% [markdown]
# ## Numbers per patient
#
# What the model says of each patient's exposure, with 90 % intervals; for a table by dose, take geometric means of the medians.

# %%
exposure = checks.exposure(result)
by_dose = exposure[["cmax", "auc0_28", "tlast"]].sel(interval="median").to_dataframe()
by_dose.groupby("dose_level")[["cmax", "auc0_28", "tlast"]].median().round(0).rename(index="{:.0e} cells".format)

# %% [markdown]
# Does a covariate explain what is left? Deviations of the peak along five candidates; ρ is Spearman's correlation with its 90 %
# interval. Of many pairs one in ten is bold by chance.

# %%
shown = ["tumour_burden", "msln_expression", "ldh", "prior_lines", "age"]
plots.eta_covariates(checks.etas(result), shown, ["cmax"])

# %% [markdown]
# ## What was true
#
# The trial is simulated, so that we can look. The spread, the shape and the growth rate are found again.

# %%
truth = datasets.truth()["transgene"]
named = {
    "cmax": "cmax",
    "tmax": "tmax",
    "rho": "rho",
    "alpha": "alpha",
    "fb": "fb",
    "omega_cmax": "cmax_iiv",
    "omega_tmax": "tmax_iiv",
    "omega_alpha": "alpha_iiv",
    "beta_cmax_dose_level": "dose_exponent",
    "p_non_expander": "non_expander_probability",
    "sigma_log": "sigma",
}
found = table.loc[list(named), ["median", "lower", "upper"]]
found["truth"] = [truth[name] for name in named.values()]
found["inside"] = found["truth"].between(found["lower"], found["upper"])
found.round(3)

# %% [markdown]
# ## What it means for the trial
#
# - **Cells expand more than a thousandfold in some and hardly in others, at every dose.** IIV of the peak is about 1 on the log scale: 68 %
#   of patients lie within a factor of 2.7 either way.
# - **The exponent of the dose is near 0 and certainly far below 1.** A higher dose does not buy exposure in proportion.
# - **Whether non-expanders are a group of their own** cannot be told from thirty patients: the interval of their share is wide. The
#   question is taken up in [notebook 6](06_comparing_models.ipynb).
