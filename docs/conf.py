"""How Sphinx builds the documentation; it needs no network."""

import inspect
from dataclasses import is_dataclass
from typing import Any

from sphinx.application import Sphinx

from bocadillo import __version__

project = "bocadillo"
author = "The bocadillo developers"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
smartquotes = False  # text in quotes is often code

# Markdown: every heading down to the third level can be linked to.
myst_heading_anchors = 3

# Docstrings: names in single backticks are code, and members come in the order of the source.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_numpy_docstring = False

# Every reference must lead somewhere, but for those to what has its documentation elsewhere.
nitpicky = True
nitpick_ignore_regex = [
    ("py:class", r"(collections|contextlib|json|logging|starlette|types|websockets)\..*"),
    ("py:class", r"AsyncContainer|BaseProvider"),  # dishka's
    ("py:class", r"(bocadillo\.\w+\.)?(ClassT|HandlerT|MethodT|P|R|RecvT|SendT)"),
    ("py:class", r"bocadillo\.(codecs\.Codec|serving\.Server)"),
]

html_theme = "furo"
html_title = f"bocadillo {release}"
html_show_copyright = False
html_show_sphinx = False


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-signature", without_types)
    app.connect("autodoc-process-docstring", as_restructured_text, priority=600)


def without_types(
    app: Sphinx,
    kind: str,
    name: str,
    obj: Any,
    options: Any,
    signature: str,
    returns: str,
) -> tuple[str, str] | None:
    """Leave the types of classes and functions to their docstrings: ASGI's fill half a page."""
    if kind not in ("class", "function") or signature == "()":
        return None
    bare = inspect.signature(obj)
    parameters = [
        p.replace(annotation=p.empty, default=short(p.default)) for p in bare.parameters.values()
    ]
    return str(bare.replace(parameters=parameters, return_annotation=bare.empty)), ""


def short(default: Any) -> Any:
    """Return what stands for a default: of a dataclass its name, and not its thirty fields."""
    return Shown(type(default).__name__) if is_dataclass(default) else default


class Shown(str):
    def __repr__(self) -> str:
        return f"{self}()"


def as_restructured_text(
    app: Sphinx,
    kind: str,
    name: str,
    obj: Any,
    options: Any,
    lines: list[str],
) -> None:
    """Mend what napoleon, which comes before, leaves or makes of a docstring."""
    if kind == "property":  # where napoleon takes what is before a colon for the type
        lines[:] = inspect.getdoc(obj).splitlines()
    for index in range(len(lines) - 1, 0, -1):
        if is_indented(lines[index]) and head_of(lines, index).endswith(("raises:", "instead:")):
            is_item = not is_indented(lines[index], 8)
            lines[index] = ("* " if is_item else "  ") + lines[index].strip()
            if is_item and not is_indented(lines[index - 1]):
                lines.insert(index, "")


def is_indented(line: str, spaces: int = 4) -> bool:
    return line.startswith(" " * spaces)


def head_of(lines: list[str], index: int) -> str:
    """Return the line, above an indented one, that it belongs to."""
    return next(line for line in reversed(lines[:index]) if line and not is_indented(line))
