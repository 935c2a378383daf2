"""The options of ``Connections.wrap`` and ``login`` that become those of SCConnect."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from scconnect_wsgi.errors import ConfigurationError

if TYPE_CHECKING:
    from scconnect_wsgi.encryption import Encryption
    from scconnect_wsgi.middleware import HandOver, OnFailure, Texts


class FlowOptions(TypedDict, total=False):
    """Options of SCConnect that pass through. Its docstring says what they mean."""

    request_token_path: str
    access_token_path: str
    assets_path: str
    cookie_max_age: int
    on_failure: OnFailure | Literal[HandOver.HAND_OVER] | None
    encryption: Encryption | None
    callback_url: str | None
    relay_to: Sequence[str]
    relay_key: str | bytes | Sequence[str | bytes] | None
    texts: Texts | None


class WrapOptions(FlowOptions, total=False):
    """The options of ``wrap``, whose site has a sign-in page of its own."""

    sign_in_url: str | None


# Given elsewhere: people who come from SCConnect(...) would give them again.
GIVEN_TO_CONNECTIONS = {
    "flow": "is given once, to Connections(flow, ...).",
    "store": "is given once, to Connections(flow, store, ...).",
    "store_token": "is not an option here: Connections stores the token itself.",
    "identify": "is given once, to Connections(..., identify=...).",
    "on_event": "is given once, to Connections(..., on_event=...).",
}
# In place of a sign-in page of the site, login() has the button
NOT_FOR_LOGIN = {
    "sign_in_url": "is not for login(), where nobody signs in before they connect.",
    "identify": "is not for login(), where the accounts are the users. A site with users of its "
    "own gives it to Connections(..., identify=...), and uses wrap().",
}


def check_names(given: Iterable[str], known: Iterable[str]) -> None:
    """Raise ConfigurationError for the first option that is not among the known ones."""
    names = set(known)
    for name in given:
        if name in names:
            continue
        if name in GIVEN_TO_CONNECTIONS:
            raise ConfigurationError(name, GIVEN_TO_CONNECTIONS[name])
        close = difflib.get_close_matches(name, [*names, "secret_key", "base_url"], 1, cutoff=0.7)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise ConfigurationError(name, f"is an unknown option.{hint}")


def check_paths(options: Mapping[str, Any], taken: Iterable[str]) -> None:
    """Raise ConfigurationError if an option names an address that is answered before SCConnect."""
    addresses = set(taken)
    for option in ("request_token_path", "access_token_path", "sign_in_url"):
        path = options.get(option)
        if isinstance(path, str) and path.partition("?")[0] in addresses:
            raise ConfigurationError(
                option, f"must not be {path}, which is an address of this package."
            )
