"""What the middleware may ask of a Connections, beside having it store a token.

``SCConnect`` finds a FlowStorage through ``store_token``. It compares ``identify`` with its own,
keeps the outcomes of flows in the store, so that a callback that comes twice is answered alike in
all processes, and checks that its keys are not those that encrypt the tokens.
``scconnect_wsgi.middleware`` says what it asks; neither room imports the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scconnect_wsgi.stores import Store

if TYPE_CHECKING:
    from webob import Request

    from scconnect_wsgi.encryption import Encryption


@dataclass(frozen=True)
class FlowStorage:
    """Whom tokens are stored for, where outcomes are kept, and what encrypts; None if nothing."""

    identify: Callable[[Request], str | None] | None
    outcomes: Store | None
    encryption: Encryption | None


def flow_storage_of(
    store: Store, identify: Callable[[Request], str | None] | None = None
) -> FlowStorage:
    """Return the FlowStorage of a store. One of the site's own may have no ``encryption``."""
    return FlowStorage(identify, outcomes_in(store), getattr(store, "encryption", None))


def outcomes_in(store: Store) -> Store | None:
    """Return the store, or None for one of the site's own that was written before it could claim.

    Then each process remembers the outcomes of its own flows.
    """
    return (
        store if all(has_method(store, name) for name in ("claim", "settle", "outcome")) else None
    )


def has_method(store: Store, name: str) -> bool:
    """Return whether a store has a method, and not only the empty one of the protocol.

    A class that names Store as its base inherits that one.
    """
    method = getattr(store, name, None)
    return callable(method) and getattr(method, "__func__", None) is not getattr(Store, name)
