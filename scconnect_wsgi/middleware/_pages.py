"""The middleware's own pages: what a user sees in place of a redirect."""

from __future__ import annotations

import html
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from string import Template
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlencode

from scconnect_wsgi.documentation import entry
from scconnect_wsgi.errors import new_error_id
from scconnect_wsgi.middleware._files import BrowserFile, asset_folder, close_page
from scconnect_wsgi.middleware._responses import NOT_FOR_WORKERS, FixedResponse
from scconnect_wsgi.middleware._translations import (
    Language,
    Texts,
    Translations,
    filled,
)
from scconnect_wsgi.provider import SOUNDCLOUD_NAME, provider_name
from scconnect_wsgi.query import with_query

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from scconnect_wsgi.flow import Flow

log: logging.Logger = logging.getLogger("scconnect_wsgi")

# It has no form-action: browsers would apply it to the redirect that follows the form, which leads
# to the provider.
_CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)

_BACK = "Back to the site"
_MARK = re.compile('<svg class="mark".*?</svg>', re.DOTALL)
_CHAIN = (
    '<svg class="mark" viewBox="0 0 66 44" width="66" height="44" aria-hidden="true" '
    'focusable="false"><path class="chain" d="M30 33H16a11 11 0 0 1 0-22h14M36 11h14a11 11 0 0 1 '
    '0 22H36M22 22h22"/></svg>'
)


@dataclass(frozen=True)
class Message:
    """What a page says: an English sentence or two, for the user, which is translated.

    ``values`` replace its ``{placeholders}``. ``developer`` is for the site's developer, and always
    English.
    """

    sentence: str
    developer: str = ""
    values: Mapping[str, str] = field(default_factory=dict)

    @property
    def in_english(self) -> str:
        """All of it, as one text."""
        return f"{filled(self.sentence, self.values)} {self.developer}".rstrip()

    def shown(self, language: Language) -> str:
        """Return what the user reads. In plain English that is all of it."""
        if not language.texts:
            return self.in_english
        return language.translate(self.sentence, self.values)

    def shown_to_the_developer(self, language: Language) -> str:
        """Return a paragraph with the rest, or an empty string."""
        if not self.developer or not language.texts:
            return ""
        return f'<p lang="en" dir="ltr">{html.escape(self.developer)}</p>'


class Notice(Exception):  # noqa: N818  # a page, and not always about an error
    """A page of our own. Raise it to answer a request with that page and do nothing else.

    ``title``, ``message`` and ``button`` are English sentences, which the page shows in the
    language of the user: each must be in page.json. The attribute ``message`` stays English, for
    logs and scripts.

    With ``button`` the page has a button of that name, which posts to the page's own address. With
    ``fields`` the page opens its own address again at once, with these fields as the query, and the
    button does the same if the browser does not. With ``code`` the flow ends here with that error:
    sc-connect.js finds it in the popup, and tells the page that opened it. ``headers`` are added to
    the response, or replace its own. A page with a status of 400 or more is about a failure, unless
    it is a QuietNotice: it has an id, which is shown and logged.

    Set ``origin`` if the link back to the site leads to another one than the page's own.
    """

    is_failure: ClassVar[bool] = True
    origin: str = ""

    def __init__(
        self,
        status: str,
        title: str,
        message: str | Message,
        *,
        button: str = "",
        fields: Mapping[str, str] | None = None,
        code: str = "",
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(status, title)
        self.status = status
        self.title = title
        self._message = message if isinstance(message, Message) else Message(message)
        self.message: str = self._message.in_english
        self.button = button
        self.fields = fields
        self.code = code
        self.headers = headers
        self.error_id: str = new_error_id() if self.is_failure and status >= "400" else ""

    def log(self) -> None:
        """Log the failure that the page is about, if it is about one."""
        if self.error_id:
            log.warning(
                "%s: %s. %s (error_id %s) See %s",
                self.status,
                self.title,
                self.message,
                self.error_id,
                entry(self.title),
            )

    def response(self, look: PageLook) -> FixedResponse:
        """Return the page."""
        language = look.language
        back = language.translate(_BACK)
        template = _template(look.provider, language.tag, language.direction, back)
        text = template.substitute(
            title=html.escape(language.translate(self.title)),
            message=html.escape(self._message.shown(language)),
            assets=html.escape(look.assets),
            home=html.escape(self.origin + look.home),
            refresh=self._refresh(),
            action=self._action(look),
            error_id=self._message.shown_to_the_developer(language) + self._error_id(language),
            answer=html.escape(self._answer()),
        )
        body = text.encode("utf-8")
        headers = {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Length": str(len(body)),
            "Content-Language": language.tag,
            "Cache-Control": "no-store",
            **dict([NOT_FOR_WORKERS]),
            "Content-Security-Policy": _CSP,
            "X-Content-Type-Options": "nosniff",
            # The button's request needs an Origin or a Referer: only they tell old browsers'
            # requests, and those behind a service worker, from those of another site.
            "Referrer-Policy": "same-origin",
            **dict(self.headers),
        }
        return FixedResponse(self.status, list(headers.items()), body)

    def _refresh(self) -> str:
        """Return the element that opens the page again; it needs no JavaScript.

        The next page takes this one's place in the browser's history, because there is no delay. It
        is not a header, because a code may be longer than proxies allow for one.
        """
        if self.fields is None:
            return ""
        content = html.escape(f"0; url={with_query('', self.fields)}")
        return f'<meta http-equiv="refresh" content="{content}">'

    def _answer(self) -> str:
        """Return what the page with the button is told, or an empty string.

        It has the form of an answer of close.js: a query, and a # with advice for the developer.
        """
        if not self.code:
            return ""
        fields = {"error": self.code, "error_description": self.message}
        if self.error_id:
            fields["error_id"] = self.error_id
        return f"{urlencode(fields)}&#See {entry(self.title)}"

    def _action(self, look: PageLook) -> str:
        if not self.button:
            return ""
        method = "post" if self.fields is None else "get"
        fields = "".join(
            f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
            for name, value in (self.fields or {}).items()
        )
        text = html.escape(look.language.translate(self.button))
        button = f'<button type="submit">{text}</button>'
        return f'<form method="{method}">{fields}{button}</form>'

    def _error_id(self, language: Language) -> str:
        if not self.error_id:
            return ""
        sentence = html.escape(language.translate("If you report this, mention the error {id}."))
        # For the people who run the site. noreferrer, because the query may hold a code.
        link = (
            f'<a class="entry" href="{entry(self.title)}" target="_blank" rel="noreferrer">'
            f"<code>{self.error_id}</code></a>"
        )
        return f"<p>{filled(sentence, {'id': link})}</p>"


class QuietNotice(Notice):
    """A page about nobody's failure: it has no id, and is not logged, whatever its status is."""

    is_failure = False


class EmptyNotice(Notice):
    """An answer that shows nothing and that no cache keeps. Raise it for a request in advance."""

    def __init__(self) -> None:
        super().__init__("204 No Content", "", "")

    def response(self, look: PageLook) -> FixedResponse:
        """Return the answer, which has no page."""
        return FixedResponse(self.status, [("Cache-Control", "no-store")], b"")


@dataclass(frozen=True)
class PageLook:
    """How a page of ours is shown to one user.

    ``assets`` is the path of the browser files, ``home`` that of the site's first page.
    ``provider`` is the provider's name, or empty.
    """

    assets: str
    home: str
    language: Language
    provider: str


class Pages:
    """The pages of one site: where its browser files are, its languages, and its provider.

    ``texts`` are the site's own sentences. Raises ConfigurationError for those that cannot be used.
    """

    def __init__(self, assets_path: str, flow: Flow, texts: Texts | None) -> None:
        self._assets_path = assets_path
        self._translations = Translations(texts)
        # Somebody else's flow may have no provider
        self._provider = provider_name(getattr(flow, "provider", None))

    def response(self, notice: Notice, environ: WSGIEnvironment, root_path: str) -> FixedResponse:
        """Return a notice as the page for a request.

        ``root_path`` is the path of the site's first page, without the slash at its end.
        """
        look = PageLook(
            root_path + self._assets_path,
            root_path + "/",
            self._translations.language(environ.get("HTTP_ACCEPT_LANGUAGE")),
            self._provider,
        )
        return notice.response(look)

    def close_page(self) -> BrowserFile:
        """Return close.html."""
        return close_page(self._assets_path.count("/"), self._changed)

    def _changed(self, page: str) -> str:
        return _with_mark(self._translations.with_texts(page), self._provider)


def _with_mark(page: str, provider: str) -> str:
    """Return a page with SoundCloud's cloud, or two links of a chain for any other provider."""
    return page if provider == SOUNDCLOUD_NAME else _MARK.sub(_CHAIN, page, count=1)


@lru_cache(maxsize=64)
def _template(provider: str, language: str, direction: str, back: str) -> Template:
    """Return page.html, which is English, for another language, with ``back`` as its link."""
    page = (asset_folder() / "page.html").read_text("utf-8")
    page = page.replace('<html lang="en">', f'<html lang="{language}" dir="{direction}">')
    page = page.replace(_BACK, html.escape(back).replace("$", "$$"))
    return Template(_with_mark(page, provider))
