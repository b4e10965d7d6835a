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
# # 7 · Dose selection
#
# **Question.** All thirty patients are treated. Which dose is the MTD, what would one more cohort change, does the exposure argue for
# it, and is a lower dose nearly as good?

# %%
from cart_pkpd import datasets, dose, fit, nca, plots

# %% tags=["parameters"]
trials = 2000  # simulated, of each design and scenario
sampling = {"draws": 1000, "tune": 1000, "chains": 4}

# %% [markdown]
# ## Who counts
#
# The planned levels, and what is close enough to count for them. A patient who died or was lost before day 28 without a DLT does not count.

# %%
trial = datasets.load("fast01")
levels = dose.Levels((1e6, 3e6, 1e7, 3e7), "cells", within=(0.8, 1.2))
seen = dose.data(trial, levels=levels)
seen.table()

# %%
seen.exclusions().style.hide()

# %% [markdown]
# ## The design, and what it expected before the first patient
#
# A Bayesian logistic model with overdose control: P(DLT rate ≥ 0.33) must not exceed 0.25. Its prior must be looked at
# *before* the data, because with few patients it decides.

# %%
design = (
    dose.BLRM(
        levels,
        reference=1e7,
        prior=dose.BivariateNormal(mean=(-1.4, 0.0), sd=(1.5, 0.7), corr=0.0),
        intervals=(0.16, 0.33),
    )
    & dose.EWOC(0.33, 0.25)
    & dose.NoSkip()
    & dose.StopIfToxic(0.33, 0.9)
    & dose.CohortSize(3)
)
design.prior_table().round(3)

# %% [markdown]
# ## The decision

# %%
mtd = design.mtd(seen)
mtd

# %%
before = dose.counts({}, levels=levels)
plots.dose_toxicity(design.curve(seen), mtd.table, prior=design.curve(before))

# %%
plots.dose_intervals(mtd.table, bound=0.25, prior=design.prior_table())

# %% [markdown]
# ## What would one more cohort change?

# %%
plots.dose_scenarios(dose.scenarios(design, seen, cohort=3, ask="mtd"))

# %% [markdown]
# ## Would another design decide otherwise?

# %%
boin = dose.BOIN(0.25, bound=0.33)
print(boin.mtd(seen).sentence)
print(dose.order_free(seen).sentence)

# %% [markdown]
# ## What does exposure say?

# %%
params = nca.table(trial, "transgene", window=(0, 28))
cmax = dose.exposure(params, trial, "cmax", data=seen)
print(cmax.sentence)
plots.exposure_power(cmax)

# %% [markdown]
# The chain puts the parts together: dose → exposure → cytokine peaks → CRS and DLT, and averages the risk over the exposures that
# a dose gives.

# %%
toxicity = dose.Toxicity(fit.Normal(dose.log_odds(0.2), 1.5))
chain = dose.chain(
    trial, toxicity=toxicity, reference=1e7, endpoint="transgene", data=seen, **sampling, seed=1
)
print(chain.verdict.sentence)
plots.dlt_by_dose(
    chain, curve=design.curve(seen), free=dose.order_free(seen), target=(0.16, 0.33)
)

# %% [markdown]
# ## Is a lower dose nearly as good?
#
# The lowest dose at which the exposure is at least 80 % of that at the MTD with a probability of 0.7, and the risk of overdosing
# not higher.

# %%
below = dose.recommend_below_mtd(
    seen, mtd=mtd.dose, benefit=cmax, over=mtd, share=0.8, certainty=0.7
)
below

# %% [markdown]
# ## Can the design be trusted?
#
# Before a protocol is signed, the design is run on thousands of simulated trials. Shares of trials in which each level is
# selected, when the truth is as named:

# %%
scenarios = {
    name: dose.Scenario(
        levels=levels, p=p, target=0.25, max_patients=30, cohort=3, accrual=2.0, dropout=0.05
    )
    for name, p in {
        "third level": (0.05, 0.12, 0.25, 0.42),
        "all toxic": (0.45, 0.55, 0.65, 0.75),
        "all safe": (0.02, 0.04, 0.06, 0.10),
    }.items()
}
designs = {"BLRM": design, "BOIN": boin, "3+3": dose.ThreePlusThree("de-escalate")}
found = dose.compare_designs(designs, scenarios, trials=trials, seed=1)
plots.operating_characteristics(found)[0].figure

# %%
dose.operating_table(found).round(1)

# %% [markdown]
# ## What it means for the trial
#
# - **10⁷ cells**, by the BLRM and by BOIN; 3×10⁷ cells fails the overdose criterion, and three more patients at 10⁷ without a DLT would not
#   change that.
# - **Exposure does not ask for more dose.** The exponent of the dose lies far below proportional, so the risk at 3×10⁷ is not paid for.
# - **A dose below the MTD** is a question that the trial answers with three patients at each of the low doses; the flags say that this is
#   mostly the model's.
