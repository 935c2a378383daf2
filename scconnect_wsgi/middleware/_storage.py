"""What the storage behind ``store_token`` offers to the middleware, beside being called.

``store_token``, or the object whose method it is, may have an attribute ``flow_storage``, which is
a FlowStorage. ``scconnect_wsgi.connections.Connections`` has one, so ``connections.store_token``
needs nothing else. A function of the site's own that stores through a Connections is linked by
hand: ``store_token.flow_storage = connections.flow_storage``. This room imports neither connections
nor stores.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import getattr_static
from typing import TYPE_CHECKING, Any, Protocol

from webob import Request

from scconnect_wsgi.callables import check_identify
from scconnect_wsgi.errors import ConfigurationError, StartRefused
from scconnect_wsgi.users import UserNameError, user_name

if TYPE_CHECKING:
    from scconnect_wsgi.encryption import Encryption

Identify = Callable[[Request], str | None]


class OutcomeStore(Protocol):
    """Memory that all processes of a site share.

    ``scconnect_wsgi.stores.Store`` says what the methods promise.
    """

    def claim(self, name: str, seconds: float) -> bool:
        """Claim a name for so many seconds, and return whether it was free."""

    def settle(self, name: str, outcome: str) -> None:
        """Keep a text with a claim for as long as the claim lasts."""

    def outcome(self, name: str) -> str | None:
        """Return the text that is kept with a claim, or None."""


class FlowStorage(Protocol):
    """What a storage offers. None stands for what it does not have."""

    @property
    def identify(self) -> Identify | None:
        """Whom the storage stores a token for."""

    @property
    def outcomes(self) -> OutcomeStore | None:
        """Where the outcomes of flows are kept."""

    @property
    def encryption(self) -> Encryption | None:
        """What encrypts the stored tokens."""


def storage_behind(store_token: object) -> FlowStorage | None:
    """Return the FlowStorage that is linked to ``store_token``, or None."""
    owner: Any = getattr(store_token, "__self__", store_token)
    # Not of an object that has whatever is asked of it, as a Mock in the tests of a site
    if getattr_static(owner, "flow_storage", None) is None:
        return None
    storage: FlowStorage | None = owner.flow_storage
    return storage


def agreed_identify(identify: Identify | None, storage: FlowStorage | None) -> Identify | None:
    """Return the ``identify`` that SCConnect uses, given its own and that of its storage.

    A flow is bound to the user whom SCConnect knows, and its token is stored for the user whom the
    storage knows. If the two differed, one user would get another user's account. Raises
    ConfigurationError if only the storage knows the user, and for what cannot name one.
    """
    check_identify(identify)  # first, because a proxy cannot be compared
    if storage is None or storage.identify is None or storage.identify == identify:
        return identify
    if identify is None:
        raise ConfigurationError(
            "identify",
            "is missing: the storage behind store_token has one, but without its own SCConnect "
            "cannot bind a flow to its user, and another user could finish it. Give SCConnect the "
            "same identify.",
        )
    return _both(identify, storage.identify)


def _both(first: Identify, second: Identify) -> Identify:
    """Return a callable that asks two others.

    It raises StartRefused unless both name the same user.
    """

    def identify(request: Request) -> str | None:
        user = first(request)
        stored_for = second(request)
        try:
            agreed = user_name(user) == user_name(stored_for)
        except UserNameError as error:
            raise StartRefused(f"identify must return {error}") from None
        if not agreed:
            raise StartRefused(
                "identify names another user than that of the storage behind store_token. Give "
                "both the same callable."
            )
        return user

    return identify
