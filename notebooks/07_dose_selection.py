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
seen.table().style.format({"dose": "{:.0e}", "rate": "{:.0%}"}).hide()

# %%
seen.exclusions().style.format({"amount": "{:.3g}"}).hide()

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
columns = ["dose", "mean", "q2.5", "q50", "q97.5", "under", "target", "over"]
design.prior_table()[columns].style.format(precision=3).format("{:.0e}", subset=["dose"]).hide()

# %% [markdown]
# ## The decision

# %%
mtd = design.mtd(seen)
print(mtd.sentence)
print(*mtd.flags, sep="\n")

# %%
columns = [
    "dose",
    "evaluable",
    "dlts",
    "mean",
    "q2.5",
    "q97.5",
    "under",
    "target",
    "over",
    "eligible",
]
mtd.table[columns].style.format(precision=3).format("{:.0e}", subset=["dose"]).hide()

# %% [markdown]
# A critical reader sees two things here. The MTD is more likely *below* the target interval (0.75) than in it: the dose that one would
# like to have lies between 10⁷ and 3×10⁷ cells and was not studied. And the 0.42 at 3×10⁷ comes from two DLTs in six patients.

# %%
before = dose.counts({}, levels=levels)
plots.dose_toxicity(design.curve(seen), mtd.table, prior=design.curve(before))

# %%
plots.dose_intervals(mtd.table, bound=0.25, prior=design.prior_table())

# %% [markdown]
# ## What would one more cohort change?
#
# Nothing, whatever the outcome: three more patients at this dose cannot move the MTD. A reason to treat them would have to
# come from elsewhere, such as the exposure or the response.

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
plots.dlt_by_dose(chain, curve=design.curve(seen), free=dose.order_free(seen), target=(0.16, 0.33))

# %% [markdown]
# ## Is a lower dose nearly as good?
#
# The lowest dose at which the exposure is at least 80 % of that at the MTD with a probability of 0.7, and the risk of overdosing
# not higher.

# %%
below = dose.recommend_below_mtd(
    seen, mtd=mtd.dose, benefit=cmax, over=mtd, share=0.8, certainty=0.7
)
print(below.sentence)
print(*below.flags, sep="\n")

# %% [markdown]
# The rule names 10⁶ cells, and the flag says why not to follow it: three patients, who happened to expand well. It is a reason to
# randomise between two doses in the next phase, not to go down tenfold.

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
shown = ["scenario", "design", "correct", "overdose_selected", "size", "overdosed", "length_median"]
operating = dose.operating_table(found)[shown]
percent = {"correct": "{:.0%}", "overdose_selected": "{:.0%}"}
operating.style.format(
    {**percent, "size": "{:.1f}", "overdosed": "{:.1f}", "length_median": "{:.0f}"}
).hide()

# %% [markdown]
# The BLRM with this prior and overdose control hardly ever selects a toxic dose, and pays for it: where the third level is right it stops
# one level below in most trials. BOIN finds it more often and treats more patients above it. The 3+3 needs half the patients and is
# right least often, but where all doses are safe: there the BLRM stops a level early in half of the trials. Lengths are in days. Which of these a trial wants is a decision for the protocol, before the first patient.
#
# ## What it means for the trial
#
# - **10⁷ cells**, by the BLRM and by BOIN; 3×10⁷ cells fails the overdose criterion.
# - **Exposure does not ask for more dose.** The exponent of the dose lies far below proportional, so the risk at 3×10⁷ is not paid for.
# - **A lower dose cannot be excluded**, and three patients at each of the low levels cannot recommend one.
