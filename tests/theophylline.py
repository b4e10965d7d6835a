"""The theophylline data: 12 people, one oral dose each (R datasets: Theoph, public domain).

Boeckmann AJ, Sheiner LB, Beal SL (1994), NONMEM Users Guide: Part V. By person: dose [mg/kg], times
[h] and serum concentrations [mg/L].
"""

import io

from cart_pkpd import data, models

DOSES = (4.02, 4.4, 4.53, 4.4, 5.86, 4.0, 4.95, 4.53, 3.1, 5.5, 4.92, 5.3)
TIMES = (
    (0, 0.25, 0.57, 1.12, 2.02, 3.82, 5.1, 7.03, 9.05, 12.12, 24.37),
    (0, 0.27, 0.52, 1, 1.92, 3.5, 5.02, 7.03, 9, 12, 24.3),
    (0, 0.27, 0.58, 1.02, 2.02, 3.62, 5.08, 7.07, 9, 12.15, 24.17),
    (0, 0.35, 0.6, 1.07, 2.13, 3.5, 5.02, 7.02, 9.02, 11.98, 24.65),
    (0, 0.3, 0.52, 1, 2.02, 3.5, 5.02, 7.02, 9.1, 12, 24.35),
    (0, 0.27, 0.58, 1.15, 2.03, 3.57, 5, 7, 9.22, 12.1, 23.85),
    (0, 0.25, 0.5, 1.02, 2.02, 3.48, 5, 6.98, 9, 12.05, 24.22),
    (0, 0.25, 0.52, 0.98, 2.02, 3.53, 5.05, 7.15, 9.07, 12.1, 24.12),
    (0, 0.3, 0.63, 1.05, 2.02, 3.53, 5.02, 7.17, 8.8, 11.6, 24.43),
    (0, 0.37, 0.77, 1.02, 2.05, 3.55, 5.05, 7.08, 9.38, 12.1, 23.7),
    (0, 0.25, 0.5, 0.98, 1.98, 3.6, 5.02, 7.03, 9.03, 12.12, 24.08),
    (0, 0.25, 0.5, 1, 2, 3.52, 5.07, 7.07, 9.03, 12.05, 24.15),
)
LEVELS = (
    (0.74, 2.84, 6.57, 10.5, 9.66, 8.58, 8.36, 7.47, 6.89, 5.94, 3.28),
    (0, 1.72, 7.91, 8.31, 8.33, 6.85, 6.08, 5.4, 4.55, 3.01, 0.9),
    (0, 4.4, 6.9, 8.2, 7.8, 7.5, 6.2, 5.3, 4.9, 3.7, 1.05),
    (0, 1.89, 4.6, 8.6, 8.38, 7.54, 6.88, 5.78, 5.33, 4.19, 1.15),
    (0, 2.02, 5.63, 11.4, 9.33, 8.74, 7.56, 7.09, 5.9, 4.37, 1.57),
    (0, 1.29, 3.08, 6.44, 6.32, 5.53, 4.94, 4.02, 3.46, 2.78, 0.92),
    (0.15, 0.85, 2.35, 5.02, 6.58, 7.09, 6.66, 5.25, 4.39, 3.53, 1.15),
    (0, 3.05, 3.05, 7.31, 7.56, 6.59, 5.88, 4.73, 4.57, 3, 1.25),
    (0, 7.37, 9.03, 7.14, 6.33, 5.66, 5.67, 4.24, 4.11, 3.16, 1.12),
    (0.24, 2.89, 5.22, 6.41, 7.83, 10.21, 9.18, 8.02, 7.14, 5.68, 2.42),
    (0, 4.86, 7.24, 8, 6.81, 5.87, 5.22, 4.45, 3.62, 2.69, 0.86),
    (0, 1.25, 3.96, 7.82, 9.72, 9.75, 8.57, 6.59, 6.11, 4.57, 1.17),
)


class Oral(models.OdeModel):
    """First-order absorption and elimination, as SSfol of R: ke, ka and clearance per kg."""

    gut = models.State("mg/kg", "drug to absorb")
    body = models.State("mg/kg", "drug absorbed")
    ke = models.Positive(2.0, "1/day", "elimination rate", iiv=0.2)
    ka = models.Positive(40.0, "1/day", "absorption rate", iiv=0.5)
    cl = models.Positive(1.0, "L/kg/day", "clearance", iiv=0.2)
    dosed = "gut"
    dose_unit = "mg/kg"

    def initial(self, p):
        return {"gut": 0.0, "body": 0.0}

    def rhs(self, t, y, p):
        return {"gut": -p.ka * y.gut, "body": p.ka * y.gut - p.ke * y.body}

    def observe(self, t, y, p):
        return {"theophylline": y.body * p.ke / p.cl}


def trial(folder):
    """Return the data as a trial: days in place of hours."""
    rows = io.StringIO()
    rows.write("ID,TIME,DV,AMT,EVID,DVID\n")
    for i, (dose, times, levels) in enumerate(zip(DOSES, TIMES, LEVELS, strict=True), 1):
        rows.write(f"{i},0,.,{dose},1,theophylline\n")
        rows.writelines(
            f"{i},{t / 24:.10f},{c},.,0,theophylline\n" for t, c in zip(times, levels, strict=True)
        )
    path = folder / "theophylline.csv"
    path.write_text(rows.getvalue(), encoding="utf-8")
    return data.read_table(path, units={"theophylline": "mg/L"}, dose_unit="mg/kg", echo=False)
