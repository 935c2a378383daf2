"""What can go wrong, each kind with a code that reaches the page and a sentence for its developer.

The message of an error is written by this package alone: what happened, the likely cause, what to
do. It never holds a token, a secret, or a word that somebody else sent, so it may be logged and
shown.
"""

from __future__ import annotations

from typing import ClassVar


class ConnectError(Exception):
    """Base of every error of this package.

    ``code`` is one of the words the page's callback knows, ``message`` a plain sentence without
    secrets, ``retry_after`` the number of seconds the provider asked to wait, where it said so.
    ``unheard`` is true where a request reached the provider and its answer did not arrive, so that
    nobody here knows what it did there.
    """

    code: ClassVar[str] = "provider_error"
    unheard = False

    def __init__(self, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after

    def fields(self) -> dict[str, str]:
        """The error as the query of close.html:

        ``error``, ``error_description``, ``retry_after``.
        """
        fields = {"error": self.code, "error_description": self.message}
        if self.retry_after is not None:
            fields["retry_after"] = str(self.retry_after)
        return fields


class ConfigurationError(ConnectError, ValueError):
    """The site's own settings cannot work. Raised when an object is built, never at a click."""

    code = "configuration"


class AccessDenied(ConnectError):
    """The user said no on the provider's page (RFC 6749 section 4.1.2.1)."""

    code = "access_denied"


class FlowExpired(ConnectError):
    """The browser brought no usable cookie of this flow:

    it never came, is too old, or another key signed it.
    """

    code = "flow_expired"


class FlowMismatch(ConnectError):
    """The state (OAuth 2.1) or the request token (OAuth 1.0a) that came back is not the one that
    left.
    """

    code = "flow_mismatch"


class FlowFinished(ConnectError):
    """This callback was already used: a double click, Back, or a reload."""

    code = "flow_finished"


class WrongUser(ConnectError):
    """One user of the site started the flow, another came back with it."""

    code = "wrong_user"


class ProviderUnavailable(ConnectError):
    """The provider did not answer in time, refused the connection, is overloaded, or said to wait."""

    code = "provider_unavailable"


class ProviderError(ConnectError):
    """The provider answered, and the answer is an error or cannot be understood."""

    code = "provider_error"


class RateLimited(ProviderUnavailable):
    """The provider refused a request because there were too many of them (status 429)."""


class ConnectionBusy(ProviderUnavailable):
    """Another thread or process has been refreshing the token of this connection for too long."""


class InvalidGrant(ProviderError):
    """The provider does not take this code or refresh token, or not any more (RFC 6749 section
    5.2).
    """


class StorageFailed(ConnectError):
    """The site's own ``store_token`` raised, twice."""

    code = "storage_failed"


class Undecipherable(StorageFailed):
    """What is stored was encrypted for another place, was changed, or was never encrypted."""


class KeyRemoved(Undecipherable):
    """What is stored was encrypted with a key that is no longer given."""


class StartRefused(ConnectError):
    """The flow could not be begun for a reason on the site's own side."""

    code = "start_refused"


class StoreUnavailable(StorageFailed):
    """The store of tokens cannot be reached.

    Nothing has to be restarted: the next call tries again.
    """


class ConnectionChanged(StorageFailed):
    """Somebody else wrote to a stored connection since it was loaded: load it again."""


class NotConnected(ConnectError):
    """This user has no such connection.

    Base of every error that only the user can mend, with the button.
    """

    code = "not_connected"


class ConnectionRevoked(NotConnected):
    """The provider takes the tokens no more: the user took the permission back, or it ran out."""

    code = "connection_revoked"


class RefreshLost(NotConnected):
    """The provider took the refresh token, and what it gave in exchange never reached the store."""

    code = "refresh_lost"
