"""The snippets of the documentation."""

from __future__ import annotations

import re

from support.paths import CHECKOUT


def snippets(page, language):
    """Return the snippets of a language on a page of docs/."""
    text = (CHECKOUT / "docs" / page).read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def snippet(page, language, word):
    """Return the one snippet that contains a word."""
    (found,) = [text for text in snippets(page, language) if word in text]
    return found
