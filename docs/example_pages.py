"""A Sphinx extension: a file beside docs/ that a page links to is shown as a page itself.

MyST makes a download of such a link. Here the link leads to a page with the file's text, which has
the download. Files in docs/, the pictures, stay downloads.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from pygments.lexers import get_lexer_for_filename
from pygments.util import ClassNotFound
from sphinx import addnodes
from sphinx.highlighting import PygmentsBridge

if TYPE_CHECKING:
    from sphinx.application import Sphinx

REPOSITORY = Path(__file__).parent.parent


def page_of(app: Sphinx, file: str | Path) -> str:
    """Return the name of the page that shows a file, which is given relative to docs/."""
    return (Path(app.srcdir) / file).resolve().relative_to(REPOSITORY.resolve()).as_posix()


def link_to_pages(app: Sphinx, doctree: nodes.document, name: str) -> None:
    """Let the links to files lead to their pages."""
    if app.builder.format != "html":
        return
    for node in list(doctree.findall(addnodes.download_reference)):
        page = page_of(app, app.env.relfn2path(node["reftarget"], name)[0])
        if not page.startswith("docs/"):
            address = app.builder.get_relative_uri(name, page)
            node.replace_self(nodes.reference("", "", *node.children, refuri=address))


def pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield a page for each file that something links to."""
    for file, (_, copy) in app.env.dlfiles.items():
        page = page_of(app, file)
        if page.startswith("docs/"):
            continue
        text = (Path(app.srcdir) / file).read_text("utf-8")
        code = PygmentsBridge("html").highlight_block(text, language(page))
        up = posixpath.relpath(".", posixpath.dirname(page))
        body = (
            f"<h1>{escape(page)}</h1>\n"
            f'<p><a href="{up}/_downloads/{copy}" download>Download this file</a></p>\n{code}'
        )
        yield page, {"title": page, "body": body}, "page.html"


def language(page: str) -> str:
    """Return the language of a file by its name."""
    try:
        return str(get_lexer_for_filename(page).aliases[0])
    except ClassNotFound:
        return "text"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("doctree-resolved", link_to_pages)
    app.connect("html-collect-pages", pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
