"""Lesion records for tests, and RECIST 1.1 written a second time, literally, without the package.

The transcription works with whole millimetres and integers only, and looks the overall response
up in the tables of Eisenhauer et al. (2009), Eur J Cancer 45:228.
"""

import pandas as pd

MEASURE = {"T": 100, "N": 20}  # baseline diameters of a target, and of a nodal target [mm]


def lesions(baseline, *scans, patient="1", days=None):
    """Return records: each scan maps a lesion to a diameter, None or a status.

    Names starting with T are targets, N nodal targets, X non-targets, W new lesions.
    """
    days = days or [-7, *[28 + 30 * i for i in range(len(scans))]]
    rows = []
    for k, (day, scan) in enumerate(zip(days, (baseline, *scans), strict=True)):
        for name, value in scan.items():
            number = isinstance(value, (int, float))
            rows.append(
                {
                    "ID": patient,
                    "VISIT": "baseline" if k == 0 else f"V{k}",
                    "DAY": day,
                    "LESION": name,
                    "KIND": {"T": "target", "N": "target", "X": "non-target", "W": "new"}[name[0]],
                    "NODE": int(name[0] == "N"),
                    "DIAMETER": value if number else None,
                    "STATUS": "measured" if number and value else "absent" if number else
                    value or "not evaluated",
                }
            )  # fmt: skip
    columns = ["ID", "VISIT", "DAY", "LESION", "KIND", "NODE", "DIAMETER", "STATUS"]
    return pd.DataFrame(rows, columns=columns)


# target, non-target, new lesion → overall; None stands for any. Table 1: patients with targets.
TABLE_1 = [
    ("CR", "CR", False, "CR"),
    ("CR", "", False, "CR"),
    ("CR", "NON-CR/NON-PD", False, "PR"),
    ("CR", "NE", False, "PR"),
    ("PR", "CR", False, "PR"),
    ("PR", "", False, "PR"),
    ("PR", "NON-CR/NON-PD", False, "PR"),
    ("PR", "NE", False, "PR"),
    ("SD", "CR", False, "SD"),
    ("SD", "", False, "SD"),
    ("SD", "NON-CR/NON-PD", False, "SD"),
    ("SD", "NE", False, "SD"),
    ("NE", "CR", False, "NE"),
    ("NE", "", False, "NE"),
    ("NE", "NON-CR/NON-PD", False, "NE"),
    ("NE", "NE", False, "NE"),
    ("PD", None, None, "PD"),
    (None, "PD", None, "PD"),
    (None, None, True, "PD"),
]
# Table 2: patients with non-target disease only.
TABLE_2 = [
    ("", "CR", False, "CR"),
    ("", "NON-CR/NON-PD", False, "NON-CR/NON-PD"),
    ("", "NE", False, "NE"),
    ("", "PD", None, "PD"),
    ("", None, True, "PD"),
]


def look_up(target, other, new):
    for t, n, w, overall in TABLE_2 if target == "" else TABLE_1:
        if (t is None or t == target) and n in (None, other) and (w is None or w == new):
            return overall
    raise AssertionError((target, other, new))


def literal(baseline, scans):
    """Return (target, non-target, new, overall) of every scan, by the paper's text."""
    targets = {k: v for k, v in baseline.items() if k[0] in "TN"}
    others = [k for k in baseline if k[0] == "X"]
    start = sum(targets.values())
    complete_sums, had_cr, out = [start], False, []
    for i, scan in enumerate(scans):
        target = _target(targets, start, min(complete_sums), scan, had_cr)
        other = _other(others, scan, scans[i + 1 :], had_cr)
        new = any(_is_new(k, v, scans[i + 1 :]) for k, v in scan.items() if k[0] == "W")
        overall = look_up(target, other, new)
        out.append((target, other, new, overall))
        had_cr = had_cr or overall == "CR"
        sizes = [scan.get(k) for k in targets]
        if None not in sizes:
            complete_sums.append(sum(sizes))
    return out


def _target(targets, start, nadir, scan, had_cr):
    if not targets:
        return ""
    sizes = {k: scan.get(k) for k in targets}
    seen = {k: v for k, v in sizes.items() if v is not None}
    if had_cr and any(v > 0 for k, v in seen.items() if k[0] == "T"):
        return "PD"
    all_seen = len(seen) == len(sizes)
    if all_seen and all(v < 10 if k[0] == "N" else v == 0 for k, v in seen.items()):
        return "CR"
    total = sum(seen.values())
    if seen and 5 * total >= 6 * nadir and total - nadir >= 5:
        return "PD"
    if not all_seen:
        return "NE"
    return "PR" if 10 * total <= 7 * start else "SD"


def _other(others, scan, later, had_cr):
    if not others:
        return ""
    states = [scan.get(k) for k in others]
    if "unequivocal progression" in states:
        return "PD"
    for name, state in zip(others, states, strict=True):
        if state == "equivocal" and later and later[0].get(name) == "unequivocal progression":
            return "PD"
    there = [s for s in states if s in ("present", "equivocal")]
    if had_cr and there:
        return "PD"
    if None in states:
        return "NE"
    return "NON-CR/NON-PD" if there else "CR"


def _is_new(name, state, later):
    if state == "unequivocal":
        return True
    if state != "equivocal":
        return False
    for scan in later:  # confirmed before it has gone
        if scan.get(name) == "unequivocal":
            return True
        if scan.get(name) == "absent":
            return False
    return False
