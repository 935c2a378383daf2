"""How a flow ends: where the browser goes, and which cookies change."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from webob import Request, Response

from scconnect_wsgi.documentation import entry
from scconnect_wsgi.errors import ConnectError, FlowFinished, StorageFailed
from scconnect_wsgi.events import FlowEvents
from scconnect_wsgi.middleware._environ import strip_query
from scconnect_wsgi.middleware._hand_over import warn_if_lost
from scconnect_wsgi.middleware._replay import Outcome
from scconnect_wsgi.middleware._responses import observed, redirect, with_cookies
from scconnect_wsgi.middleware._results import Result, with_error_id, with_fields
from scconnect_wsgi.token import AccessToken

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

log: logging.Logger = logging.getLogger("scconnect_wsgi")

NOTE = "scconnect.note"  # in the environ; what the storage wants to know again (see _outcomes)


def _nobody_waits(outcome: Outcome) -> None:
    """Do nothing with the outcome of a request that has claimed no flow."""


@dataclass(repr=False)  # the request and the cookies hold secrets
class Ending:
    """How the flow of one request ends, in success or failure.

    The middleware makes one for each request and fills it in as it learns more, so that a failure
    at any step goes to the same page as a success. ``close_page`` is the path of close.html,
    ``return_to`` the path that the link named instead, if any, and ``cookies`` are Set-Cookie
    values. ``extra`` is added to the fields of that page. ``settle`` is called once, with the
    outcome, as soon as that is known, for whoever waits for it. ``failure`` is why the flow has
    failed, if it has. ``events`` tells the site how the flow ends: last, because the site's hook
    may take long, or be interrupted.
    """

    request: Request
    close_page: str
    events: FlowEvents
    return_to: str = ""
    cookies: list[str] = field(default_factory=list)
    extra: Mapping[str, str] = field(default_factory=dict)
    settle: Callable[[Outcome], None] = _nobody_waits
    failure: ConnectError | None = None

    def address(self, fields: Mapping[str, Any], token: AccessToken | None = None) -> str:
        """Return the path to which the browser goes, with ``fields`` in its query.

        Browsers carry the fragment of the callback's address over to an address that has none, and
        some providers add one, such as ``#_=_``. An empty fragment keeps it off the site's page.
        Raises ValueError for a field that would show ``token``.
        """
        if self.extra:
            fields = {**fields, **self.extra}
        if self.return_to:
            return with_fields(self.return_to, fields, token) + "#"
        return with_fields(self.close_page, fields, token)

    def with_result(self, result: Result) -> WSGIApplication:
        """Return the response for what a callable of the site returned.

        A Response is sent as it is. A mapping becomes the query of the address.
        """
        if isinstance(result, Response):
            return self._answered_by(result)
        location = self.address(result or {})
        note = self.request.environ.get(NOTE, "")
        self._end(Outcome(location, location, note=note))
        return redirect(location, self.cookies)

    def hand_over(
        self, app: WSGIApplication, name: str, value: AccessToken | ConnectError
    ) -> WSGIApplication:
        """Return the wrapped application, to answer the request itself.

        It finds ``value``, which is the token or the error, in its environ under ``name``, and does
        not see the query. ``scconnect.close_url`` adds fields to the address where the flow ends.
        """
        environ = self.request.environ
        strip_query(environ)
        environ[name] = value
        environ["scconnect.close_url"] = partial(self._address_of, value)
        return self._answered_by(warn_if_lost(app, name))

    def repeat(self, outcome: Outcome) -> WSGIApplication:
        """Return the response for a flow that another request has ended."""
        if outcome.note:
            self.request.environ[NOTE] = outcome.note
        return redirect(outcome.location, [*outcome.cookies, *self.cookies])

    def abandon(self) -> None:
        """End the flow of a request that was interrupted and can no longer answer."""
        if self.settle is _nobody_waits:  # this request has claimed no flow, or ended it
            if self.failure is not None:
                self.events.ended(self.failure)
            return
        error = FlowFinished(
            "This callback came twice, and the first one was interrupted. See whether the account "
            "is connected; the exception is in the log of the server."
        )
        _log_for_a_repeat(error)
        location = self.address(error.fields())
        self.failure = self.failure or error
        self._end(Outcome(location, location))

    def _address_of(self, value: AccessToken | ConnectError, fields: Mapping[str, Any]) -> str:
        """Return where the browser goes, with the fields of the wrapped application.

        The token is kept out of them, and the id of a failure is added. Raises ValueError for a
        field that would show the token.
        """
        if isinstance(value, ConnectError):
            return self.address(with_error_id(fields, value))
        return self.address(fields, value)

    def _answered_by(self, app: WSGIApplication) -> WSGIApplication:
        """Return the site's own response, and end the flow when it begins."""

        def end(status: str, headers: Sequence[tuple[str, str]]) -> None:
            code = int(status[:3])
            if self.failure is None and code >= 400:
                self.failure = StorageFailed(f"The site answered with the status {code}.")
                _log_for_a_repeat(self.failure)
            self._end(self._site_outcome(code, headers))

        return with_cookies(observed(app, end, self.abandon), self.cookies)

    def _site_outcome(self, status: int, headers: Sequence[tuple[str, str]]) -> Outcome:
        """Return what is remembered of a response that the site made itself."""
        shared = self.address(self.failure.fields() if self.failure else {})
        location = shared
        cookies = []
        for name, value in headers:
            if name.lower() == "set-cookie":
                cookies.append(value)
            elif name.lower() == "location" and 300 <= status < 400:
                location = value
        return Outcome(location, shared, tuple(cookies))

    def _end(self, outcome: Outcome) -> None:
        """Settle the flow, and then tell the site."""
        settle = self.settle
        self.settle = _nobody_waits  # it is settled once
        settle(outcome)
        self.events.ended(self.failure)


def _log_for_a_repeat(error: ConnectError) -> None:
    """Log the failure that the page hears of if the same callback comes again."""
    log.warning(
        "The flow of a callback was interrupted, or the site answered it with an error. If the "
        "callback comes again, the page gets %s. (error_id %s) See %s",
        error.code,
        error.error_id,
        entry("An interrupted callback"),
    )
