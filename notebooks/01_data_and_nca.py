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
# # 1 · Data and non-compartmental analysis
#
# **Question.** How far did the CAR-T cells expand at each dose, how long did they stay, and does more dose mean
# more exposure?
#
# The trial is `fast01`: thirty simulated patients with mesothelin/MUC1 solid tumours, four dose levels from 10⁶ to 3×10⁷
# cells. Because it is simulated we can, at the very end, look up what was true.

# %%
import pandas as pd

from cart_pkpd import data, datasets, nca, plots

# %% [markdown]
# ## The table, and what was made of it
#
# A table in the style of NONMEM or Monolix needs a patient, a time and a value; a level below the limit of quantification
# is flagged (`CENS` 1) and its limit stands in `DV`. These are rows of one patient.

# %%
table = pd.read_csv(datasets.path("fast01"), dtype=str)
shown = ["ID", "TIME", "EVID", "AMT", "DVID", "DV", "CENS", "LLOQ", "UNIT", "DOSELEVEL"]
table.loc[(table["ID"] == "F01-002") & table["DVID"].isin(["dose", "transgene"]), shown].head(9)

# %% [markdown]
# `data.read_table` reads such a file from anywhere. Whatever it guessed, counted or left out is in the import report, which is
# worth reading before any number: the analysis is only as good as the reading of the table.

# %%
trial = datasets.load("fast01")
print(data.import_report(trial))

# %% [markdown]
# ## The profiles
#
# Open triangles are samples below the LLOQ of 50 copies/µg. The level is on a log scale, because both growth and
# decline of cells are exponential, and patients differ by factors.

# %%
plots.profiles(data.endpoint(trial, "transgene"), facet=True, last=90)

# %% [markdown]
# Three things strike the eye: a peak near day 10 in nearly everyone; within a dose level, peaks that
# differ more than a hundredfold; and some patients, at low and high doses, whose cells hardly expand.
#
# ## One patient in detail
#
# NCA is a set of rules, and the rules matter where samples are few. The shaded area is the curve that was integrated to day
# 28.000 exactly; the orange line is the regression behind the half-life.

# %%
params = nca.table(trial, endpoint="transgene", window=(0, 28))
plots.nca_profile(trial, params, "F01-026")

# %% [markdown]
# A number that cannot be had is missing **with a reason**. Half-lives need three quantifiable samples after the peak, which
# many profiles do not have:

# %%
reasons = params["reason"].sel(parameter="half_life").to_series()
reasons[reasons != ""].value_counts().rename("patients").reset_index().style.hide()

# %% [markdown]
# ## By dose level, as a label would print it

# %%
nca.label_table(params)

# %% [markdown]
# Read the *n* before the means. A geometric CV above 100 % is usual for cells that multiply: dose explains little of what a
# patient's exposure becomes.

# %%
plots.exposure(params, "auc0_28")

# %% [markdown]
# ## Is exposure proportional to dose?
#
# The power model, ln AUC = a + b ln dose, asks for the exponent. Proportional is b = 1, no relation is b = 0.

# %%
print(nca.proportionality(params, "auc0_28"))

# %%
print(nca.proportionality(params, "cmax"))

# %% [markdown]
# Even the upper limits are far below 1: over a 30-fold range of doses exposure is far less than proportional. Whether it rises at
# all is another matter. The three patients of the lowest dose happened to be strong expanders, and tilt the line. The truth in this
# simulation is an exponent of 0.15 for the peak, just outside the 90 % interval, as must happen in one trial of ten:

# %%
datasets.truth()["transgene"]["dose_exponent"]

# %% [markdown]
# ## Persistence
#
# Cells were lost somewhere between the last quantifiable sample and the first one below the LLOQ. The curve is Kaplan–Meier with the
# loss in the middle of that interval; patients whose cells were still there at their last sample are censored.

# %%
plots.persistence(nca.persistence(params))

# %% [markdown]
# ## What it means for the trial
#
# - **Expansion decides exposure, not dose.** The next question is what *does* explain the spread between patients; a population
#   model (notebook 4) can use every sample, the ones below the LLOQ too.
# - **Small exponent, large scatter.** Arguing for a higher dose by exposure alone needs many patients; the dose decision
#   (notebook 7) has to weigh toxicity against this weak relation.
# - **Report *n* with everything.** Means over the patients who have a value are means over the expanders.
