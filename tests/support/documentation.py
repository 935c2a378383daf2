"""The pages of the documentation: their snippets, their headings and the links to them."""

from __future__ import annotations

import re

from support.paths import CHECKOUT

DOCS = CHECKOUT / "docs"
SITE = "https://scconnect-wsgi.readthedocs.io/en/stable/"  # where the pages are published


def snippets(page, language):
    """Return the snippets of a language on a page of docs/."""
    text = (DOCS / page).read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def snippet(page, language, word):
    """Return the one snippet that contains a word."""
    (found,) = [text for text in snippets(page, language) if word in text]
    return found


def anchors(text):
    """Return the addresses of a text's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def broken_links_to_the_site(text):
    """Return the links of a text to pages or headings of the published site that do not exist."""
    links = re.findall(rf"{re.escape(SITE)}([\w./-]*)(?:#([\w-]+))?", text)
    return [link for link in links if not _is_published(*link)]


def _is_published(address, anchor):
    if address.startswith("_static/"):
        return (DOCS / address).is_file()
    page = DOCS / address.replace(".html", ".md")
    return page.is_file() and (not anchor or anchor in anchors(page.read_text("utf-8")))
