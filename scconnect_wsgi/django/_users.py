"""Find out which user of a Django site sent a request that Django has not seen yet."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth import get_user
from django.core.handlers.wsgi import WSGIRequest

from scconnect_wsgi.middleware import close_old_connections

if TYPE_CHECKING:
    from webob import Request


def current_user(request: Request) -> str | None:
    """Return the primary key of the user who is signed in as text, or None for nobody.

    Pass it as ``Connections(identify=...)``. It asks ``django.contrib.auth`` as Django's own
    middleware does, with the site's session engine, cookie name and authentication backends, and
    changes nothing. A site whose users are known in another way, such as by a token in a header,
    writes a function of its own.
    """
    close_old_connections()  # as at the start of a request: a broken one would be used again
    # A copy, because Django decodes the path in the environ that it is given
    seen = WSGIRequest({**request.environ})
    seen.session = _session(seen.COOKIES.get(settings.SESSION_COOKIE_NAME))
    user: Any = get_user(seen)
    return str(user.pk) if user.is_authenticated else None


class _ReadSession(dict[str, Any]):
    """What a session contains.

    ``get_user`` would end a session whose password has changed, and give one that an older
    SECRET_KEY signed a new key. The browser would not hear of the new key, and be signed out, so
    both are left to the next request that Django answers itself.
    """

    def flush(self) -> None:
        """Forget what the session contains, but only here."""
        self.clear()

    def cycle_key(self) -> None:
        """Keep the key."""


def _session(key: str | None) -> _ReadSession:
    if not key:
        return _ReadSession()
    engine = import_module(settings.SESSION_ENGINE)
    return _ReadSession(engine.SessionStore(key).load())
