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
# # 8 · Clinical endpoints
#
# **Question.** Did tumours shrink, for how long were patients without progression, and does exposure have to do with either?

# %%
import pandas as pd

from cart_pkpd import datasets, endpoints, nca, plots

# %% [markdown]
# ## From lesions to response
#
# The radiologist's table has a row per lesion and scan. RECIST 1.1 is applied to it visit by visit, and every result carries the rule
# that decided it.

# %%
trial = datasets.load("fast01")
followup = endpoints.read_followup(datasets.load("fast01", table="followup"))
lesions = endpoints.read_lesions(
    datasets.load("fast01", table="lesions"), followup=followup, patients=trial["id"].values
)
points = endpoints.recist(lesions)
best = endpoints.best_response(points, followup, min_sd_days=28)
some = best[best["id"].isin(["F01-002", "F01-009", "F01-016"])]
some[["id", "confirmed", "confirmed_reason"]].style.hide()

# %% [markdown]
# The first scan is planned on day 28, so that stable disease is taken from day 28 on (`min_sd_days`); with the usual six weeks it would be
# not evaluable. That is a protocol decision and belongs in the report.

# %%
plots.waterfall(best, trial)

# %%
plots.spider(points, trial)

# %% [markdown]
# ## Response rates
#
# Confirmed responses of all infused, with exact intervals; and with the dose levels borrowing from each other. With three patients a level,
# 0 of 3 is compatible with a true rate of 70 %; the hierarchical estimate says how much of that is plausible given the other levels.

# %%
rates = {}
for interval in ["clopper-pearson", "hierarchical"]:
    found = endpoints.orr(best, trial, by="dose_level", interval=interval)
    found = found[found["measure"] == "ORR"].set_index("group")
    rates[interval] = found[["rate", "lower", "upper"]]
counts = pd.concat({"ORR": found[["x", "n"]].astype(int)}, axis=1)
together = counts.join(pd.concat(rates, axis=1))
together.style.format("{:.0%}", subset=list(rates))

# %% [markdown]
# ## Each patient's time on study

# %%
plots.swimmer(followup, best, trial)

# %% [markdown]
# ## Progression-free and overall survival
#
# Two conventions of censoring can differ for patients who began another treatment before progression or missed two scans.

# %%
pfs = endpoints.pfs(points, followup, censoring="fda")
ema = endpoints.pfs(points, followup, censoring="ema")
together = pfs.merge(ema, on="id", suffixes=(" (FDA)", " (EMA)"))
differ = (together["event (FDA)"] != together["event (EMA)"]) | (
    together["time (FDA)"] != together["time (EMA)"]
)
print(f"{differ.sum()} of {len(together)} patients differ between the conventions.")

# %%
km = endpoints.kaplan_meier(pfs, months=[3, 6, 12])
plots.survival(km)

# %%
os = endpoints.kaplan_meier(endpoints.os(followup, points))
medians = pd.concat({"PFS": km.summary, "OS": os.summary}).droplevel(1)
medians = medians[["n", "events", "median", "median_lower", "median_upper"]].round(1)
medians.rename(columns=lambda name: f"{name} (months)" if "median" in name else name)

# %% [markdown]
# ## Does exposure matter?
#
# AUC0–28d is known on day 28 and not before. Comparing survival from day 0 by something that only survivors to day 28 can have
# is immortal-time bias; the clock therefore starts on day 28 (landmark).

# %%
params = nca.table(trial, endpoint="transgene", window=(0, 28))
late = endpoints.from_landmark(pfs, 28)
cox = endpoints.cox(late, ["auc0_28", "tumour_burden"], patients=params)
columns = ["label", "change", "estimate", "lower", "upper", "p_value"]
cox.ratios()[columns].style.format(precision=2).hide()

# %%
er = endpoints.exposure_response(params, "crs_grade", "auc0_28", at_least=2)
plots.exposure_response(er)

# %% [markdown]
# ## What it means for the trial
#
# - Six of thirty patients had a confirmed response, at 10⁶ and at 10⁷ cells. No rate is known to better than tens of per cent.
# - Ratios per doubling of the exposure have wide intervals on both sides of 1. They are associations: tumour burden may drive both
#   expansion and outcome, which is why it is in the regression.
# - The convention of censoring makes no difference here. It has to be in the protocol all the same, because nobody knows that
#   beforehand.
