"""The sentences of our pages in other languages, each found by the English one.

``page.json`` has those of the pages that the middleware shows itself, in the language that a
request's Accept-Language asks for. close.html has its own, because its script chooses the language.
A site may give its own sentences for both, and further languages.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

from webob.acceptparse import create_accept_language_header

from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.middleware._files import asset_folder

Texts = Mapping[str, Mapping[str, str]]

ENGLISH = "en"
MAX_HEADER = 1000  # characters of an Accept-Language; browsers send a tenth of that
_TAG = re.compile(r"[a-z]{2,8}(-[a-z0-9]{1,8})*")  # RFC 5646 section 2.1, without its rare forms
_RIGHT_TO_LEFT = ("ar", "dv", "fa", "he", "ps", "ur", "yi")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_TEXTS_OF_CLOSE_PAGE = re.compile("data-texts='([^']*)'")
_NO_SCRIPT = re.compile(r"<noscript>.*?</noscript>", re.DOTALL)
# What close.html says in every language if no script can choose one
_SHOWN = "The site shows whether you are connected."
_BACK = "Back to the site"


@dataclass(frozen=True)
class Language:
    """A language of our pages: ``tag`` is that of RFC 5646."""

    tag: str
    texts: Mapping[str, str] = field(repr=False)

    @property
    def direction(self) -> str:
        """The value of the attribute ``dir``: ``ltr`` or ``rtl``."""
        return "rtl" if self.tag.partition("-")[0] in _RIGHT_TO_LEFT else "ltr"

    def translate(self, sentence: str, values: Mapping[str, str] | None = None) -> str:
        """Return an English sentence in this language, with ``values`` in its ``{placeholders}``.

        A sentence that is not translated stays English.
        """
        return filled(self.texts.get(sentence, sentence), values or {})


def filled(sentence: str, values: Mapping[str, str]) -> str:
    """Return a sentence with values in place of its ``{placeholders}``."""
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), sentence)


class Translations:
    """Our sentences in every language, and those that a site gives in their place.

    ``own`` maps tags of languages to mappings from our English sentences to the site's. Raises
    ConfigurationError, about the option ``texts``, for anything else.
    """

    def __init__(self, own: Texts | None = None) -> None:
        checked = {} if own is None else _checked(own)
        self._close_texts = _merged(_texts_of_close_page(), checked) if checked else None
        texts = _merged(_texts_of_pages(), checked)
        self._languages = {tag: Language(tag, texts[tag]) for tag in texts}

    def language(self, accept_language: str | None) -> Language:
        """Return the language that an Accept-Language header asks for (RFC 4647 section 3.4).

        English stands for a header that is missing, cannot be read, or asks for others only.
        """
        if accept_language is not None and len(accept_language) > MAX_HEADER:
            return self._languages[ENGLISH]
        accepted = create_accept_language_header(accept_language)
        tag = accepted.lookup([*self._languages], default_tag=ENGLISH)
        return self._languages[tag or ENGLISH]

    def with_texts(self, close_page: str) -> str:
        """Return close.html with the site's own sentences."""
        if self._close_texts is None:
            return close_page
        texts = html.escape(json.dumps(self._close_texts, ensure_ascii=False))
        no_script = without_script(self._close_texts)
        page = _TEXTS_OF_CLOSE_PAGE.sub(lambda _: f"data-texts='{texts}'", close_page)
        return _NO_SCRIPT.sub(lambda _: no_script, page)


def without_script(texts: Texts) -> str:
    """Return the element of close.html for browsers without scripts, in each of the languages."""
    lines = ["<noscript>"]
    for tag in texts:
        language = Language(tag, texts[tag])
        if tag != ENGLISH and not {_SHOWN, _BACK} <= language.texts.keys():
            continue
        shown = html.escape(language.translate(_SHOWN))
        back = html.escape(language.translate(_BACK))
        lines.append(
            f'        <p lang="{tag}" dir="{language.direction}">{shown} '
            f'<a href="../">{back}</a></p>'
        )
    return "\n".join([*lines, "      </noscript>"])


def sentences() -> list[str]:
    """Return every English sentence of our pages, for a site that wants to translate them."""
    return sorted(_sentences(_texts_of_pages()) | _sentences(_texts_of_close_page()))


def _merged(texts: Texts, own: Texts) -> dict[str, dict[str, str]]:
    """Return the texts with the site's own in place of ours; only sentences that are in ``texts``.

    English has none, unless the site gives some.
    """
    known = _sentences(texts)
    merged: dict[str, dict[str, str]] = {ENGLISH: {}}
    for source in (texts, own):
        for tag, sentence_texts in source.items():
            language = merged.setdefault(tag, {})
            language |= {key: text for key, text in sentence_texts.items() if key in known}
    return merged


def _sentences(texts: Texts) -> set[str]:
    """Return the English sentences that the texts translate."""
    return {sentence for language in texts.values() for sentence in language}


@cache
def _texts_of_pages() -> Texts:
    texts: Texts = json.loads((asset_folder() / "page.json").read_text("utf-8"))
    return texts


@cache
def _texts_of_close_page() -> Texts:
    page = (asset_folder() / "close.html").read_text("utf-8")
    found = _TEXTS_OF_CLOSE_PAGE.search(page)
    texts: Texts = json.loads(found[1]) if found else {}
    return texts


def _checked(own: Texts) -> dict[str, dict[str, str]]:
    """Return the site's own texts, with tags in lower case. Raises ConfigurationError."""
    if not isinstance(own, Mapping):
        raise ConfigurationError(
            "texts", 'must map languages to sentences: {"de": {"Not connected": "..."}}.'
        )
    known = set(sentences())
    return {_checked_tag(tag): _checked_language(tag, own[tag], known) for tag in own}


def _checked_tag(tag: object) -> str:
    if not isinstance(tag, str) or not _TAG.fullmatch(tag.lower()):
        raise ConfigurationError("texts", f"has {tag!r}, which is no language such as de or pt-BR.")
    return tag.lower()


def _checked_language(tag: str, texts: object, known: Iterable[str]) -> dict[str, str]:
    if not isinstance(texts, Mapping):
        raise ConfigurationError("texts", f"must map English sentences to others, for {tag!r} too.")
    for sentence, text in texts.items():
        if sentence not in known:
            raise ConfigurationError(
                "texts", f"has a sentence for {tag!r} that our pages do not have: {sentence!r}."
            )
        if not isinstance(text, str) or not text.strip():
            raise ConfigurationError("texts", f"has no text for {sentence!r} in {tag!r}.")
        strange = set(_PLACEHOLDER.findall(text)) - set(_PLACEHOLDER.findall(sentence))
        if strange:
            raise ConfigurationError(
                "texts", f"has a placeholder for {sentence!r} in {tag!r} that it does not fill."
            )
    return dict(texts)
