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
# # 5 · Cytokines and cytokine release syndrome
#
# **Question.** Which cytokines move, when, and how high? Can the risk of CRS be read from the cells or from IL-6, and by what day
# must a patient be watched?

# %%
import pandas as pd

from cart_pkpd import crs, datasets, endpoints, nca, plots

# %% tags=["parameters"]
sampling = {"draws": 1000, "tune": 1000, "chains": 4}

# %% [markdown]
# ## Nine cytokines
#
# One line per patient. IL-2 is early, IFN-γ and IL-6 follow the expansion of the cells, and IL-15 falls from a level that
# lymphodepletion raised before the infusion.

# %%
trial = datasets.load("fast01")
plots.cytokines(trial)

# %% [markdown]
# ## Peaks
#
# Cytokines have a level before treatment, so profiles start from the sample before the infusion and not from zero. Peaks are
# geometric means (CV %) in pg/mL, days of the peak medians [range].

# %%
rows = {}
for name in ["il2", "il6", "il10", "ifng", "mcp1"]:
    peaks = nca.table(trial, endpoint=name, window=(0, 28), start_rule="predose")
    table = nca.label_table(peaks, by=None, parameters=["cmax", "tmax"])
    rows[name] = table.iloc[:, 0]
pd.DataFrame(rows).T.droplevel(["unit", "statistic"], axis=1)

# %% [markdown]
# ## Who had CRS?

# %%
outcomes = trial[["dose_level", "crs_grade"]].to_dataframe()
pd.crosstab(outcomes["dose_level"], outcomes["crs_grade"].astype(int)).rename(
    index="{:.0e} cells".format
)

# %% [markdown]
# Fourteen of the eighteen patients at 10⁷ cells had CRS, and one of the six at 3×10⁷. Dose alone cannot be the explanation.
#
# ## A layer on top of the courses
#
# Three parts, each a model of its own: *whether* CRS occurs, given the peak of the cells and the dose; *how severe* it is, given
# the peak of IL-6; and *when* it begins, by a hazard that follows IL-6 from day to day.

# %%
layer = crs.Layer(
    occurrence=crs.Logistic(
        [crs.peak("transgene"), crs.covariate("dose_level", reference=1e7, unit="cells")]
    ),
    grade=crs.ProportionalOdds([crs.peak("il6")]),
    onset=crs.Hazard([crs.level("il6")]),
    window=(0, 28),
)
courses = crs.observed_courses(trial, ["transgene", "il6"])
predictors = layer.predictors(courses, trial)
fitted = layer.bayes(predictors, **sampling, seed=1)
print(fitted.verdict.sentence)

# %% [markdown]
# Who was not used, and what the data do not tell:

# %%
print("\n".join(fitted.notes))

# %% [markdown]
# Odds and hazard ratios per doubling, with 90 % intervals:

# %%
plots.crs_odds_ratios(fitted.odds_ratios())

# %% [markdown]
# The cells' peak says little about who has CRS; a doubling of IL-6 nearly doubles the hazard of its onset. The dose itself has an
# interval on both sides of 1.

# %%
plots.crs_response(crs.response(fitted, "grade"))

# %% [markdown]
# ## By what day?

# %%
plots.crs_incidence(crs.incidence(fitted))

# %% [markdown]
# The observed curve is steeper around day 10 than the model's: in this trial CRS starts as IL-6 *rises*, and a hazard on its level is late.
# A criticism of the model worth keeping in the report. Mean predicted probabilities of an onset by day, by the grade that was
# seen later:

# %%
chance = fitted.probabilities(days=[7, 14, 28])["p_onset"].sel(interval="mean")
by_day = chance.to_pandas().join(outcomes["crs_grade"].rename("observed grade"))
by_day.columns = [f"by day {c:.0f}" if isinstance(c, float) else c for c in by_day]
by_day.groupby("observed grade").mean().style.format("{:.0%}").format_index("{:.0f}")

# %% [markdown]
# By day 28 everybody has a probability of about one half, whatever happened later: the peak of the cells and the dose do not tell who will
# have CRS. That agrees with the odds ratios above.
#
# ## Grades from vital signs
#
# Where the table has vital signs instead of grades, the ASTCT rules are applied record by record, and each grade says why.

# %%
vitals = pd.DataFrame(
    [
        ("01", 1.0, 37.2, 0, "none", None, 0),
        ("01", 2.0, 38.9, 0, "none", None, 0),
        ("01", 3.0, 39.4, 0, "nasal cannula", 3, 1),
        ("01", 4.0, 37.4, 1, "nasal cannula", 4, 0),
        ("01", 6.5, 37.0, 0, "none", None, 0),
    ],
    columns=["id", "day", "temperature", "vasopressors", "oxygen", "oxygen_flow", "tocilizumab"],
)
records = endpoints.crs_grade(vitals).records
records[["day", "grade", "rule"]].style.hide().format({"day": "{:g}", "grade": "{:.0f}"})

# %% [markdown]
# ## What it means for the trial
#
# - **Watch the first two weeks.** Half of the onsets came by day 7 and all but one by day 14.
# - **IL-6 goes with onset and grade, the dose and the cells do not.** Daily IL-6 in the first two weeks is worth its blood. It is an
#   association: treatment begins at onset and changes the peak.
# - **Do not read a rise of IL-6 after tocilizumab as worsening** ([notebook 2](02_model_library.ipynb)).
