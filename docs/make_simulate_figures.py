"""Make the picture and the table of docs/simulate.md."""

from __future__ import annotations

import json
import re
from pathlib import Path

from cart_pkpd.plots import _axes

DOCS = Path(__file__).parent
PAGE = DOCS / "simulate.md"
RESULT = DOCS.parent / "benchmarks" / "results" / "virtual_patients.json"


def first_block() -> dict:
    """Return what the first block of the page leaves behind."""
    names: dict = {}
    exec(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[0], names)
    return names


def speed() -> str:
    """Return the table of the benchmark in Markdown."""
    found = json.loads(RESULT.read_text())
    rows = ["| what | workers | patients | wall, s | processor, s | µs per patient | peak memory |",
            "| --- | --- | ---: | ---: | ---: | ---: | ---: |"]  # fmt: skip
    own = [x for x in found["lines"] if x["who"] == "cart_pkpd"]
    for x in own:
        memory = (
            x["peak_mib"]
            if x["executor"] == "threads"
            else max(x["peak_mib"], x["worker_peak_mib"])
        )
        rows.append(
            f"| {x['what']} | {x['workers']} {x['executor']} | {x['patients']:,} | "
            f"{x['seconds']:.1f} | {x['cpu_seconds']:.1f} | "
            f"{1e6 * x['cpu_seconds'] / x['patients']:.1f} | {memory:.0f} MiB |"
        )
    rows += ["", "| one core, levels only | version | µs per patient (processor) | apart |",
             "| --- | --- | ---: | ---: |"]  # fmt: skip
    levels = [x for x in own if x["what"] == "levels"][-1]
    each = 1e6 * levels["cpu_seconds"] / levels["patients"]
    rows.append(
        f"| **cart_pkpd**, with drawing the patients | {levels['version']} | {each:.1f} | |"
    )
    for x in sorted(
        (x for x in found["lines"] if x["who"] != "cart_pkpd"), key=lambda x: x["us_cpu"]
    ):
        rows.append(
            f"| {x['who']} {x['method']} | {x['version']} | {x['us_cpu']:.1f} | {x['apart']:.0e} |"
        )
    machine = found["machine"]
    said = f"{machine['processor']}, {machine['cores']} cores, Python {machine['python']}."
    return "\n".join([said, "", *rows])


def main() -> None:
    """Write the picture and the table."""
    names = first_block()
    figure = names["plots"].simulated(names["found"], time_scale="log")
    (DOCS / "figures" / "simulated.png").write_bytes(_axes.png(figure))
    text = PAGE.read_text()
    begin, end = "<!-- speed: begin -->\n", "<!-- speed: end -->"
    first, rest = text.split(begin)
    PAGE.write_text(first + begin + speed() + "\n" + end + rest.split(end)[1])


if __name__ == "__main__":
    main()
