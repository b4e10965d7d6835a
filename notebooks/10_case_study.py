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
# # 10 · Case study: CD22 CAR-T cells in B-ALL
#
# **Question.** What can be learned from the data that real trials publish: about one sample of cells a week, no doses, no limit of
# quantification? What must not be claimed?
#
# The patients are the children and young adults of Lichtenstein et al.
# ([Blood 2021;138:2469](https://doi.org/10.1182/blood.2021011898)). Their data are public under GPL-3.0 and not part of this package:
# `datasets.fetch` takes them from the folder that `CART_PKPD_DATA` names, from its cache, or from the public repository, and
# checks them. **This notebook shows summaries only**: no row, point or curve of a single patient.

# %%
import pandas as pd

from cart_pkpd import checks, data, datasets, endpoints, fit, models, nca, plots

# %% tags=["parameters"]
sampling = {"draws": 2000, "tune": 1500, "chains": 4, "target_accept": 0.95}

# %% [markdown]
# ## What there is
#
# Zero cells means not detected. No LLOQ was published; 1 cell/µL, usual for flow cytometry, is assumed, and makes the zeros left-censored
# instead of zero.

# %%
trial = datasets.fetch("car22", lloq={"car_abs": 1.0})
cells = data.endpoint(trial, "car_abs")
per_patient = pd.Series(cells["patient"].values).value_counts()
below = float((cells["censoring"] != "none").mean())
last = float(cells["time"].max())
print(f"{len(per_patient)} patients, {cells.sizes['obs']} counts, {below:.0%} below the LLOQ;")
print(f"{per_patient.median():.0f} counts in the median patient, none after day {last:.0f}.")

# %% [markdown]
# ## Before fitting: what can such samples tell?
#
# A design with samples on days 0, 7, 13, 20 and 28, at the values of the published model: relative standard errors in 55 patients who
# are all alike, so that the truth is worse.

# %%
weekly, published = [0, 7, 13, 20, 28], models.get("stein2019")
held = published.with_(fb=models.Fixed(0.0079), beta=models.Fixed(0.01))
designs = {
    "weekly": (published, weekly),
    "weekly, persistence held": (held, weekly),
    "weekly, then to day 365": (published, [*weekly, 90, 180, 365]),
}
shown = {}
for label, (model, days) in designs.items():
    found = checks.identifiability(model, days, patients=[55])
    rse = found["rse"].sel(patients=55).to_series().map("{:.0%}".format)
    shown[label] = rse.where(found["verdict"].to_series() != "not", "not identifiable")
pd.DataFrame(shown).reindex(list(published.parameters)).fillna("held")

# %% [markdown]
# Five samples a month cannot tell six parameters apart. With the persisting share and its decline held, the others could be estimated if
# patients were alike. They are not: with a peak time of one's own in each patient growth is lost too, and is held at the
# published 0.889 per day for the same disease.
#
# ## Non-compartmental analysis
#
# Dose levels are labels, because no amounts were published; the third, with two patients, is left out here.

# %%
params = nca.table(trial, endpoint="car_abs", window=(0, 28))
table = nca.label_table(params, parameters=["cmax", "auc0_28"])
table[["dose level 1", "dose level 2"]]

# %%
reasons = params["reason"].sel(parameter="half_life").to_series()
counts = reasons[reasons != ""].value_counts().rename("patients").reset_index()
counts.style.hide().set_caption("Why there is no half-life")

# %% [markdown]
# One half-life in 59 patients, from three samples: not worth reporting. A software that printed more would have extrapolated.
#
# ## The population fit

# %%
model = models.get("stein2019").with_(
    cmax={"typical": 300, "unit": "cells/µL", "spread": 1.5},
    tmax={"typical": 12, "spread": 0.3},
    rho=models.Fixed(0.889),
    fb=models.Fixed(0.0079),
    beta=models.Fixed(0.01),
)
population = fit.population(
    iiv=["cmax", "tmax", "alpha"],
    error="lognormal",
    non_expanders=True,  # one in five shows hardly any cells
    priors={"omega_tmax": fit.HalfNormal(0.3), "omega_alpha": fit.HalfNormal(0.4)},
)
result = fit.bayes(model, trial, population, endpoint="car_abs", **sampling, seed=22)
print(result.verdict.sentence)

# %%
plots.posterior(result)

# %% [markdown]
# ## What fits, and what does not
#
# The check is drawn without the patients' points: the records are left out of it, percentiles and shares stay.

# %%
check = checks.vpc(result, n_sims=500, bins=[0, 4, 10, 17, 23, 32])
plots.vpc(check.drop_dims("obs"))

# %% [markdown]
# From day 13 on, spread and share below the LLOQ lie in their bands, and so does the median but on day 13, where it is just above.
# **On day 7 the share does not**: far more samples are below the limit than the model expects. Cells appear later and rise more steeply than 0.889 per day allows. Letting growth free
# does not help, because a peak between two weekly samples can then lie in several places, and chains do not agree on which.
#
# ## Peak, CRS and response
#
# Outcomes by count, and the odds per doubling of the observed peak. The five patients in whom no cell was ever counted enter with half the
# assumed LLOQ, because a logarithm needs a number.

# %%
outcomes = trial[["crsgrade", "cr"]].to_dataframe()[["crsgrade", "cr"]].dropna().astype(int)
pd.crosstab(
    outcomes["crsgrade"]
    .clip(upper=3)
    .map({0: "0", 1: "1", 2: "2", 3: "3 or 4"})
    .rename("CRS grade"),
    outcomes["cr"].map({0: "no", 1: "yes"}).rename("complete response"),
)

# %%
known = params.assign(cmax=params["cmax"].clip(min=0.5, keep_attrs=True))
crs = endpoints.exposure_response(known, "crsgrade", "cmax", at_least=2)
response = endpoints.exposure_response(known, "cr", "cmax", at_least=1)
ratios = pd.concat({"CRS ≥ 2": crs.ratios, "complete response": response.ratios}).droplevel(1)
ratios[ratios["change"] == "2-fold"][["estimate", "lower", "upper"]].round(2)

# %% [markdown]
# Doubling the peak goes with twice the odds of a complete response, and with little more CRS of grade 2 or higher. Nobody without CRS had a complete response, so that
# part of this is one fact: no expansion, neither. The peak is measured after treatment of CRS and under the same tumour burden; these
# are associations, of a kind that a dose decision should not rest on.
#
# ## What it means
#
# - **Can be said:** cells peak near day 13, the fast decline has a half-life of four days, and one patient in five does not expand. Peaks
#   of two in three of the others lie within a factor of 2.4 of the typical 950 cells/µL.
# - **Cannot be said:** anything on growth, on persistence, or on exposure beyond day 28. Where the model holds a published value, the result
#   repeats it.
# - **For the next trial:** two samples more in the second week and one visit after two months would buy more than any model. Where daily
#   cytokines were taken, they help to time the peak: see [docs/car22_cytokines.md](../docs/car22_cytokines.md).
