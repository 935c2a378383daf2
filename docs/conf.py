"""How Sphinx makes the documentation site of the pages in this folder: ``make docs``."""

from __future__ import annotations

import importlib.metadata
import inspect
import pathlib
import re
import sys
from typing import TYPE_CHECKING, Any

from scconnect_wsgi.documentation import SITE

if TYPE_CHECKING:
    from sphinx.application import Sphinx

sys.path.append(str(pathlib.Path(__file__).parent))  # for example_pages

html_baseurl = SITE  # llms.txt begins its links with it

project = "scconnect-wsgi"
author = "The scconnect-wsgi authors"
project_copyright = author
version = release = importlib.metadata.version(project)

extensions = [
    "myst_parser",  # the pages are Markdown, which also reads well without this site
    "sphinx.ext.autodoc",  # api.md is made of the docstrings
    "sphinx_copybutton",
    "sphinx_llms_txt",  # llms.txt and llms-full.txt
    "example_pages",  # of this folder: the files of examples/ as pages
]

highlight_language = "text"  # a block that names no language is for a terminal

# Every heading has the same anchor as in a repository's own view of the page.
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
toc_object_entries_show_parents = "hide"

# Every reference to a name of this package must lead somewhere, unless it is about its inside.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(?!scconnect_wsgi).*"),  # Python's own names, and those of other packages
    (r"py:.*", r"scconnect_wsgi\..*\b_\w+.*"),
]


html_theme = "furo"
pygments_dark_style = "github-dark"
html_title = "scconnect-wsgi"
html_logo = "../assets/sc-connect.svg"
html_favicon = "_static/favicon.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = True  # llms.txt links to the Markdown of each page
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#b23600",  # 5.9:1 on white
        "color-brand-content": "#b23600",
        "color-brand-visited": "#8a4b2a",
    },
    "dark_css_variables": {
        "color-brand-primary": "#ff8a4c",  # 8.0:1 on Furo's dark background
        "color-brand-content": "#ff8a4c",
        "color-brand-visited": "#d6a58a",
    },
}

copybutton_exclude = ".linenos, .gp, .go"

llms_txt_summary = (
    'WSGI middleware for Python that gives any web application a "Connect with SoundCloud" button: '
    "OAuth 2.1 with PKCE (and OAuth 1.0a for other providers), tokens kept and refreshed once."
)


def plain_signature(
    app: Sphinx,
    what: str,
    name: str,
    obj: object,
    options: object,
    signature: str | None,
    returns: str | None,
) -> tuple[str, str | None] | None:
    """Return a signature as a reader needs it, or None if it is right as it is.

    An error that is made like its base needs none. Constants are shown by their values, and
    ``<factory>``, which stands for the default of a dataclass's field, by dots.
    """
    if what == "exception" and "__init__" not in vars(obj):
        return "", None
    if signature is None:
        return None
    maker: Any = vars(obj).get("__init__", obj) if isinstance(obj, type) else obj
    known = getattr(inspect.unwrap(maker), "__globals__", {})
    for constant in re.findall(r"= ([A-Z_]+)(?=[,)])", signature):
        if isinstance(known.get(constant), (int, float, str)):
            signature = signature.replace(f"= {constant}", f"= {known[constant]!r}")
    return signature.replace("<factory>", "..."), returns


# Files beside this folder, and the page that stands for each of them here.
REPOSITORY = pathlib.Path(__file__).parent.parent
PAGES_OF_FILES = {
    "README.md": "index.md",
    "CHANGES.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
SHOWN_WHOLE = {"changelog": "CHANGES.md", "contributing": "CONTRIBUTING.md"}


def read_page(app: Sphinx, name: str, source: list[str]) -> None:
    """Show the files of SHOWN_WHOLE as pages, and link to pages in place of files."""
    if name in SHOWN_WHOLE:
        path = REPOSITORY / SHOWN_WHOLE[name]
        app.env.note_dependency(path)
        source[0] = path.read_text("utf-8").replace("](docs/", "](")
    for file, page in PAGES_OF_FILES.items():
        link = rf"\]\((?:\.\./)?{re.escape(file)}(?:#[^)]*)?\)"
        source[0] = re.sub(link, f"]({page})", source[0])


def setup(app: Sphinx) -> None:
    """Register what this site adds to Sphinx."""
    app.connect("source-read", read_page)
    app.connect("autodoc-process-signature", plain_signature)
