"""Whether the session of a request is still good.

A cookie says who is logged in, and when the store was asked last. As long as that is less than a
minute ago, nobody is asked. Then the store is, and the cookie gets a new stamp: so a user who took
the permission back, or was disconnected, is out within a minute on every host, and ``max_age``
slides with use.

If the store cannot be reached, nobody is let in whom it would have been asked about, and nobody is
logged out: the error passes on, and the cookie stays.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from webob import Request

from scconnect_wsgi.account import Account
from scconnect_wsgi.errors import ConfigurationError, StartRefused, StorageFailed, Undecipherable
from scconnect_wsgi.login._session import Session, SessionCookie
from scconnect_wsgi.middleware import CLOCK_SKEW, SiteHooks
from scconnect_wsgi.numeric import is_whole

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

log: logging.Logger = logging.getLogger("scconnect_wsgi")

FRESH_FOR = 60  # seconds after which the store is asked again
MAX_AGE = 400 * 24 * 3600  # seconds; browsers keep no cookie for longer (RFC 6265bis 5.5)


class Logins(Protocol):
    """What a login is about: the connections, and which sessions have ended."""

    def account_of(self, session: Session) -> Account | None:
        """Return the account of a session, or None if it is over.

        Raises StoreUnavailable, and Undecipherable if the connection cannot be read.
        """

    def end(self, session: Session, seconds: float) -> None:
        """Remember for so many seconds that a session has ended. Raises StorageFailed."""


@dataclass(frozen=True, repr=False)  # the cookie is a secret
class Visitor:
    """Who is logged in, if anybody is, and the Set-Cookie value that the response must have."""

    session: Session | None = None
    cookie: str = ""


STRANGER = Visitor()


class Sessions:
    """The sessions of one site.

    Raises ConfigurationError for a ``max_age`` that cannot work.
    """

    def __init__(
        self, cookie: SessionCookie, logins: Logins, hooks: SiteHooks, max_age: int
    ) -> None:
        self._cookie = cookie
        self._logins = logins
        self._hooks = hooks
        self._max_age = checked_max_age(max_age)
        # A site whose sessions last for less than two minutes asks more often
        self._fresh_for = min(FRESH_FOR, max_age / 2)

    def check(self, environ: WSGIEnvironment) -> Visitor:
        """Return who is logged in. Raises StoreUnavailable if that cannot be found out."""
        header = environ.get("HTTP_COOKIE", "")
        if not self._cookie.is_in(header):
            return STRANGER
        secure = self.is_secure(environ)
        if secure is None:
            return STRANGER
        session = self._cookie.read(header, secure)
        if session is None:
            return STRANGER
        age = time.time() - session.stamp / 1000
        if abs(age) > self._max_age + CLOCK_SKEW or age > self._max_age:
            return STRANGER
        is_fresh = -CLOCK_SKEW <= age < self._fresh_for
        if is_fresh and session.account is not None:
            return Visitor(session)
        return self._ask(session, secure, is_fresh=is_fresh)

    def _ask(self, session: Session, secure: bool, *, is_fresh: bool) -> Visitor:
        """Return what the store says about a session.

        A connection that cannot be decrypted lets nobody in. But the session is not over: the key
        of the store may be put back.
        """
        try:
            account = self._logins.account_of(session)
        except Undecipherable as error:
            log.warning("A user is logged in no longer: %s", error.message)
            return STRANGER
        if account is None:
            return Visitor(cookie=self._cookie.remove(secure))
        current = replace(session, account=account)
        return Visitor(current, "" if is_fresh else self._stamped(current, secure))

    def begin(self, session: Session, environ: WSGIEnvironment) -> str:
        """Return the Set-Cookie value of a new login, or an empty string if there can be none.

        Its stamp is that of the first callback: if one comes again later, the store is asked first
        whether the login has ended meanwhile.
        """
        secure = self.is_secure(environ)
        return "" if secure is None else self._cookie.set(session.begun(), secure)

    def end(self, environ: WSGIEnvironment) -> str:
        """End the session of a request, and return the Set-Cookie value that removes it.

        A response to an earlier request may still be on its way, with a new stamp. So the end is
        remembered as well, if the store works.
        """
        secure = bool(self.is_secure(environ))
        session = self._cookie.read(environ.get("HTTP_COOKIE", ""), secure)
        if session is not None:
            try:
                self._logins.end(session, self._max_age + 2 * FRESH_FOR + CLOCK_SKEW)
            except StorageFailed as error:
                log.warning(
                    "A user has signed out, and copies of the cookie still work, because the store "
                    "could not write it down: %s",
                    error.message,
                )
        return self._cookie.remove(secure)

    def removal(self, environ: WSGIEnvironment) -> str:
        """Return the Set-Cookie value that removes the session of a browser."""
        return self._cookie.remove(bool(self.is_secure(environ)))

    def is_secure(self, environ: WSGIEnvironment) -> bool | None:
        """Return whether the site is on https; None if it is not known where it is."""
        try:
            return self._hooks.root(Request(environ)).startswith("https:")
        except StartRefused:  # the hooks have logged a callable that raised
            return None

    def _stamped(self, session: Session, secure: bool) -> str:
        return self._cookie.set(replace(session, stamp=int(time.time() * 1000)), secure)


def checked_max_age(max_age: object) -> int:
    """Return the seconds that a session lasts. Raises ConfigurationError."""
    if not is_whole(max_age) or not 0 < max_age <= MAX_AGE:
        raise ConfigurationError(
            "max_age", f"must be a whole number of seconds above 0, and at most {MAX_AGE}."
        )
    return max_age
