"""How a flow ends: where the browser goes, and which cookies change."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from webob import Request, Response

from scconnect_wsgi.middleware._environ import strip_query
from scconnect_wsgi.middleware._responses import redirect, with_cookies
from scconnect_wsgi.middleware._results import Result, with_fields

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


@dataclass(repr=False)  # the request and the cookies hold secrets
class Ending:
    """How the flow of one request ends, in success or failure.

    The middleware makes one for each request and fills it in as it learns more, so that a failure
    at any step goes to the same page as a success. ``close_page`` is the path of close.html,
    ``return_to`` the path that the link named instead, if any, and ``cookies`` are Set-Cookie
    values.
    """

    request: Request
    close_page: str
    return_to: str = ""
    cookies: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        """The path to which the browser goes."""
        return self.return_to or self.close_page

    def with_result(self, result: Result) -> WSGIApplication:
        """Return the response for what a callable of the site returned.

        A Response is sent as it is. A mapping becomes the query of the address.
        """
        if isinstance(result, Response):
            return with_cookies(result, self.cookies)
        return redirect(with_fields(self.address, result or {}), self.cookies)

    def hand_over(self, app: WSGIApplication, name: str, value: object) -> WSGIApplication:
        """Return the wrapped application, to answer the request itself.

        It finds ``value`` in its environ under ``name``, and does not see the query.
        """
        environ = self.request.environ
        strip_query(environ)
        environ[name] = value
        environ["scconnect.close_url"] = partial(with_fields, self.address)
        return with_cookies(app, self.cookies)
