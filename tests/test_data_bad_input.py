"""Broken tables: each gives its own problem, names the place, and nothing else escapes."""

from __future__ import annotations

import ast
import gzip
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cart_pkpd import data
from cart_pkpd._core.errors import DataError

HEAD = "ID,TIME,DV,DVID,LLOQ,ULOQ,AMT,EVID,MDV,CENS,LIMIT\n"
DOSE = "07,0,.,.,.,.,1e7,1,1,.,.\n"


def rows(*lines: str) -> str:
    """Return a table with a dose in line 2 and `lines` from line 3 on."""
    return HEAD + DOSE + "".join(f"{line}\n" for line in lines)


def infusion(headers: str, dose: str, observation: str = ".") -> str:
    """Return a table with `headers` after AMT: a dose in line 2, an observation in line 3."""
    return f"ID,TIME,DV,AMT,{headers}\n07,0,.,1e6,{dose}\n07,1,4,.,{observation}\n"


@dataclass(frozen=True)
class Case:
    """A broken table, the code it must give, and what its message must name."""

    code: str
    text: str | bytes
    names: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    suffix: str = ".csv"
    tag: str = ""


def case(code: str, text: str | bytes, *names: str, suffix: str = ".csv", tag: str = "", **options):
    return Case(code, text, names, options, suffix, tag)


SIMPLE = "ID,TIME,DV\n07,0,1\n07,1,2\n"
IL6 = "ID,TIME,DV,DVID,UNIT\n07,0,1,IL-6,pg/mL\n07,1,2,IL-6,pg/mL\n"

FILES = [
    case("empty_file", "", "broken.csv"),
    case("empty_file", "\n \n", "broken.csv", tag="blank lines"),
    case("empty_file", "# only a remark, nothing, else\n", "broken.csv", tag="remark"),
    case("no_rows", "ID,TIME,DV\n", "broken.csv", "no rows"),
    case("one_column", "ID\n1\n2\n", "'ID'", "sep="),
    case("one_column", "ID,\n1,\n", "'ID'", tag="blank second column"),
    case("duplicate_header", "ID,TIME,DV,TIME\n1,0,1,0\n", "'TIME'", "columns 2, 4"),
    case("duplicate_header", "ID,TIME,DV,time\n1,0,1,0\n", "'TIME'", tag="case"),
    case("html", "<!DOCTYPE html><html><body>Sign in</body></html>", "web page"),
    case("not_text", b"PK\x03\x04\x14\x00\x06\x00rest", "Excel"),
    case("not_text", b"%PDF-1.7 rest", "PDF", tag="pdf"),
    case("unsupported_format", b"anything", "CSV", suffix=".xlsx"),
    case("unsupported_format", b"anything", "SAS transport", suffix=".xpt", tag="xpt"),
    case("nul_bytes", b"ID,TIME,DV\n1,0,\x001\n", "line 2"),
    case("bad_gzip", gzip.compress(b"ID,TIME,DV\n" * 50)[:30], "gzip", suffix=".csv.gz"),
    case("bad_quotes", 'ID,TIME,DV\n1,0,"1\n2,0,3\n', "row 2"),
    case("extra_cells", "ID,TIME,DV\n1,0,1\n1,1,2,5\n", "row 3", "'5'"),
    case("missing_cells", "ID,TIME,DV\n1,0,1\n1,1\n", "row 3"),
]  # fmt: skip

HEADERS = [
    case("no_id_column", "IDD,TIME,DV\n1,0,1\n", "ID", "'IDD'"),
    case("no_time_column", "ID,TIEM,DV\n1,0,1\n", "TIME", "'TIEM'"),
    case("no_dv_column", "ID,TIME,DVV\n1,0,1\n", "DV", "'DVV'"),
    case("wide_table", "ID,TIME,IL6,CRP\n1,0,1,2\n", "IL6, CRP", "melt"),
    case("no_time_column", "ID,ADY,DV\n1,1,1\n", "'ADY'", "day_one=True", tag="study day"),
    case("ambiguous_column", "ID,DAY,HOUR,DV\n1,0,0,1\n", "'DAY'", "'HOUR'"),
    case("column_not_in_file", SIMPLE, "'Tiime'", "'TIME'", columns={"TIME": "Tiime"}),
    case("column_mapped_twice", SIMPLE, "'DV'", "AMT", columns={"DV": "DV", "AMT": "DV"}),
    case("unknown_role", SIMPLE, "'TIMEE'", "'TIME'", columns={"TIMEE": "TIME"}),
    case("unknown_role", "ID,When,DV\n1,0,1\n", "{'TIME': 'When'}", columns={"When": "TIME"},
         tag="reversed"),
    case("mixed_time_units", "ID,TIME,DV,TIMEUNIT\n1,0,1,h\n1,1,1,day\n", "day, h"),
    case("unknown_time_unit", "ID,TIME,DV,TIMEUNIT\n1,0,1,fortnight\n", "'fortnight'"),
    case("unknown_time_unit", "ID,TIME (mg),DV\n1,0,1\n", "'mg'", tag="header"),
]  # fmt: skip

ARGUMENTS = [
    case("bad_option", SIMPLE, "'median'", duplicates="median"),
    case("bad_option", SIMPLE, "sep", sep="ab", tag="sep"),
    case("bad_option", SIMPLE, "'WT'", covariates="WT", tag="covariates"),
    case("bad_option", SIMPLE, "sort must be True or False", "'yes'", sort="yes", tag="sort"),
    case("bad_option", SIMPLE, "day_one", "1", day_one=1, tag="day_one"),
    case("bad_option", SIMPLE, "align_to_dose", "None", align_to_dose=None, tag="align"),
    case("bad_limit_argument", SIMPLE, "lloq", "-5", lloq=-5),
    case("bad_limit_argument", SIMPLE, "'transgene'", "nan", uloq={"transgene": np.nan}, tag="nan"),
    case("unknown_unit_argument", SIMPLE, "'copies/spoon'", units={"transgene": "copies/spoon"}),
    case("not_a_time_unit", SIMPLE, "'mg'", time_unit="mg"),
    case("unknown_endpoint_argument", IL6, "'il8'", "'il6'", lloq={"il8": 2}),
    case("unknown_endpoint_argument", IL6, "'1'", "It has: il6", lloq={1: 2}, tag="number"),
    case("endpoint_not_in_table", IL6, "'IL-66'", "'IL-6'", endpoints={"IL-66": "il6"}),
    case("endpoints_not_a_mapping", IL6.replace("1,2,IL-6", "1,2,IL-8"), "IL-6, IL-8",
         endpoints="il6"),
    case("no_endpoint_column", SIMPLE, "DVID", endpoints={"a": "il6", "b": "il8"}),
    case("limit_for_which_endpoint", IL6 + "07,1,3,car_cells,cells/uL\n", "il6, car_cells", lloq=2),
    case("covariate_not_in_table", "ID,TIME,DV,WT\n1,0,1,70\n", "'AGE'", covariates=["AGE"]),
]  # fmt: skip

P = "patient '07'"
CELLS = [
    case("missing_id", "ID,TIME,DV\n07,0,1\n.,1,2\n", "row 3", "ID"),
    case("missing_time", "ID,TIME,DV\n07,0,1\n07,.,2\n", P, "row 3", "TIME"),
    case("text_in_dv", "ID,TIME,DV\n07,0,hemolysed\n", P, "row 2", "DV", "'hemolysed'"),
    case("text_in_dv", "ID,TIME,DV\n07,0,<-5\n", P, "row 2", "DV", "'<-5'", tag="negative limit"),
    case("text_in_number", "ID,TIME,DV\n07,soon,1\n", P, "row 2", "TIME", "'soon'"),
    case("date_in_time", "ID,TIME,DV\n07,2024-03-01,1\n", P, "row 2", "TIME", "'2024-03-01'"),
    case("date_in_time", "ID,TIME,DV\n07,01/03/2024,1\n", P, "'01/03/2024'", tag="slashes"),
    case("date_in_time", "ID,TIME,DV\n07,01MAR2024,1\n", P, "'01MAR2024'", tag="sas"),
    case("date_in_time", "ID,TIME,DV\n07,2024-03-01T08:30,1\n", P, "2024-03-01T08:30", tag="iso"),
    case("bad_infusion_date", "ID,TIME,DV,INFDT\n07,2024-03-08,1,2024-03-01\n"
         "07,2024-03-09,1,soon\n", P, "row 3", "'soon'"),
    case("two_infusion_dates", "ID,TIME,DV,INFDT\n07,2024-03-08,1,2024-03-01\n"
         "07,2024-03-09,1,2024-03-02\n", P, "row 3", "2024-03-02"),
    case("clock_in_time", "ID,TIME,DV\n07,8:30,1\n", P, "row 2", "TIME", "'8:30'"),
    case("thousands_separator", 'ID,TIME,DV\n07,0,"1,234.5"\n', P, "row 2", "DV", "'1,234.5'"),
    case("decimal_comma", 'ID,TIME,DV\n07,0,"1,5"\n', P, "row 2", "DV", "'1,5'", "decimal=','"),
    case("decimal_point", "ID;TIME;DV\n07;0;1.5\n", P, "row 2", "'1.5'", decimal=","),
    case("ambiguous_comma", "ID;TIME;DV\n07;0;1,234\n", "'1,234'", "decimal=','"),
    case("infinite", "ID,TIME,DV\n07,0,inf\n", P, "row 2", "DV", "'inf'"),
    case("infinite", "ID,TIME,DV\n07,0,1e400\n", P, "row 2", "DV", "'1e400'", tag="1e400"),
    case("spreadsheet_error", "ID,TIME,DV\n07,0,#DIV/0!\n", P, "row 2", "DV", "'#DIV/0!'"),
    case("negative_value", "ID,TIME,DV\n07,0,-99\n", P, "row 2", "DV", "-99", "missing=['-99']"),
    case("bad_evid", rows("07,1,5,il6,.,.,.,7,0,.,."), P, "row 3", "EVID", "7"),
    case("bad_mdv", rows("07,1,5,il6,.,.,.,0,2,.,."), P, "row 3", "MDV", "2"),
    case("bad_cens", rows("07,1,5,il6,.,.,.,0,0,2,."), P, "row 3", "CENS", "2"),
    case("bad_blq", "ID,TIME,DV,BLQ\n07,0,1,maybe\n", P, "row 2", "BLQ", "'maybe'"),
    case("bad_occasion", "ID,TIME,DV,OCC\n07,0,1,1.5\n", P, "row 2", "OCC", "1.5"),
    case("value_missing", rows("07,1,.,il6,.,.,.,0,0,.,."), P, "row 3", "DV", "MDV"),
]  # fmt: skip

CENSORING = [
    case("blq_without_lloq", "ID,TIME,DV\n07,0,BLQ\n", P, "row 2", "DV", "'BLQ'", "lloq="),
    case("blq_without_lloq", rows("07,1,0,il6,.,.,.,0,0,1,."), P, "row 3", tag="cens zero"),
    case("blq_without_lloq", "ID,TIME,DV,BLQ\n07,0,5,1\n", P, "row 2", "'5'", tag="flag"),
    case("above_without_uloq", "ID,TIME,DV\n07,0,>ULOQ\n", P, "row 2", "DV", "'>ULOQ'", "uloq="),
    case("negative_lloq", rows("07,1,5,il6,-2,.,.,0,0,.,."), P, "row 3", "LLOQ", "-2"),
    case("negative_uloq", rows("07,1,5,il6,.,-2,.,0,0,.,."), P, "row 3", "ULOQ", "-2"),
    case("negative_limit", rows("07,1,5,il6,.,.,.,0,0,1,-2"), P, "row 3", "LIMIT", "-2"),
    case("lloq_above_uloq", rows("07,1,5,il6,9,3,.,0,0,.,."), P, "row 3", "LLOQ 9", "ULOQ 3"),
    case("censored_above_lloq", rows("07,1,80,il6,50,.,.,0,0,1,."), P, "row 3", "80", "50"),
    case("censored_below_uloq", rows("07,1,80,il6,.,99,.,0,0,-1,."), P, "row 3", "80", "99"),
    case("cens_against_text", rows("07,1,<50,il6,.,.,.,0,0,-1,."), P, "row 3", "'<50'"),
    case("blq_contradiction", "ID,TIME,DV,BLQ\n07,0,<5,0\n", P, "row 2", "BLQ"),
    case("limit_on_wrong_side", rows("07,1,50,il6,.,.,.,0,0,1,60"), P, "row 3", "LIMIT", "60"),
]  # fmt: skip

DOSES = [
    case("dose_without_amount", rows("07,1,.,.,.,.,.,1,1,.,."), P, "row 3", "AMT"),
    case("dose_without_amount", rows("07,1,.,.,.,.,0,4,1,.,."), P, "row 3", tag="zero"),
    case("negative_amount", rows("07,1,.,.,.,.,-1e6,1,1,.,."), P, "row 3", "AMT", "-1e6"),
    case("amount_on_observation", rows("07,1,5,il6,.,.,1e6,0,0,.,."), P, "row 3", "AMT", "1e6"),
    case("amount_and_value", "ID,TIME,DV,AMT\n07,0,5,1e6\n07,1,4,.\n", P, "row 2", "1e6"),
    case("two_doses_at_once", rows("07,0,.,.,.,.,2e7,1,1,.,.", "07,1,5,il6,.,.,.,0,0,.,."),
         P, "row 3", "row 2"),
    case("clock_restarts", rows("07,28,5,il6,.,.,.,0,0,.,.", "07,0,.,.,.,.,2e7,4,1,.,.",
         "07,7,6,il6,.,.,.,0,0,.,."), P, "row 4", "after 28 in row 3", "first infusion"),
    case("clock_restarts", rows("07,28,5,il6,.,.,.,0,0,.,.", "07,0,.,.,.,.,2e7,4,1,.,.",
         "07,7,6,il6,.,.,.,0,0,.,."), P, "row 4", sort=True, tag="sort"),
    case("clock_restarts", rows("07,28,5,il6,.,.,.,0,0,.,.", "07,0,.,.,.,.,.,3,1,.,.",
         "07,0,.,.,.,.,2e7,1,1,.,.", "07,7,6,il6,.,.,.,0,0,.,."), P, "row 4", tag="reset"),
    case("comedication_as_dose", rows("07,2,.,tocilizumab,.,.,480,1,1,.,."), P, "row 3", "EVID"),
    case("steady_state", "ID,TIME,DV,AMT,SS\n07,0,.,1e6,1\n07,1,4,.,.\n", P, "row 2", "SS"),
    case("modelled_rate", infusion("RATE", "-2"), P, "row 2", "RATE", "-2", "DUR"),
    case("modelled_rate", infusion("RATE,DUR", "-1,0.2", ".,."), P, "row 2", "-1", tag="length"),
    case("text_in_number", infusion("RATE", "fast"), P, "row 2", "RATE", "'fast'", tag="rate"),
    case("text_in_number", infusion("TINF", "1 h"), P, "row 2", "TINF", "'1 h'", tag="length"),
    case("negative_duration", infusion("DUR", "-0.5"), P, "row 2", "DUR", "-0.5", "bolus"),
    case("duration_against_rate", infusion("DUR,RATE", "0.5,4e6", ".,."), P, "row 2", "DUR",
         "0.5 days", "0.25 days", "4e6"),
    case("duration_against_rate", infusion("DUR,RATE", "0.5,0", ".,."), P, "row 2", "0 days",
         tag="bolus by rate"),
    case("duration_against_rate", infusion("DUR,RATE", "0,4e6", ".,."), P, "row 2", "0 days",
         tag="bolus by length"),
    case("infusion_on_observation", infusion("DUR", "0.5", "0.5"), P, "row 3", "DUR", "0.5",
         "columns={'DURATION': None}"),
    case("infusion_on_observation", infusion("RATE", "4e6", "-2"), P, "row 3", "RATE", "-2",
         "columns={'RATE': None}", tag="rate"),
    case("infusion_without_amount", "ID,TIME,DV,AMT,RATE\n07,0,.,.,4e6\n07,1,4,.,.\n", P, "row 2",
         "RATE", "4e6", "AMT"),
    case("infusion_without_amount", "ID,TIME,DV,AMT,RATE\n07,0,.,0,4e6\n07,1,4,.,.\n", P, "row 2",
         tag="zero"),
    case("dose_without_amount", "ID,TIME,DV,AMT,EVID,RATE\n07,0,.,0,1,4e6\n07,1,4,.,0,.\n", P,
         "row 2", "AMT", tag="rate"),
    case("duration_unit", infusion("DUR (mL)", "0.5"), "'DUR (mL)'", "'mL'"),
    case("rate_unit", infusion("RATE (mL/h)", "50"), "'RATE (mL/h)'", "'mL/h'", "'cells'", "DUR"),
    case("rate_unit", "ID,TIME,DV,AMT,AMTUNIT,RATE (cells/h)\n07,0,.,1e6,cells,4e6\n07,1,4,.,.,.\n"
         "08,0,.,1,10^6 cells,4e6\n", "'10^6 cells, cells'", tag="two units"),
    case("bad_addl", "ID,TIME,DV,AMT,ADDL,II\n07,0,.,1e6,1.5,7\n07,1,4,.,.,.\n", P, "row 2", "1.5"),
    case("addl_without_interval", "ID,TIME,DV,AMT,ADDL,II\n07,0,.,1e6,2,.\n07,1,4,.,.,.\n",
         P, "row 2", "II"),
    case("dose_unit", "ID,TIME,DV,AMT,AMTUNIT\n07,0,.,1e6,mg\n07,1,4,.,.\n", "'mg'", "'cells'",
         dose_unit="cells"),
    case("dose_unit", "ID,TIME,DV,AMT,AMTUNIT\n06,0,.,1e7,cells\n06,1,4,.,.\n"
         "07,0,.,1e6,cells/kg\n07,1,4,.,.\n", P, "row 4", "AMTUNIT", "'cells/kg'", "'cells'",
         "body weight", tag="per kg"),
    case("dose_unit", "ID,TIME,DV,AMT,AMTUNIT\n07,0,.,1e6,spoons\n07,1,4,.,.\n", "'spoons'",
         tag="unknown"),
    case("dose_unit", "ID,TIME,DV,AMT,AMTUNIT\n06,0,.,1e7,cells\n06,1,4,.,.\n"
         "07,0,.,1,spoons\n07,1,4,.,.\n", P, "row 4", "'spoons'", tag="unknown second"),
    case("no_observations", HEAD + DOSE, "broken.csv"),
    case("no_observations", "ID,TIME,DV\n07,0,.\n", "broken.csv", tag="all missing"),
]  # fmt: skip

TRIAL = [
    case("time_decreases", "ID,TIME,DV\n07,5,1\n07,3,2\n", P, "row 3", "TIME", "3", "5", "sort="),
    case("time_decreases", "ID,TIME,DV,AMT\n07,5,.,1\n07,3,.,1\n07,6,1,.\n", P, "row 3",
         tag="dose"),
    case("duplicate_time", "ID,TIME,DV\n07,3,1\n07,3,2\n", P, "row 3", "row 2", "duplicates="),
    case("mean_of_censored", "ID,TIME,DV\n07,3,<5\n07,3,7\n", P, "row 2", "'first'",
         duplicates="mean"),
    case("missing_endpoint", "ID,TIME,DV,DVID\n07,0,1,il6\n07,1,2,.\n", P, "row 3", "DVID"),
    case("endpoint_number", "ID,TIME,DV,DVID\n07,0,1,1\n07,1,2,2\n", P, "row 2", "{1: "),
    case("endpoint_number", "ID,TIME,DV,DVID\n07,0,1,1\n07,1,2,2\n", "endpoints={1: ",
         "lloq={'transgene'", lloq={"1": 50}, units={"2": "pg/mL"}, tag="limit by number"),
    case("endpoint_without_letters", "ID,TIME,DV,DVID\n07,0,1,---\n", P, "row 2", "'---'"),
    case("endpoints_merged", "ID,TIME,DV,DVID\n07,0,1,qpcr\n07,1,1,ddpcr\n", "'qpcr'", "'ddpcr'"),
    case("unknown_unit", IL6.replace("1,2,IL-6,pg/mL", "1,2,IL-6,spoons"), P, "row 3", "'spoons'"),
    case("unit_of_another_kind", IL6.replace("1,2,IL-6,pg/mL", "1,2,IL-6,cells/uL"), P, "row 3",
         "'cells/µL'"),
    case("unit_of_another_kind", IL6, "'copies/µg'", units={"il6": "copies/ug"}, tag="argument"),
    case("covariate_changes", "ID,TIME,DV,ARM\n07,0,1,x\n07,1,2,y\n", P, "'ARM'", "x in row 2",
         "y in row 3"),
    case("covariate_conflict", "ID,TIME,DV,DVID,WT\n07,0,1,car,70\n07,1,2,car,71\n07,1,3,il6,72\n",
         P, "'WT'", "71 in row 3, 72 in row 4", tag="two values at one time"),
    case("bad_covariate", "ID,TIME,DV,WT\n07,0,1,70\n08,0,2,inf\n", "patient '08'", "row 3", "WT",
         "'inf'"),
    case("covariate_conflict", "ID,TIME,DV,Tumour load,tumour_load\n07,0,1,5,6\n", P,
         "'Tumour load'", "5.0 and 6.0"),
    case("no_subject_id_column", SIMPLE, "WT, AGE",
         subjects=pd.DataFrame({"WT": [70], "AGE": [50]})),
    case("no_subject_matches", SIMPLE, "'07'", "'7'",
         subjects=pd.DataFrame({"ID": [7], "AGE": [50]})),
    case("subject_without_id", SIMPLE, "row 3",
         subjects=pd.DataFrame({"ID": ["07", None], "AGE": [50, 51]})),
]  # fmt: skip

CONVERTED = [
    case("bad_encoding", SIMPLE.encode("utf-16") + b"\x00", "line 4", "UTF-16"),
    case("converted_id", "ID,TIME,DV\n1-5,0,1\n4-Jan,0,1\n", "'4-Jan'", "row 3", "ID"),
    case("converted_id", "ID,TIME,DV\nJan-04,0,1\n", "'Jan-04'", "row 2", tag="month first"),
    case("converted_id", "ID,TIME,DV\n1.23E+11,0,1\n", "'1.23E+11'", "row 2", tag="long number"),
    case("converted_endpoint", "ID,TIME,DV,DVID\n07,0,1,1-Mar\n", P, "row 2", "'1-Mar'",
         "endpoints="),
    case("summary_row", SIMPLE + "Mean,0,1.5\n", "'Mean'", "row 4"),
    case("one_number_two_names", SIMPLE + "7.0,2,3\n", "'07' and '7.0'"),
    case("missing_code", "ID,TIME,DV,AGE\n07,0,1,-99\n08,0,1,60\n", P, "row 2", "'AGE'",
         "missing=['-99']"),
    case("grade", "ID,TIME,DV,CRS grade\n07,0,1,7\n", P, "'CRS grade'", "7", "0 to 5"),
    case("yes_or_no", "ID,TIME,DV,DLT\n07,0,1,maybe\n", P, "'DLT'", "'maybe'", "yes or no"),
    case("time_too_long", "ID,TIME,DV\n07,0,1\n07,1e308,2\n", P, "row 3", "1e308", "time_unit="),
    case("time_too_long", "ID,TIME,DV,AMT,ADDL,II\n07,0,.,1e6,3,1e308\n07,1,4,.,.,.\n", P, "row 2",
         "1e308", "II", tag="repeats"),
    case("date_as_number", "ID,TIME,DV\n07,45352,1\n07,45353.5,2\n", P, "row 2", "45352"),
    case("infinite", "ID,TIME,DV,UNIT\n07,0,1,copies/ug\n07,1,1e308,copies/ng\n", P, "row 3",
         "1e308", tag="converted"),
    case("infinite", "ID,TIME,DV,AMT,AMTUNIT\n07,0,.,1e308,10^6 cells\n07,1,2,.,.\n", P, "row 2",
         "1e308", dose_unit="cells", tag="converted dose"),
]  # fmt: skip

CASES = [*FILES, *HEADERS, *ARGUMENTS, *CELLS, *CENSORING, *DOSES, *TRIAL, *CONVERTED]


def broken(path: Path, item: Case) -> DataError:
    """Return the error that reading the case raises; any other exception fails the test."""
    source = path / f"broken{item.suffix}"
    text = item.text
    source.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError) as caught:
        data.read_table(source, echo=False, **item.options)
    return caught.value


@pytest.mark.parametrize("item", CASES, ids=[f"{c.code}-{c.tag}".rstrip("-") for c in CASES])
def test_broken_table_says_what_is_wrong_and_where(item, tmp_path):
    start = time.process_time()
    error = broken(tmp_path, item)
    assert time.process_time() - start < 2.0
    found = [p for p in error.problems if p.code == item.code]
    assert found, [p.code for p in error.problems]
    assert len({p.code for p in error.problems}) == 1, "one fault, one kind of problem"
    for name in item.names:
        assert name in found[0].message
    assert str(error).startswith(error.problems[0].message)
    assert "\n" not in found[0].message
    assert found[0].message.endswith((".", ")"))


def test_the_corpus_is_large_and_covers_every_kind_once():
    codes = {c.code for c in CASES}
    assert len(CASES) >= 60
    assert len(codes) >= 60
    assert len({(c.code, c.tag) for c in CASES}) == len(CASES)


def test_every_kind_has_a_sentence_of_its_own(tmp_path):
    first: dict[str, str] = {}
    for item in CASES:
        if not item.tag:
            message = broken(tmp_path, item).problems[0].message
            first[item.code] = message
    assert len(set(first.values())) == len(first)


def test_every_code_of_the_source_has_a_case():
    """Every code written out in the package is in the corpus, or has a test of its own."""
    place = {"problem": 0, "fatal": 0, "Problem": 0, "flag": 1}
    codes = set()
    for file in (Path(data.__file__).parent / "_data").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                at = place.get(name, len(node.args))
                literal = node.args[at] if at < len(node.args) else None
                if isinstance(literal, ast.Constant):
                    codes.add(literal.value)
    elsewhere = {
        "bad_source",
        "file_not_found",
        "file_unreadable",
        "file_not_written",
        "header_levels",
        "ambiguous_decimal",
    }
    assert len(codes) > 60
    assert codes - {c.code for c in CASES} == elsewhere


def test_all_problems_are_reported_at_once_in_the_order_of_the_file(tmp_path):
    text = "ID,TIME,DV\n1,0,abc\n1,soon,2\n2,0,-4\n2,1,inf\n"
    error = broken(tmp_path, Case("", text))
    assert [(p.row, p.code) for p in error.problems] == [
        (2, "text_in_dv"),
        (3, "text_in_number"),
        (4, "negative_value"),
        (5, "infinite"),
    ]
    assert str(error).endswith("(and 1 more)")
    assert str(error).count("\n") == 3


def test_problems_carry_patient_row_column_and_value(tmp_path):
    error = broken(tmp_path, Case("", "Patient;Day;DV\nA-1;0;1\nA-1;1;x y\n"))
    (problem,) = error.problems
    assert (problem.patient, problem.row, problem.column, problem.value) == ("A-1", 3, "DV", "x y")


def test_rows_are_counted_from_the_header_through_remarks_blank_lines_and_long_cells(tmp_path):
    text = '# made for a test\nID,TIME,DV,SITE\n\n1,0,1,"two\nlines"\n1,1,oops,"two\nlines"\n'
    error = broken(tmp_path, Case("", text))
    assert [(p.row, p.code) for p in error.problems] == [(6, "text_in_dv")]


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(DataError, match=r"there is no file .*nowhere\.csv"):
        data.read_table(tmp_path / "nowhere.csv")
    with pytest.raises(DataError, match="cannot be read"):
        data.read_table(tmp_path)


@pytest.mark.parametrize(
    ("source", "kind"),
    [(None, "NoneType"), (5, "int"), ([1], "list"), (b"study.csv", "bytes"), ({"ID": [1]}, "dict")],
)
def test_what_is_neither_a_path_nor_a_frame_is_named_with_what_is_accepted(source, kind):
    with pytest.raises(DataError) as caught:
        data.read_table(source, echo=False)
    (problem,) = caught.value.problems
    assert problem.code == "bad_source"
    for word in (repr(source), kind, "CSV", "DataFrame"):
        assert word in problem.message


def test_a_subjects_argument_that_is_no_table_and_a_name_no_file_can_have(tmp_path):
    frame = pd.DataFrame({"ID": [1], "TIME": [0.0], "DV": [1.0]})
    with pytest.raises(DataError, match="can not be read from 5"):
        data.read_table(frame, subjects=5, echo=False)
    with pytest.raises(DataError, match="cannot be read"):
        data.read_table("study\0.csv", echo=False)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (pd.DataFrame(), "empty_file"),
        (pd.DataFrame({"ID": [1], "TIME": [0.0], "DV": [np.inf]}), "infinite"),
        (pd.DataFrame({"ID": [None], "TIME": [0.0], "DV": [1.0]}), "missing_id"),
        (
            pd.DataFrame({"ID": [1], "TIME": pd.to_datetime(["2024-01-01"]), "DV": [1.0]}),
            "date_in_time",
        ),
        (
            pd.DataFrame([[1, 0, 1]], columns=pd.MultiIndex.from_tuples([(a, a) for a in "abc"])),
            "header_levels",
        ),
        (pd.DataFrame([[1, 0, 1, 2]], columns=["ID", "TIME", "DV", "DV"]), "duplicate_header"),
    ],
)
def test_broken_frames(frame, code):
    with pytest.raises(DataError) as caught:
        data.read_table(frame, echo=False)
    assert caught.value.problems[0].code == code


def test_a_large_broken_table_is_reported_in_two_seconds(tmp_path):
    n = 10_000
    text = "ID,TIME,DV\n" + "".join(f"{i // 10},x{i},bad\n" for i in range(n))
    start = time.process_time()
    error = broken(tmp_path, Case("", text))
    assert time.process_time() - start < 2.0
    assert len(error.problems) == 2 * n


GOOD = [
    line.split(",")
    for line in (
        "ID,TIME,DV,DVID,UNIT,CENS,LIMIT,LLOQ,ULOQ,AMT,AMTUNIT,EVID,MDV,OCC,NTIME,ADDL,II,WT",
        "01,0,.,.,.,.,.,.,.,1e7,cells,1,1,1,0,0,0,70",
        "01,7,1200,transgene,copies/ug,0,.,50,.,.,.,0,0,1,7,.,.,70",
        "01,14,50,transgene,copies/ug,1,10,50,.,.,.,0,0,1,14,.,.,70",
        "01,7,33,IL-6,pg/mL,-1,.,2,20,.,.,0,0,1,7,.,.,70",
        "01,9,1,tocilizumab,.,.,.,.,.,.,.,2,1,1,.,.,.,70",
        "02,0,.,.,.,.,.,.,.,3e7,cells,4,1,1,0,2,7,.",
        "02,7,BLQ,transgene,copies/ug,.,.,50,.,.,.,0,0,1,7,.,.,.",
    )
]
ODD = [
    "", ".", "-", "C", "@", "#", "0", "-0", "1", "2", "-1", "9", "1e400", "-1e-400", "inf", "nan",
    "BLQ", "<", ">", "<<5", "<-5", "< 5", "<abc", ">0", "1,5", "1;5", "1.234,5", '"', '""', "{x}",
    "{value}", "%s", "µ", "١٢", "²", "1_000", "0x10", "1e5e5", "2024-01-01", "8:30", "TIME", "ID",
    "il6", "il-6", "spoon", "cells", "pg//", "mm", "\x85", "\u2028", "\r", " ", "a" * 500,
    "9" * 400, "1e308", "TRUE", "NA", "'", "\\", "+", "+5", "5.", ".5", "5e", "1 2", "1\u00a0234",
]  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(GOOD) - 1),
            st.integers(0, len(GOOD[0]) - 1),
            st.sampled_from(ODD) | st.text(max_size=6),
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["error", "first", "last", "mean"]),
)
def test_no_cell_brings_anything_but_a_data_error(tmp_path_factory, changes, sep, how):
    cells = [list(row) for row in GOOD]
    for i, j, text in changes:
        cells[i][j] = text
    path = tmp_path_factory.getbasetemp() / "odd.csv"
    text = "\n".join(sep.join(row) for row in cells)
    path.write_bytes(text.encode("utf-8", errors="surrogatepass"))
    frame = pd.DataFrame(cells[1:], columns=cells[0])
    for source in (path, frame):
        try:
            trial = data.read_table(source, duplicates=how, sort=True, echo=False)
        except DataError:
            continue
        assert np.all(np.isfinite(trial["dv"]))
        assert np.all(np.isfinite(trial["time"]))
        assert np.all(trial["amount"] > 0)
