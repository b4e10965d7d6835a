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
# # 2 · A tour of the model library
#
# **Question.** Thirty models of CAR-T cells have been published or adapted. Which of them fits the question and the samples of a phase 1
# trial in solid tumours, and what does each assume?
#
# A model that is too rich for the samples gives numbers that are its prior in disguise; one that is too poor cannot answer what
# the team asks. The choice is easier before there are data.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from cart_pkpd import checks, models

# %% [markdown]
# ## What there is
#
# Each model is one file with its equations, numbers, units and sources. `structure` says how sure the equations are: *published*
# were read in the paper, *transcribed* in code that cites it, *assumed* are a form chosen here.

# %%
library = models.table()
print(f"{len(library)} models")
library.groupby("structure").size().rename("models").to_frame()

# %% [markdown]
# Most trials in solid tumours measure the transgene in blood by qPCR. These models predict it:

# %%
for_transgene = library[library["endpoints"].str.contains("transgene")]
columns = ["label", "n_states", "n_parameters", "dosed", "structure"]
for_transgene[columns].style.set_properties(subset=["label"], **{"text-align": "left"})

# %% [markdown]
# ## One model in full
#
# The workhorse is the empirical model of Stein et al. (2019): growth at a constant rate until a peak, then a fast and a slow decline.
# Below is its page as a notebook shows it.

# %%
models.describe("stein2019")

# %% [markdown]
# ## The same question, four answers
#
# Typical courses of four empirical models, each with the numbers of its own population. Three of them nearly agree after the peak, and
# differ in the first days: cells that leave the blood, a lag, or neither. The fourth, of another product in another
# disease, peaks higher and persists ten times higher. **Values are borrowed with care; structures can be.**

# %%
days = np.linspace(0, 90, 361)
empirical = ["stein2019", "ogasawara2021", "liu2021", "wu2022"]

figure, axes = plt.subplots(figsize=(7, 3.8), layout="constrained")
for name in empirical:
    level = models.get(name).simulate(days)["transgene"]
    axes.plot(
        days, level.squeeze(), label=f"{name} ({library.loc[name, 'population'].split(',')[0]})"
    )
axes.set(yscale="log", ylim=(10, 1e5), xlabel="day after infusion", ylabel="transgene (copies/µg)")
axes.legend(frameon=False, fontsize=8)
plt.show()

# %% [markdown]
# ## Does the dose enter?
#
# In an empirical model the dose does not enter, so that it acts only as a covariate of the peak. In a mechanistic one it is the
# initial number of cells, and what it does to the peak is a *consequence* of the equations. Four doses in each of three models:

# %%
doses = np.array([1e6, 3e6, 1e7, 3e7])
peaks = {}
for name in ["effector_memory", "dual_antigen", "singh2021"]:
    model = models.get(name)
    courses = [model.simulate(days, doses=float(d))["transgene"] for d in doses]
    peaks[name] = [float(c.max()) for c in courses]
peaks = pd.DataFrame(peaks, index=pd.Index(doses, name="dose (cells)"))
slopes = np.log(peaks.iloc[-1] / peaks.iloc[0]) / np.log(doses[-1] / doses[0])
slopes.rename("power of the dose in Cmax").to_frame().round(2)

# %% [markdown]
# Growth that saturates makes the peak nearly independent of the dose, as in most trials. In the model of a solid tumour with two
# antigens there is a threshold: at 10⁶ cells the tumour wins, and between the lowest and the highest dose the peak rises far
# more than in proportion. **What a dose does to exposure is here an assumption of the structure, not a result**; a dose decision
# should not be extrapolated from a single one of them.
#
# ## Cells with cytokines, and tocilizumab
#
# Parts are added with `+`. Tocilizumab blocks the receptor that clears IL-6: the level in serum *rises*, and the signal that
# the tissue sees falls. Reading a rise of IL-6 after tocilizumab as worsening is a classical mistake.

# %%
joint = (
    models.get("stein2019")
    + models.cytokines(["il6", "ifng"], receptor=True)
    + models.tocilizumab()
)
days = np.linspace(0, 28, 281)
courses = {
    "untreated": joint.simulate(days),
    "tocilizumab on day 9": joint.simulate(days, inputs={"tocilizumab": [(9.0, 1.0)]}),
}
titles = {"transgene": "CAR-T cells", "il6": "IL-6 in serum", "il6_signal": "IL-6 signal"}

figure, panels = plt.subplots(1, 3, figsize=(9, 3), layout="constrained")
for axes, (endpoint, title) in zip(panels, titles.items(), strict=True):
    for (label, course), style in zip(courses.items(), ["-", "--"], strict=True):
        axes.plot(days, course[endpoint].squeeze(), style, label=label)
    unit = course[endpoint].attrs["units"]
    axes.set(yscale="log", title=title, xlabel="day after infusion", ylabel=unit)
panels[0].set_ylim(10, 5e4)
panels[0].legend(frameon=False, fontsize=8)
plt.show()

# %% [markdown]
# ## What can this trial's samples tell?
#
# `checks.identifiability` takes a model and a sampling schedule and gives the relative standard error that
# each parameter would have. With the visits of `fast01`, to day 28 only and for a year:

# %%
first_month = [0, 1, 3, 7, 10, 14, 21, 28]
one_year = [*first_month, 61, 91, 183, 274, 365]
rse = {}
for label, schedule in {"28 days": first_month, "a year": one_year}.items():
    found = checks.identifiability("stein2019", schedule, patients=[30])
    rse[label] = found["rse"].sel(patients=30).to_series()
table = (100 * pd.DataFrame(rse)).rename_axis("RSE in 30 patients")
table.map(lambda rse: f"{rse:.0f} %" if rse < 200 else "not identifiable")

# %% [markdown]
# Without visits after day 28 nobody can estimate the slow decline. That is not a matter of the model or the software but of the
# protocol: **persistence needs visits**.
#
# ## To cite
#

# %%
print(models.cite("stein2019"))

# %% [markdown]
# ## What it means for the trial
#
# - Start with `stein2019`: six parameters, all of which the planned visits can estimate if follow-up goes beyond day 28.
# - Let the dose act as a covariate on the peak, and look at its exponent (notebook 4).
# - Take a mechanistic model only for a question that needs it (other doses, antigen loss, a second infusion), and with the
#   prior shown beside every result.
