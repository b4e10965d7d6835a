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
# # 3 · Least squares: patients one by one
#
# **Question.** Before any population model: does a simple curve describe each patient, and which parameters do the patients'
# own samples determine?
#
# Fitting patients one at a time assumes nothing about how patients resemble each other. That makes it the
# most honest first look, and a poor last one.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from cart_pkpd import data, datasets, fit, models

# %% tags=["parameters"]
n_patients = 30  # the first patients of the trial; 30 are all

# %%
table = pd.read_csv(
    datasets.path("fast01"), dtype={"ID": str}, na_values=".", keep_default_na=False
)
first = table["ID"].drop_duplicates().head(n_patients)
trial = data.read_table(table[table["ID"].isin(first)], echo=False)

# %% [markdown]
# The model is that of Stein et al. (2019). Peak, its time, the growth rate and the fast decline are estimated for each patient. The
# persisting share and the slow decline stay at typical values, because eight samples in a month rarely determine six parameters.

# %%
model = models.get("stein2019")
estimate = ["cmax", "tmax", "rho", "alpha"]
fits = fit.least_squares(model, trial, estimate=estimate)

# %% [markdown]
# ## Who could be fitted?
#
# `status` says *ok*, or why there is no estimate or no trust in it. Records below the LLOQ are not dropped: each counts by the
# probability of lying there. But four parameters need five quantified samples.

# %%
status = fits["status"].to_series()
status.value_counts().rename("patients").rename_axis("status").reset_index().style.hide()

# %% [markdown]
# ## Four patients
#
# Points are measured levels, open triangles stand at the LLOQ (dashed) for samples below it, lines are the patients' own fits.

# %%
levels = data.endpoint(trial, "transgene")
days = np.linspace(0, 60, 241)
shown = status.index[status == "ok"][:4]

figure, panels = plt.subplots(1, 4, figsize=(10, 2.8), sharey=True, layout="constrained")
for axes, patient in zip(panels, shown, strict=False):
    own = fits["estimate"].sel(id=patient).to_series().to_dict()
    course = model.simulate(days, own)["transgene"].squeeze()
    records = levels.isel(obs=(levels["patient"] == patient) & (levels["time"] < 60))
    below = records["censoring"] != "none"
    axes.plot(days, course, color="tab:blue")
    axes.plot(records["time"][~below], records["dv"][~below], "o", color="k", markersize=4)
    axes.plot(
        records["time"][below], records["lloq"][below], "v", color="k", mfc="white", markersize=5
    )
    axes.axhline(records["lloq"].max(), color="grey", linewidth=0.8, linestyle="--")
    axes.set(yscale="log", ylim=(1, 1e5), title=patient, xlabel="days since infusion")
panels[0].set_ylabel("transgene (copies/µg)")
plt.show()

# %%
estimates = fits["estimate"].sel(id=shown).to_pandas().round(3)
units = zip(fits["parameter"].values, fits["unit"].values, strict=True)
estimates.set_axis([f"{name} ({unit})" for name, unit in units], axis=1)

# %% [markdown]
# ## What the data do not say: a profile
#
# How long do the cells of F01-002 persist? A profile likelihood asks where the data object to a value of the slow decline, however the
# other parameters are chosen. A limit of 0 means that the data set none.

# %%
one = data.read_table(table[table["ID"] == "F01-002"], echo=False)
everything = ["cmax", "tmax", "rho", "alpha", "fb", "beta"]
profile = fit.least_squares(model, one, estimate=everything, interval="profile")
columns = ["estimate", "lower", "upper"]
profile[columns].squeeze("id", drop=True).to_dataframe()[["unit", *columns]].round(3)

# %% [markdown]
# ## The population from single fits, twice
#
# *Two-stage* takes the patients who could be fitted and estimates typical values and the spread between patients from their
# estimates. *Pooled* takes all records as if they came from one patient.

# %%
two_stage = fit.two_stage(model, trial, estimate=estimate)
pooled = fit.least_squares(model, trial, estimate=estimate, method="pooled")
truth = datasets.truth()["transgene"]

together = pd.DataFrame(
    {
        "two-stage": two_stage["typical"].to_series(),
        "pooled": pooled["estimate"].squeeze("id").to_series(),
        "truth (expanders)": {name: truth[name] for name in estimate},
        "two-stage, IIV": two_stage["omega"].to_series(),
        "truth, IIV": {name: truth[f"{name}_iiv"] for name in estimate},
    }
)
together.astype(float).round(2)

# %%
print(
    f"{int(two_stage['used'].sum())} of {two_stage.sizes['id']} patients are in the two-stage estimate."
)

# %% [markdown]
# Neither is right about the peak. The two-stage value is too high, because patients whose cells hardly expanded have too few
# quantified samples and drop out: **the missing patients are not a random sample**. The pooled one is too low, because it is a
# compromise between expanders and non-expanders that describes nobody, and because a curve with averaged peak
# times is flatter than every patient's. Shapes (`rho`, `alpha`, `tmax`) survive much better than heights.
#
# ## What it means for the trial
#
# - The curve fits who expanded, so the structure is good enough to go on with.
# - A third or more of the patients are invisible to single fits. Any summary of "individual estimates" in a report should say how
#   many patients it leaves out, and who they are.
# - A population fit uses all patients, the censored records too: that is [notebook 4](04_population_bayes.ipynb).
