"""The documentation site: what Sphinx reads (``make docs``)."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent / "_site"), str(Path(__file__).parent.parent)]

import cart_pkpd  # noqa: E402 - from this checkout

project = "cart_pkpd"
author = "The cart_pkpd developers"
copyright = f"2025–2026, {author}"
release = version = cart_pkpd.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "myst_parser",
    "sphinx_design",
    "sphinx_copybutton",
    "mathml",  # ours, in _site/: equations as MathML, which needs no script and no network
    "pages",  # ours: pages made of the package, and Markdown as GitHub writes it
]
exclude_patterns = ["_site"]
source_suffix = {".md": "markdown"}
root_doc = "index"

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 4
myst_dmath_double_inline = True

autosummary_generate = False
autodoc_typehints = "none"  # the docstrings say types, with shapes and units
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_preprocess_types = False
maximum_signature_line_length = 90

html_theme = "furo"
html_title = f"cart_pkpd {release}"
html_static_path = ["_site/static"]
html_css_files = ["cart_pkpd.css"]
suppress_warnings = ["ref.python"]  # attributes of one name in several classes, not linked
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#0b5a9d",
        "color-brand-content": "#0b5a9d",
    },
    "footer_icons": [],
}
pygments_style = "friendly"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True
