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

from scconnect_wsgi.errors import ConfigurationError, ConnectError, StartRefused, StorageFailed
from scconnect_wsgi.middleware._environ import script_path
from scconnect_wsgi.middleware._results import Result, checked_result
from scconnect_wsgi.redaction import safe_traceback
from scconnect_wsgi.token import AccessToken
from scconnect_wsgi.urls import checked_root
from scconnect_wsgi.users import user_name

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
        else:
            _check_callable("base_url", base_url)
        _check_callable("identify", identify)
        _check_callable("on_failure", on_failure)
        self._base_url = base_url
        self._identify = identify
        self._on_failure = on_failure

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

    def user(self, request: Request) -> str | None:
        """Return the name of the user who is signed in, as ``identify`` gives it.

        None means nobody, and so do an empty string and "None". Raises StartRefused if ``identify``
        raises, or returns something that is not a string.
        """
        if self._identify is None:
            return None
        user = self._ask(self._identify, request, "identify")
        try:
            return user_name(user)
        except TypeError as error:
            raise StartRefused(f"identify must return {error}") from None

    def store(self, store_token: StoreToken, token: AccessToken, request: Request) -> Result:
        """Call ``store_token``; if it raises, once more: a pooled connection may have died.

        A Response that is raised, as WebOb's exceptions are, counts as returned. Raises
        StorageFailed, or the ConnectError that ``store_token`` chose to raise. A debugging server
        gets the exception itself.
        """
        for attempt in (1, 2):
            try:
                return checked_result(store_token(token, request), "store_token")
            except ConnectError:
                raise
            except Exception as error:
                if isinstance(error, Response):
                    return error
                log.error(
                    "store_token raised, attempt %d of 2:\n%s",
                    attempt,
                    _safe_traceback(request, token),
                )
                # The variable is set by debugging servers
                if attempt == 2 and request.environ.get("x-wsgiorg.throw_errors"):
                    raise
        raise StorageFailed(
            "The site could not store the token: store_token raised an exception, which is in the "
            "site's log."
        )

    def failed(self, error: ConnectError, request: Request) -> Result:
        """Return ``on_failure``'s result, or else the error's fields."""
        result: Result = None
        if self._on_failure is not None:
            try:
                result = checked_result(self._on_failure(error, request), "on_failure")
            except Exception:
                log.error(
                    "The on_failure callable of this site raised:\n%s", _safe_traceback(request)
                )
        return error.fields() if result is None else result

    def _ask(self, question: Callable[[Request], Any], request: Request, name: str) -> Any:
        """Return what a callable returns. Raises StartRefused if it raises."""
        try:
            return question(request)
        except Exception:
            log.error("The %s callable of this site raised:\n%s", name, _safe_traceback(request))
        raise StartRefused(
            f"The {name} callable of this site raised an exception, which is in the site's log."
        )


def _check_callable(option: str, given: object) -> None:
    if given is not None and not callable(given):
        raise ConfigurationError(option, f"must be a callable, not {type(given).__name__}.")


def _loopback_root(request: Request) -> str:
    """Return the public root as the request names it, which only a loopback host may do."""
    host = request.environ.get("HTTP_HOST", "")
    if not _LOOPBACK_HOST.fullmatch(host):
        raise StartRefused(
            "base_url is not set, and this host is not a loopback one. Give SCConnect the public "
            'address of the site: base_url="https://app.example".'
        )
    return f"{request.scheme}://{host}{script_path(request.environ)}"


def _safe_traceback(request: Request, token: AccessToken | None = None) -> str:
    return safe_traceback(request.environ.get("QUERY_STRING", ""), token)
