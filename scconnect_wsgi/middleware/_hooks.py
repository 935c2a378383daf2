"""The site's own callables: where the site is, who is signed in, and what becomes of a token.

They are somebody else's code and may raise. Their exceptions are logged here, without the token,
and become a ConnectError, which ends the flow as every other ConnectError does.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from webob import Request, Response

from scconnect_wsgi.callables import check_callable, hint
from scconnect_wsgi.errors import (
    ConfigurationError,
    ConnectError,
    StartRefused,
    StorageFailed,
    new_error_id,
)
from scconnect_wsgi.middleware._django import django_connections
from scconnect_wsgi.middleware._environ import is_behind_a_proxy, script_path
from scconnect_wsgi.middleware._results import Result, checked_result, with_error_id
from scconnect_wsgi.redaction import safe_traceback
from scconnect_wsgi.token import AccessToken
from scconnect_wsgi.urls import checked_root
from scconnect_wsgi.users import UserNameError, user_name

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

log: logging.Logger = logging.getLogger("scconnect_wsgi")

StoreToken = Callable[[AccessToken, Request], Result]
OnFailure = Callable[[ConnectError, Request], Result]
_LOOPBACK_HOST = re.compile(
    r"(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?", re.IGNORECASE | re.ASCII
)


class SiteHooks:
    """Calls the callables that a site gave to SCConnect. An option that was not given is None.

    Raises ConfigurationError for a ``base_url`` that cannot work, and for a value that is not
    callable.
    """

    def __init__(
        self,
        base_url: str | Callable[[Request], str] | None,
        identify: Callable[[Request], str | None] | None,
        on_failure: OnFailure | None,
    ) -> None:
        if isinstance(base_url, str):
            base_url = checked_root(base_url, "base_url")
        elif base_url is not None and not callable(base_url):
            raise ConfigurationError(
                "base_url",
                "must be a string such as https://app.example, or a callable that returns one, "
                f"not {type(base_url).__name__}.",
            )
        elif base_url is not None:
            check_callable("base_url", base_url, ["request"])
        check_callable("on_failure", on_failure, ["error", "request"])
        self._base_url = base_url
        self._identify = identify
        self._on_failure = on_failure

    @property
    def base_url(self) -> str | Callable[[Request], str] | None:
        """The option of this name; a string is in its normal form."""
        return self._base_url

    @property
    def answers_failures(self) -> bool:
        """Whether there is an ``on_failure``."""
        return self._on_failure is not None

    @property
    def root_is_derived(self) -> bool:
        """Whether ``base_url`` was not given, so that the root comes from the request."""
        return self._base_url is None

    def root(self, request: Request) -> str:
        """Return the public root of the wrapped application.

        Raises StartRefused if it is not known.
        """
        if isinstance(self._base_url, str):
            return self._base_url
        if self._base_url is None:
            return _loopback_root(request)
        root = self._ask(self._base_url, request, "base_url")
        try:
            return checked_root(root, "base_url")
        except ConfigurationError as error:
            raise StartRefused(
                f"The base_url callable returned no usable address. {error.message}"
            ) from None

    def root_path(self, environ: WSGIEnvironment) -> str:
        """Return the path of the public root, for pages that need nothing else of it.

        ``base_url`` is not called: if it is a callable, this is the path of the mount.
        """
        if isinstance(self._base_url, str):
            return urlsplit(self._base_url).path
        return script_path(environ)

    @property
    def name_users(self) -> bool:
        """Whether the site has users, whom ``identify`` names."""
        return self._identify is not None

    def user(self, request: Request) -> str | None:
        """Return the name of the user who is signed in, as ``identify`` gives it.

        None means nobody, and so do an empty string and "None". Raises StartRefused if ``identify``
        raises, or returns something that is not a string.
        """
        identify = self._identify
        if identify is None:
            return None

        def name(request: Request) -> str | None:  # a lazy string runs the site's code as well
            try:
                return user_name(identify(request))
            except UserNameError as error:
                raise StartRefused(f"identify must return {error}") from None

        user: str | None = self._ask(name, request, "identify")
        return user

    def store(self, store_token: StoreToken, token: AccessToken, request: Request) -> Result:
        """Call ``store_token``; if it raises, once more: a pooled connection may have died.

        A Response that is raised, as WebOb's exceptions are, counts as returned. Raises
        StorageFailed, or the ConnectError that ``store_token`` chose to raise. A debugging server
        gets the exception itself.
        """
        error_id = new_error_id()
        for attempt in (1, 2):
            try:
                with django_connections():
                    return checked_result(store_token(token, request), "store_token", token)
            except ConnectError:
                raise
            except Exception as error:
                if isinstance(error, Response):
                    return error
                raised = error
                shown = safe_traceback(request.environ, token)
                cause = hint(error)
            log.error(
                "store_token raised, attempt %d of 2 (error_id %s).%s\n%s",
                attempt,
                error_id,
                cause,
                shown,
            )
            # The variable is set by debugging servers
            if attempt == 2 and request.environ.get("x-wsgiorg.throw_errors"):
                raise raised
        failure = StorageFailed(
            "The site could not store the token: store_token raised an exception, which is in the "
            f"site's log.{cause}"
        )
        failure.error_id = error_id
        raise failure

    def failed(self, error: ConnectError, request: Request) -> Result:
        """Return ``on_failure``'s result, or else the error's fields. The id is in both."""
        result: Result = None
        shown = ""
        if self._on_failure is not None:
            try:
                with django_connections():
                    result = checked_result(self._on_failure(error, request), "on_failure")
            except Exception as raised:
                shown = safe_traceback(request.environ)
                cause = hint(raised)
        if shown:
            log.error(
                "The on_failure callable of this site raised (error_id %s).%s\n%s",
                error.error_id,
                cause,
                shown,
            )
        if result is None:
            return error.fields()
        if isinstance(result, Response):
            return result
        return with_error_id(result, error)

    def _ask(self, question: Callable[[Request], Any], request: Request, name: str) -> Any:
        """Return what a callable returns. Raises StartRefused if it raises."""
        try:
            with django_connections():
                return question(request)
        except StartRefused:  # it says why
            raise
        except Exception as error:
            shown = safe_traceback(request.environ)
            cause = hint(error)
        # Outside of the block, so that the site's exception is not chained to it
        refused = StartRefused(
            f"The {name} callable of this site raised an exception, which is in the site's log."
            f"{cause}"
        )
        log.error(
            "The %s callable of this site raised (error_id %s).%s\n%s",
            name,
            refused.error_id,
            cause,
            shown,
        )
        raise refused


def _loopback_root(request: Request) -> str:
    """Return the public root as the request names it.

    Only a loopback host may do that, and only if the browser itself named it: a proxy on the same
    machine may send ``Host: 127.0.0.1:5008`` whatever address the user sees.
    """
    host = request.environ.get("HTTP_HOST", "")
    problem = ""
    if not _LOOPBACK_HOST.fullmatch(host):
        problem = "the Host of this request is not a loopback one"
    elif is_behind_a_proxy(request.environ):
        problem = "a proxy passed this request on"
    if problem:
        raise StartRefused(
            f"base_url is not set, and {problem}. Give SCConnect the public address of the site: "
            'base_url="https://app.example".'
        )
    return f"{request.scheme}://{host}{script_path(request.environ)}"
