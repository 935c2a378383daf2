"""What the site's own callables say: where it lives, who is signed in, and where tokens are kept.

They are somebody else's code and may raise. What they raise is logged here, without the token, and
becomes a ConnectError that takes the same road home as every other.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from webob import Request, Response

from scconnect_wsgi.errors import ConfigurationError, ConnectError, StartRefused, StorageFailed
from scconnect_wsgi.middleware.responses import mount
from scconnect_wsgi.query import with_query
from scconnect_wsgi.redaction import safe_traceback
from scconnect_wsgi.token import AccessToken
from scconnect_wsgi.urls import checked_root

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

log: logging.Logger = logging.getLogger("scconnect_wsgi")

Result = Mapping[str, Any] | Response | None
StoreToken = Callable[[AccessToken, Request], Result]
OnFailure = Callable[[ConnectError, Request], Result]
_LOOPBACK_HOST = re.compile(
    r"(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?", re.IGNORECASE | re.ASCII
)


class Site:
    """Asks the callables of one site.

    Raises ConfigurationError for a ``base_url`` that cannot work.
    """

    def __init__(
        self,
        base_url: str | Callable[[Request], str] | None,
        identify: Callable[[Request], str | None] | None,
        on_failure: OnFailure | None,
    ) -> None:
        fixed = isinstance(base_url, str)
        for name, given in (
            ("base_url", None if fixed else base_url),
            ("identify", identify),
            ("on_failure", on_failure),
        ):
            if given is not None and not callable(given):
                raise ConfigurationError(name, f"must be a callable, not {type(given).__name__}.")
        self._base_url = (
            checked_root(base_url, "base_url") if isinstance(base_url, str) else base_url
        )
        self._identify = identify
        self._on_failure = on_failure

    def root(self, request: Request) -> str:
        """The public root of the wrapped application. Raises StartRefused where it is not known."""
        if isinstance(self._base_url, str):
            return self._base_url
        if self._base_url is None:
            host = request.environ.get("HTTP_HOST", "")
            if not _LOOPBACK_HOST.fullmatch(host):
                raise StartRefused(
                    "base_url is not set, and this host is not a loopback one. Give SCConnect the public address of "
                    'the site: base_url="https://app.example".'
                )
            return f"{request.scheme}://{host}{mount(request.environ)}"
        root = self._ask(self._base_url, request, "base_url")
        try:
            return checked_root(root, "base_url")
        except ConfigurationError as error:
            raise StartRefused(
                f"The base_url callable gave no usable address. {error.message}"
            ) from None

    def prefix(self, environ: WSGIEnvironment) -> str:
        """The path that the public root begins with, for the pages that need no more of it."""
        return urlsplit(self._base_url).path if isinstance(self._base_url, str) else mount(environ)

    def user(self, request: Request) -> str | None:
        """Who ``identify`` says is signed in; None for nobody, which an empty string means too.

        Raises StartRefused where it raises, or returns something else.
        """
        if self._identify is None:
            return None
        user = self._ask(self._identify, request, "identify")
        if user is not None and not isinstance(user, str):
            raise StartRefused(
                "The identify callable must return a string or None: str(user.id), for one."
            )
        return user or None

    def _ask(self, question: Callable[[Request], Any], request: Request, name: str) -> Any:
        try:
            return question(request)
        except Exception:
            log.error("The %s callable of this site raised:\n%s", name, _safe_traceback(request))
        raise StartRefused(
            f"The {name} callable of this site raised an exception; its log says which."
        )

    def store(self, store_token: StoreToken, token: AccessToken, request: Request) -> Result:
        """Call ``store_token``, and once more where it raises: a pooled database connection may
        have died.

        Raises StorageFailed, or the ConnectError that ``store_token`` chose to raise. A Response
        that is raised, as WebOb's exceptions are, counts as returned.
        """
        for attempt in (1, 2):
            try:
                return _checked(store_token(token, request))
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
                if attempt == 2 and request.environ.get(
                    "x-wsgiorg.throw_errors"
                ):  # set by debugging servers
                    raise
        raise StorageFailed(
            "The site could not store the token: store_token raised an exception; its log says which."
        )

    def failed(self, error: ConnectError, request: Request) -> Result:
        """What ``on_failure`` makes of an error;

        the error's own fields where it makes nothing of it.
        """
        result: Result = None
        if self._on_failure is not None:
            try:
                result = _checked(self._on_failure(error, request))
            except Exception:
                log.error(
                    "The on_failure callable of this site raised:\n%s", _safe_traceback(request)
                )
        return error.fields() if result is None else result


def _checked(result: object) -> Result:
    """A result with its values as text. Raises StorageFailed for one of another kind."""
    if result is None or isinstance(result, Response):
        return result
    if not isinstance(result, Mapping):
        raise StorageFailed("store_token must return a mapping, None or a webob.Response.")
    return as_text(result)


def as_text(fields: Mapping[str, Any]) -> dict[str, str]:
    """Fields for close.html: every value as text, None as nothing."""
    return {str(name): "" if value is None else str(value) for name, value in fields.items()}


def with_fields(home: str, fields: Mapping[str, Any]) -> str:
    """The address a flow ends at, with ``fields`` as its query."""
    return with_query(home, as_text(fields))


def _safe_traceback(request: Request, token: AccessToken | None = None) -> str:
    return safe_traceback(request.environ.get("QUERY_STRING", ""), token)
