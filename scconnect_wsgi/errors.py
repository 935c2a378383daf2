"""The errors of this package, each with a code for the page and a message for the developer.

A message says what happened, the likely cause and what to do. This package writes all of it: it
never holds a token, a secret or text that somebody else sent, so it is safe to log and to show.
"""

from __future__ import annotations

import secrets
from typing import Any, ClassVar

from scconnect_wsgi.documentation import entry


def new_error_id() -> str:
    """Return a new id for a failure: eight hexadecimal characters."""
    return secrets.token_hex(4)


class ConnectError(Exception):
    """Base class of every error of this package.

    ``code`` is the word that the page's callback receives, ``message`` a plain sentence without
    secrets, ``error_id`` the word by which this failure is found in the log, if it is logged: what
    an API call raises is not, unless a refresh failed. ``retry_after`` is the number of seconds to
    wait before the provider is asked again, if that is known.
    ``outcome_unknown`` is true if the request reached the provider but no complete answer came
    back, so the provider may or may not have acted on it. ``next_href`` is the address of the page
    at which a collection broke off, from which ``session.collection(error.next_href)`` goes on.
    A traceback ends with ``documentation``, the address of what to do about it.
    """

    code: ClassVar[str] = "provider_error"

    def __init__(
        self, message: str, *, retry_after: int | None = None, outcome_unknown: bool = False
    ) -> None:
        super().__init__(message)
        self.message = message
        self.error_id: str = new_error_id()
        self.retry_after = retry_after
        self.outcome_unknown = outcome_unknown
        self.next_href: str | None = None
        self.add_note(f"See {self.documentation}")

    def __setstate__(self, state: dict[str, Any] | None) -> None:
        """Take the attributes of an error that is copied; each copy has its own list of notes."""
        super().__setstate__(state)
        self.__notes__: list[str] = list(self.__notes__)

    @property
    def documentation(self) -> str:
        """The address of the entry about this code: likely causes, and what to do."""
        return entry(self.code)

    def fields(self) -> dict[str, str]:
        """Return the error as query fields for close.html.

        These are ``error``, ``error_description``, ``error_id`` and, if it is known,
        ``retry_after``.
        """
        fields = {
            "error": self.code,
            "error_description": self.message,
            "error_id": self.error_id,
        }
        if self.retry_after is not None:
            fields["retry_after"] = str(self.retry_after)
        return fields


class ConfigurationError(ConnectError, ValueError):
    """A setting of the site cannot work. Raised when an object is built, never at a click.

    ``option`` is the name of the setting, ``problem`` what is wrong with it. Together they are the
    message: "store_token" and "must be a callable, or HAND_OVER.".
    """

    code = "configuration"

    def __init__(self, option: str, problem: str) -> None:
        super().__init__(f"{option} {problem}")
        self.option = option
        self.problem = problem

    def __reduce__(self) -> tuple[type[ConfigurationError], tuple[str, str], dict[str, Any]]:
        # Exception would pickle the message as the only argument.
        return type(self), (self.option, self.problem), self.__dict__


class AccessDenied(ConnectError):
    """The user refused on the provider's page (RFC 6749 section 4.1.2.1)."""

    code = "access_denied"


class FlowExpired(ConnectError):
    """The browser sent no usable cookie for this flow.

    The cookie is missing or too old, or it was signed with another key.
    """

    code = "flow_expired"


class FlowMismatch(ConnectError):
    """The callback's state (OAuth 2.1) or request token (OAuth 1.0a) is not the one we sent."""

    code = "flow_mismatch"


class FlowFinished(ConnectError):
    """This callback was already used: a double click, Back, or a reload."""

    code = "flow_finished"


class WrongUser(ConnectError):
    """One user of the site started the flow, another came back with it."""

    code = "wrong_user"


class NotSignedIn(ConnectError):
    """Nobody is signed in on the site, and a connection needs a user to belong to."""

    code = "not_signed_in"


class ProviderUnavailable(ConnectError):
    """The provider timed out, refused the connection, is overloaded, or asked for a pause."""

    code = "provider_unavailable"


class ProviderError(ConnectError):
    """The provider answered with an error, or with something that cannot be understood."""

    code = "provider_error"


class RateLimited(ProviderUnavailable):
    """The provider refused the request because of too many requests (status 429)."""


class ConnectionBusy(ProviderUnavailable):
    """Another thread or process is taking too long to refresh the token of this connection."""


class InvalidGrant(ProviderError):
    """The provider does not accept, or no longer accepts, this code or refresh token.

    The error ``invalid_grant`` of RFC 6749 section 5.2.
    """


class UnclearRefusal(ProviderError):
    """The provider refused a request for a token without saying what it refused.

    It may have been the refresh token: not every provider says ``invalid_grant`` then.
    """


class StorageFailed(ConnectError):
    """A token could not be stored, or read again.

    ``store_token`` raised twice or returned something that cannot be used, or a store refused.
    """

    code = "storage_failed"


class Undecipherable(StorageFailed):
    """The stored data was encrypted for another purpose, was altered, or was never encrypted.

    ``user`` is the user of the site to whom it belongs, if the store can tell: they may still
    disconnect it.
    """

    user: str = ""


class KeyRemoved(Undecipherable):
    """The stored data was encrypted with a key that is no longer configured."""


class UnusableFile(ConnectError):
    """A file for an upload cannot be read, or changed its length while it was sent.

    Nothing was uploaded: the API never got a complete request.
    """

    code = "unusable_file"


class StartRefused(ConnectError):
    """The flow could not start, for a reason on the site's own side."""

    code = "start_refused"


class StoreUnavailable(StorageFailed):
    """The token store cannot be reached.

    The next call tries again; nothing needs to be restarted.
    """


class ConnectionChanged(StorageFailed):
    """The stored connection was changed after it was loaded: load it again."""


class NotConnected(ConnectError):
    """This user has no such connection.

    Base class of the errors that only the user can resolve, by connecting again with the button.
    """

    code = "not_connected"


class ConnectionRevoked(NotConnected):
    """The provider no longer accepts the tokens: the permission was revoked or has expired."""

    code = "connection_revoked"


class RefreshLost(NotConnected):
    """The provider used up the refresh token, but the new tokens never reached the store."""

    code = "refresh_lost"
