"""A Sphinx extension: a file beside docs/ that a page links to is shown as a page itself.

MyST makes a download of such a link. Here the link leads to a page with the file's text, which has
the download. The other files of the same example have pages too, and an archive holds all of them.
Files in docs/, the pictures, stay downloads.
"""

from __future__ import annotations

import posixpath
import zipfile
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
# What running an example leaves behind
NOT_SOURCE = {"__pycache__", "instance"}
NOT_SOURCE_ENDINGS = {".pyc", ".sqlite3"}


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


def example_of(page: str) -> str:
    """Return the folder of the example that a page's file is in, or an empty string.

    It is the folder that is two below examples/, such as examples/login/flask, or the one that is
    one below, if the file is there: examples/asgi.
    """
    parts = page.split("/")
    return "/".join(parts[:-1][:3]) if parts[0] == "examples" else ""


def files_of(example: str) -> list[str]:
    """Return the files of an example, without those that running it leaves behind."""
    files = [
        path.relative_to(REPOSITORY)
        for path in sorted((REPOSITORY / example).rglob("*"))
        if path.is_file() and path.suffix not in NOT_SOURCE_ENDINGS
    ]
    return [file.as_posix() for file in files if NOT_SOURCE.isdisjoint(file.parts)]


def pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield a page for each file that something links to, and for the others of its example."""
    linked = {page_of(app, file) for file in app.env.dlfiles}
    linked = {page for page in linked if not page.startswith("docs/")}
    examples = {example_of(page) for page in linked} - {""}
    for example in examples:
        write_archive(Path(app.outdir) / f"{example}.zip", example)
    for page in sorted(linked.union(*map(files_of, examples))):
        # This also copies the file into the site
        copy = app.env.dlfiles.add_file("index", posixpath.relpath(page, "docs"))
        yield page, {"title": page, "body": body(page, copy)}, "page.html"


def body(page: str, copy: str) -> str:
    """Return what the page of a file shows. ``copy`` is the name of the file's download."""
    text = (REPOSITORY / page).read_text("utf-8")
    code = PygmentsBridge("html").highlight_block(text, language(page))
    folder = posixpath.dirname(page)
    up = posixpath.relpath(".", folder)
    download = f'<a href="{up}/_downloads/{copy}" download>Download this file</a>'
    heading = f"<h1>{escape(page)}</h1>\n"
    example = example_of(page)
    if not example:
        return f"{heading}<p>{download}</p>\n{code}"
    archive = posixpath.relpath(f"{example}.zip", folder)
    download += f', or <a href="{archive}" download>the whole example</a>'
    others = "".join(
        f'<li><a href="{posixpath.relpath(file, folder)}.html">{escape(file)}</a></li>'
        for file in files_of(example)
        if file != page
    )
    more = f"<h2>The other files of this example</h2>\n<ul>{others}</ul>" if others else ""
    return f"{heading}<p>{download}</p>\n{code}\n{more}"


def write_archive(path: Path, example: str) -> None:
    """Write all files of an example, below a folder of its name, into a zip archive."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files_of(example):
            name = posixpath.relpath(file, posixpath.dirname(example))
            archive.write(REPOSITORY / file, name)


def language(page: str) -> str:
    """Return the language of a file by its name."""
    if "templates" in page.split("/"):
        return "html+jinja"  # Django's templates look the same
    try:
        return str(get_lexer_for_filename(page).aliases[0])
    except ClassNotFound:
        return "text"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("doctree-resolved", link_to_pages)
    app.connect("html-collect-pages", pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
