"""Run the example of docs/search.md and draw it: `python docs/make_search_figure.py`.

Takes some minutes; prints the steps that the page shows.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TARGET = HERE / "figures" / "search.png"


def main() -> None:
    """Run the first block of the page and write its picture."""
    page = (HERE / "search.md").read_text(encoding="utf-8")
    block = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)[0]
    names: dict[str, Any] = {}
    exec(block, names)
    sys.stdout.write(f"{names['found'].text()}\n{names['found'].best.describe()}\n")
    names["ax"].get_figure(root=True).savefig(TARGET, dpi=110)


if __name__ == "__main__":
    main()
