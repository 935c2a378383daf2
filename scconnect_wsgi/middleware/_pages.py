"""The middleware's own pages: what a user sees in place of a redirect."""

from __future__ import annotations

import html
from collections.abc import Sequence
from functools import cache
from string import Template

from scconnect_wsgi.middleware._files import asset_folder
from scconnect_wsgi.middleware._responses import FixedResponse

# It has no form-action: browsers would apply it to the redirect that follows the form, which leads
# to the provider.
_CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class Notice(Exception):  # noqa: N818  # a page, and not always about an error
    """A page of our own. Raise it to answer a request with that page and do nothing else.

    With ``button`` the page has a button of that name, which posts to the page's own address.
    ``headers`` are added to the response.
    """

    def __init__(
        self,
        status: str,
        title: str,
        message: str,
        *,
        button: str = "",
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(status, title)
        self.status = status
        self.title = title
        self.message = message
        self.button = button
        self.headers = headers

    def response(self, assets: str, home: str) -> FixedResponse:
        """Return the page. ``assets`` is the path of the browser files, ``home`` the first page."""
        text = _template().substitute(
            title=html.escape(self.title),
            message=html.escape(self.message),
            assets=html.escape(assets),
            home=html.escape(home),
            action=self._action(),
        )
        body = text.encode("utf-8")
        headers = [
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("Content-Security-Policy", _CSP),
            ("X-Content-Type-Options", "nosniff"),
            # The button's request needs an Origin or a Referer: only they tell old browsers'
            # requests from those of another site.
            ("Referrer-Policy", "same-origin"),
            *self.headers,
        ]
        return FixedResponse(self.status, headers, body)

    def _action(self) -> str:
        if not self.button:
            return ""
        label = html.escape(self.button)
        return f'<form method="post"><button type="submit">{label}</button></form>'


@cache
def _template() -> Template:
    return Template((asset_folder() / "page.html").read_text("utf-8"))
