"""Settings of the documentation, which `make docs` builds with Sphinx from the pages beside it."""

from __future__ import annotations

import re
from typing import Any

from docutils.nodes import SkipNode
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util.inspect import signature, stringify_signature
from torch.nn import Module

import irem_core

project = "irem"
author = "The IREM authors"
copyright = "the IREM authors"
release = version = irem_core.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "irem"
html_static_path = ["static"]
html_css_files = ["equations.css"]
html_math_renderer = "mathml"

# Equations between dollars; headings can be linked to down to the third level.
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

# Docstrings put code between single backticks; names of the library among it become links.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_typehints_format = "short"
# Longer signatures have a line for each argument.
python_maximum_signature_line_length = 80
add_module_names = False


def inline_equation(translator: Any, node: Any) -> None:
    """Write MathML, which browsers show without a script from elsewhere, as MathJax would be."""
    translator.body.append(tex2mathml(node.astext()))
    raise SkipNode


def block_equation(translator: Any, node: Any) -> None:
    """Write MathML with the equation's number, the paper's, which its source gives as a tag."""
    equation, *numbers = re.split(r"\\tag\{(.*?)\}", node.astext())
    number = f"<span>({numbers[0]})</span>" if numbers else ""
    written = tex2mathml(equation, as_block=True)
    translator.body.append(f'<div class="equation">{written}{number}</div>')
    raise SkipNode


def constructor(app: Sphinx, what: str, name: str, part: Any, *_: Any) -> tuple[str, None] | None:
    """Show what a part's constructor takes; `Recorded.__new__`, which takes anything, hides it."""
    if what != "class" or not issubclass(part, irem_core.Recorded):
        return None
    if part.__init__ in (object.__init__, Module.__init__):
        return "", None
    taken = signature(part.__init__, bound_method=True)
    short = {"show_return_annotation": False, "unqualified_typehints": True}
    return stringify_signature(taken, **short), None


def setup(app: Sphinx) -> None:
    """Register what writes equations and signatures."""
    app.connect("autodoc-process-signature", constructor)
    app.add_html_math_renderer("mathml", (inline_equation, None), (block_equation, None))
