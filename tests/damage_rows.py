"""Ways in which people damage the rows and cells of a table; see `damage`."""

from __future__ import annotations

from damage import (
    EITHER,
    REFUSED,
    SAME,
    Case,
    Draw,
    Rows,
    case,
    line,
    measured,
    pick,
    spoiled,
    text,
    way,
)
from hypothesis import strategies as st


def observed(rows: Rows) -> Rows:
    return [r for r in rows if r["EVID"] == "0"]


# --- what a spreadsheet does ---------------------------------------------------------------------


@way
def names_as_dates(draw: Draw, rows: Rows) -> Case:
    day, month = draw(st.integers(1, 12)), draw(st.sampled_from(["Jan", "Mar", "Sep", "Dec"]))
    made = draw(st.sampled_from([f"{day}-{month}", f"{month}-{day:02d}", f"{day}-{month}-2024",
                                 f"2024-{day:02d}-04 00:00:00", f"1.{day:02d}E+11"]))  # fmt: skip
    who = draw(st.sampled_from(sorted({r["ID"] for r in rows})))
    for r in rows:
        r["ID"] = made if r["ID"] == who else r["ID"]
    return case(rows, REFUSED, names=(repr(made), "ID"))


@way
def endpoints_as_dates(draw: Draw, rows: Rows) -> Case:
    made = f"{draw(st.integers(1, 9))}-{draw(st.sampled_from(['Mar', 'Sep', 'Dec']))}"
    for r in rows:
        r["DVID"] = made if r["DVID"] == "il6" else r["DVID"]
    return case(rows, REFUSED, names=(repr(made), "DVID"))


@way
def cells_as_dates(draw: Draw, rows: Rows) -> Case:
    day = draw(st.integers(1, 28))
    made = draw(st.sampled_from([
        f"{day}-Jan", f"Jan-{day:02d}", f"{day}/01/2024", f"2024-01-{day:02d}", f"{day}JAN2024",
        f"{day:02d}.01.2024", f"2024-01-{day:02d}T08:00", f"{day % 12 + 1}:30",
    ]))  # fmt: skip
    return spoiled(rows, measured(draw, rows), draw(st.sampled_from(["TIME", "DV"])), made)


@way
def times_as_calendar_numbers(draw: Draw, rows: Rows) -> Case:
    """Days since 1900: with dose records they are as good as any clock."""
    start = draw(st.integers(40_000, 47_000))
    made = [{**r, "TIME": str(start + float(r["TIME"])), "NTIME": "."} for r in rows]
    if draw(st.booleans()):
        return case(made, SAME, rows, says=("first dose is day 0",))
    return case(observed(made), REFUSED, names=("row 2", "TIME", "date"))


@way
def errors_of_spreadsheets(draw: Draw, rows: Rows) -> Case:
    made = draw(st.sampled_from(["#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "=A1*2", "=1+1", "@x"]))
    where = draw(st.sampled_from(["DV", "TIME", "LLOQ"]))
    return spoiled(rows, measured(draw, rows), where, made)


@way
def summary_rows(draw: Draw, rows: Rows) -> Case:
    word = draw(st.sampled_from(["Mean", "total", "SD", "Median", "Average:", "MAX", "Sum"]))
    extra = {**measured(draw, rows), "ID": word}
    at = draw(st.integers(1, len(rows)))
    made = [*rows[:at], extra, *rows[at:]]
    return case(made, REFUSED, names=(repr(word), line(made, extra)))


# --- values and limits ---------------------------------------------------------------------------


@way
def units_in_cells(draw: Draw, rows: Rows) -> Case:
    column, unit = draw(st.sampled_from([
        ("DV", "pg/mL"), ("DV", "copies/µg"), ("TIME", "d"), ("TIME", "h"), ("LLOQ", "pg/mL"),
        ("DV", "%"),
    ]))  # fmt: skip
    row = measured(draw, rows)
    return spoiled(rows, row, column, f"{row[column]}{draw(st.sampled_from(['', ' ']))}{unit}")


@way
def amounts_with_units(draw: Draw, rows: Rows) -> Case:
    row = pick(draw, rows, EVID="1")
    return spoiled(
        rows, row, "AMT", f"{row['AMT']} {draw(st.sampled_from(['cells', 'CAR+', 'mg']))}"
    )


@way
def words_below_the_limit(draw: Draw, rows: Rows) -> Case:
    """Each record below its LLOQ in another way of saying so."""
    words = ["BLQ", "bql", "BLOQ", "<LLOQ", "< LLOQ", "ND", "not detected", "<LOD", "undetectable"]
    for r in rows:
        if r["CENS"] == "1":
            r["DV"] = draw(st.sampled_from([*words, f"<{r['LLOQ']}", f"≤ {r['LLOQ']}"]))
            r["CENS"] = draw(st.sampled_from(["1", "."]))
    made = [dict(r) for r in rows]
    for r in rows:
        if not r["DV"][0].isdigit() and r["DV"] != ".":
            r["DV"], r["CENS"] = r["LLOQ"], "1"
    return case(made, SAME, rows)


@way
def limits_only_in_the_text(draw: Draw, rows: Rows) -> Case:
    made = [{**r, "LLOQ": ".", "DV": f"<{r['LLOQ']}" if r["CENS"] == "1" else r["DV"]}
            for r in rows]  # fmt: skip
    if not draw(st.booleans()):
        return case(made, SAME, rows)
    word = draw(st.sampled_from(["BLQ", "ND", "<LLOQ", "BQL"]))
    return spoiled(made, measured(draw, made), "DV", word)


@way
def mixed_limits(draw: Draw, rows: Rows) -> Case:
    """A limit of its own for each patient and endpoint; values below it are censored."""
    for who in sorted({(r["ID"], r["DVID"]) for r in observed(rows)}):
        limit = draw(st.sampled_from([0.5, 2.0, 10.0, 60.0, 500.0]))
        for r in rows:
            if (r["ID"], r["DVID"]) == who and r["CENS"] == "0":
                r["LLOQ"] = str(limit)
    return case(rows, SAME, rows)


@way
def codes_for_missing(draw: Draw, rows: Rows) -> Case:
    code = draw(st.sampled_from(["-99", "-999", "-9999", "-99.0"]))
    row = measured(draw, rows)
    where = draw(st.sampled_from(["DV", "LLOQ", "AMT", "AGE", "WEIGHT"]))
    if where in ("AGE", "WEIGHT"):
        for r in rows:
            r[where] = code if r["ID"] == row["ID"] else r[where]
        return case(rows, REFUSED, names=(where, code, f"missing=['{code}']"))
    if draw(st.booleans()) and where == "DV":
        kept = [r for r in rows if r is not row]
        row.update(DV=code, MDV=".")
        return case(rows, SAME, kept, options={"missing": [code]}, says=("DV is missing",))
    return spoiled(rows, row, where, code)


@way
def gaps(draw: Draw, rows: Rows) -> Case:
    """A value that is not there: left out with the reason, or refused where MDV says it is."""
    row = measured(draw, rows)
    kept = [r for r in rows if r is not row]
    row["DV"] = draw(st.sampled_from([".", "", "NA", "NaN", "NULL", "#N/A"]))
    if draw(st.booleans()):
        return case(rows, REFUSED, names=(f"patient {row['ID']!r}", line(rows, row), "MDV"))
    row["MDV"] = draw(st.sampled_from([".", "1"]))
    return case(rows, SAME, kept, says=("DV is missing" if row["MDV"] == "." else "MDV is 1",))


@way
def text_for_numbers(draw: Draw, rows: Rows) -> Case:
    made = draw(st.sampled_from([
        "1O", "l2", "12*", "1.2x10^3", "1_000", "0x10", "5%", "5±1", "~7", "?", "1..2", "1e5e5",
        "TRUE", "see note", "haemolysed", "--5", "1-2",
    ]))  # fmt: skip
    return spoiled(rows, measured(draw, rows), draw(st.sampled_from(["DV", "LLOQ"])), made)


@way
def infinities(draw: Draw, rows: Rows) -> Case:
    made = draw(st.sampled_from(["inf", "-inf", "Infinity", "+INF", "1e309", "1e999", "9" * 400]))
    where = draw(st.sampled_from(["DV", "TIME", "LLOQ", "ULOQ", "AMT"]))
    row = pick(draw, rows, EVID="1") if where == "AMT" else measured(draw, rows)
    return spoiled(rows, row, where, made)


@way
def huge_numbers(draw: Draw, rows: Rows) -> Case:
    """A number that a float holds, in a unit in which it no longer does."""
    size = draw(st.sampled_from(["1e306", "1e308", "1.79e308"]))
    first = next(r for r in rows if r["DVID"] == "transgene")  # whose unit is the endpoint's
    fit = [r for r in rows if r["CENS"] == r["MDV"] == "0" and r is not first]
    row = pick(draw, fit, DVID="transgene")
    if draw(st.booleans()):
        row["DV"] = size
        return case(rows, SAME, rows)
    where = draw(st.sampled_from(["DV", "TIME"]))
    row["UNIT"] = "copies/ng" if where == "DV" else row["UNIT"]
    row["LLOQ"] = "0.05" if where == "DV" else row["LLOQ"]
    return spoiled(rows, row, where, size)


@way
def negative_zeros(draw: Draw, rows: Rows) -> Case:
    zero = draw(st.sampled_from(["-0", "-0.0", "-0e5", "−0"]))
    made = [{**r, "TIME": zero if float(r["TIME"]) == 0 else r["TIME"]} for r in rows]
    row = measured(draw, made)
    of = rows[next(i for i, r in enumerate(made) if r is row)]
    row["DV"], of["DV"] = zero, "0"
    return case(made, SAME, rows)


@way
def negative_values(draw: Draw, rows: Rows) -> Case:
    made = f"-{draw(st.floats(1e-3, 1e6)):.4g}"
    return spoiled(rows, measured(draw, rows), "DV", made)


@way
def right_censoring_of_low_values(draw: Draw, rows: Rows) -> Case:
    """CENS -1 where 1 was meant: refused beside a limit, told where nothing else says so."""
    row = measured(draw, rows)
    row["CENS"] = "-1"
    if row["ULOQ"] != ".":
        return case(rows, REFUSED, names=(line(rows, row), "ULOQ"))
    row["DV"] = draw(st.sampled_from(["1", "20", "49.9"]))
    return case(rows, REFUSED, names=(line(rows, row), "LLOQ"))


@way
def left_censoring_of_high_values(draw: Draw, rows: Rows) -> Case:
    row = measured(draw, rows)
    row["CENS"] = "1"
    if float(row["DV"]) == float(row["LLOQ"]):
        row["DV"] = "1e4"
    return case(rows, REFUSED, names=(line(rows, row), "LLOQ"))


@way
def two_units(draw: Draw, rows: Rows) -> Case:
    """Some records in another unit: converted and said, or refused where it is another kind."""
    who = draw(st.sampled_from(sorted({r["ID"] for r in rows})))
    name, unit, factor = draw(st.sampled_from([
        ("transgene", "copies/ng", 1e3), ("transgene", "copies/mg", 1e-3), ("il6", "ng/mL", 1e3),
        ("il6", "ng/L", 1.0), ("il6", "cells/µL", 0.0), ("il6", "spoons", 0.0),
    ]))  # fmt: skip
    made = [dict(r) for r in rows]
    mine = [r for r in made if r["ID"] == who and r["DVID"] == name]
    first = next(r for r in made if r["DVID"] == name)
    for r in mine if mine[0] is not first or not factor else mine[3:]:
        r["UNIT"] = unit
        for column in ("DV", "LLOQ", "ULOQ"):
            if factor and r[column] != ".":
                r[column] = repr(float(r[column]) / factor)
    if not factor and mine[0] is first:  # the first unit is that of the endpoint
        mine[0]["UNIT"] = "pg/mL"
    says = (f"{name}: values in {unit} were converted",)
    return case(made, SAME, rows, says=says) if factor else case(made, REFUSED, names=("UNIT",))


# --- rows, times, names --------------------------------------------------------------------------


@way
def duplicates(draw: Draw, rows: Rows) -> Case:
    row = measured(draw, rows)
    again = {**row, "DV": draw(st.sampled_from([row["DV"], "777"]))}
    at = draw(st.integers(rows.index(row) + 1, len(rows)))
    made = [*rows[:at], again, *rows[at:]]
    how = draw(st.sampled_from([None, "first"]))
    if how and rows[at - 1]["ID"] == row["ID"] and rows[at - 1]["TIME"] == row["TIME"]:
        says = ("1 duplicate records were left out",)
        return case(made, SAME, rows, options={"duplicates": how}, says=says)
    return case(made, REFUSED, names=(f"patient {row['ID']!r}", line(made, again)))


@way
def two_doses_at_once(draw: Draw, rows: Rows) -> Case:
    dose = pick(draw, rows, EVID="1")
    again = {**dose, "AMT": draw(st.sampled_from([dose["AMT"], "5e6"]))}
    at = rows.index(dose) + 1
    return case([*rows[:at], again, *rows[at:]], REFUSED, names=(f"row {at + 2}", "AMT"))


@way
def shuffled(draw: Draw, rows: Rows) -> Case:
    """Rows in any order: right with sort=True, otherwise refused unless no time goes back."""
    made = draw(st.permutations(rows))
    if draw(st.booleans()):
        return case(made, SAME, rows, options={"sort": True})
    return case(made, EITHER, rows)


@way
def blocks_in_another_order(draw: Draw, rows: Rows) -> Case:
    key = draw(st.sampled_from(["ID", "DVID"]))
    order = draw(st.permutations(sorted({r[key] for r in rows})))
    return case(sorted(rows, key=lambda r: order.index(r[key])), SAME, rows)


@way
def times_in_hours(draw: Draw, rows: Rows) -> Case:
    made = [{**r, "TIME": repr(24 * float(r["TIME"])), "NTIME": "."} for r in rows]
    head = draw(st.sampled_from(["TIME (h)", "Hours", "TIME [hour]", "TIME"]))
    if head == "TIME":
        if draw(st.booleans()):
            return case(made, SAME, rows, options={"time_unit": "h"})
        return case(made, SAME, made, says=("in days",))  # nothing in the table says hours
    body = text(made).replace("TIME", head, 1)
    return case(body, SAME, rows, says=("from h to day",))


@way
def times_in_two_units(draw: Draw, rows: Rows) -> Case:
    row = measured(draw, rows)
    made = [{**r, "TIMEUNIT": "h" if r is row else "day"} for r in rows]
    return case(made, REFUSED, names=("several units",))


@way
def infusion_on_day_1(draw: Draw, rows: Rows) -> Case:
    later = [{**r, "TIME": repr(float(r["TIME"]) + 1), "NTIME": "."} for r in rows]
    kind = draw(st.sampled_from(["doses", "option", "no doses", "day before"]))
    rows = rows[: draw(st.integers(12, len(rows)))]
    later = later[: len(rows)]
    if kind == "doses":
        return case(later, SAME, rows, says=("first dose is day 0",))
    if kind == "option":
        return case(later, SAME, rows, options={"day_one": True})
    if kind == "no doses":
        return case(observed(later), SAME, observed(later), says=("infusion is taken to be at",))
    mine = [r for r in rows if r["ID"] == rows[0]["ID"]]
    before = {**measured(draw, mine), "TIME": "-1", "NTIME": "."}
    of = [{**before, "TIME": "-2"}, *rows]
    return case([before, *later], SAME, of, says=("day -1 is two days before",))


@way
def infusions_without_a_row(draw: Draw, rows: Rows) -> Case:
    """A second occasion without a dose: read as it stands, and told."""
    start = draw(st.sampled_from([10.0, 14.0, 20.0]))
    who = draw(st.sampled_from(sorted({r["ID"] for r in rows if float(r["TIME"]) > start})))
    for r in rows:
        r["OCC"] = "2" if r["ID"] == who and float(r["TIME"]) > start else "1"
    return case(rows, SAME, rows, says=("OCC is 2 after fewer doses",))


@way
def clocks_that_restart(draw: Draw, rows: Rows) -> Case:
    first = rows[0]["ID"]
    mine = [r for r in rows if r["ID"] == first]
    evid = draw(st.sampled_from(["1", "4"]))
    second = [{**r, "OCC": "2", "EVID": evid if r["EVID"] == "1" else r["EVID"]} for r in mine]
    return case([*mine, *second], REFUSED, names=(f"patient {first!r}", "TIME"))


@way
def one_number_in_several_ways(draw: Draw, rows: Rows) -> Case:
    names = {n: i for i, n in enumerate(dict.fromkeys(r["ID"] for r in rows), start=1)}
    made = [{**r, "ID": f"{names[r['ID']]}"} for r in rows]
    style = draw(st.sampled_from(["01", "1.0", "all 1.0"]))
    if style == "all 1.0":
        body = [{**r, "ID": f"{r['ID']}.{'0' * draw(st.just(2))}"} for r in made]
        return case(body, SAME, made, says=("written as 1.0",))
    row = measured(draw, made)
    other = f"0{row['ID']}" if style == "01" else f"{row['ID']}.0"
    body = [{**r, "ID": other} if r is row else r for r in made]
    return case(body, REFUSED, names=(repr(other), repr(row["ID"])))


@way
def names_that_look_alike(draw: Draw, rows: Rows) -> Case:
    """Blanks and characters without width are no part of a name; another case is, and is told."""
    row = measured(draw, rows)
    plain, old = draw(st.booleans()), row["ID"]
    made = [dict(r) for r in rows]
    at = next(i for i, r in enumerate(rows) if r is row)
    if plain:
        mark = draw(
            st.sampled_from(["\u200b", "\ufeff", "\u202e", " ", "\u2066", "\x1b", "\u00a0"])
        )
        made[at]["ID"] = draw(st.sampled_from([f"{old}{mark}", f"{mark}{old}"]))
        return case(made, SAME, rows, says=() if mark in " \u00a0" else ("not seen",))
    made[at]["ID"] = rows[at]["ID"] = draw(st.sampled_from([old.lower(), old.replace("-", "_")]))
    return case(made, SAME, rows, says=("similar names", repr(made[at]["ID"])))


@way
def covariates_that_change(draw: Draw, rows: Rows) -> Case:
    row = measured(draw, rows)
    where = draw(st.sampled_from(["SEX", "AGE", "WEIGHT"]))
    if where == "SEX":
        row["SEX"] = "F" if row["SEX"] == "M" else "M"
        return case(rows, REFUSED, names=(f"patient {row['ID']!r}", "'SEX'"))
    made = [dict(r) for r in rows]
    made[rows.index(row)][where] = str(draw(st.integers(10, 39)))
    return case(made, EITHER, rows, says=(f"Covariate {where!r} changes",))


@way
def hostile_names(draw: Draw, rows: Rows) -> Case:
    """Markup, formulas, paths and templates are names like any other."""
    made = draw(st.sampled_from([
        "<script>alert(1)</script>", "=cmd|' /C calc'!A0", "+1+1", "@SUM(A1)", "../../etc/passwd",
        "{{7*7}}", "${x}", "%s%n", "'; DROP TABLE x;--", "[red]x[/red]", "$\\frac{1}{",
        "{0.__class__}",
    ]))  # fmt: skip
    who = draw(st.sampled_from(sorted({r["ID"] for r in rows})))
    for r in rows:
        r["ID"] = made if r["ID"] == who else r["ID"]
    if made.startswith("@"):  # a remark, as in NONMEM; write_table puts an apostrophe before it
        left = [r for r in rows if r["ID"] != made]
        return case(rows, SAME, left, says=("comment line (starts with C, @ or #)",))
    return case(rows, SAME, rows)
