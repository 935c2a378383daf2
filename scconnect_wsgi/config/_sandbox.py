"""Put the sandbox in the place of the provider that a configuration names.

`scconnect sandbox -- COMMAND` sets SCCONNECT_SANDBOX to the sandbox's address. So a site that is
configured by an ini file, or by an .env file that it reads itself, runs against the sandbox as it
is.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from scconnect_wsgi.config._options import OPTIONS
from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.urls import LOOPBACK, checked_root

log: logging.Logger = logging.getLogger("scconnect_wsgi")

VARIABLE = "SCCONNECT_SANDBOX"
_CREDENTIALS = {
    "oauth2": ("client_id", "client_secret"),
    "oauth1": ("consumer_key", "consumer_secret"),
}
_CLIENT = ("sandbox-client", "sandbox-secret")
_PATHS = {
    "oauth2": {
        "authorize_url": "/authorize",
        "token_url": "/oauth/token",
        "api_url": "",
        "sign_out_url": "/sign-out",
    },
    "oauth1": {
        "request_token_url": "/oauth/request_token",
        "authorize_url": "/oauth/authorize",
        "access_token_url": "/oauth/access_token",
        "api_url": "",
    },
}
# What else is for the real provider only: the way to it, and a callback on another host
_OTHERS = {"rsa_key_file", "proxy", "ca_bundle", "callback_url", "relay_to"}
_OTHERS |= {"relay_key", "relay_key_file"}


def sandbox_options(root: str, protocol: str) -> dict[str, str]:
    """Return the options with which a site connects to the sandbox at ``root``."""
    credentials = zip(_CREDENTIALS[protocol], _CLIENT, strict=True)
    addresses = {name: root + path for name, path in _PATHS[protocol].items()}
    return {**dict(credentials), **addresses}


def sandbox_environment(root: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for a site that is to connect to the sandbox at ``root``.

    It is ``environ`` with the sandbox in the place of the provider, in the protocol that
    ``environ`` names, and with a secret key if there is none.
    """
    protocol = environ.get(_variable("protocol"), "")
    options = sandbox_options(root, "oauth1" if protocol == "oauth1" else "oauth2")
    replaced = {_variable(option) for option in (*OPTIONS, *_OTHERS) if is_of_the_provider(option)}
    made = {name: value for name, value in environ.items() if name not in replaced}
    if not (made.get(_variable("secret_key")) or made.get(_variable("secret_key_file"))):
        made[_variable("secret_key")] = secrets.token_urlsafe(32)
    made.update({_variable(option): text for option, text in options.items()})
    made[VARIABLE] = root
    return made


def _variable(option: str) -> str:
    return f"SCCONNECT_{option.upper()}"


def is_of_the_provider(option: str) -> bool:
    """Return whether an option is about the provider, and so not for the sandbox."""
    known = OPTIONS.get(option)
    return option in _OTHERS or (known is not None and known.target in ("client", "provider"))


def in_sandbox(
    given: Mapping[str, Any], spelling: Callable[[str], str], protocol: str, root: str
) -> dict[str, Any]:
    """Return the options in ``given`` with the sandbox at ``root`` in the provider's place.

    Raises ConfigurationError for an address that no sandbox can have.
    """
    try:
        root = checked_root(root, VARIABLE)
    except ConfigurationError:
        root = ""
    if urlsplit(root).hostname not in LOOPBACK:
        raise ConfigurationError(
            VARIABLE,
            "must be the address of a sandbox on this machine, such as http://127.0.0.1:8001. "
            "`scconnect sandbox -- COMMAND` sets it; nothing else should.",
        )
    log.info("%s is set: the sandbox at %s is in the place of the provider.", VARIABLE, root)
    replaced = {spelling(option) for option in (*OPTIONS, *_OTHERS) if is_of_the_provider(option)}
    kept = {name: value for name, value in given.items() if name not in replaced}
    options = sandbox_options(root, protocol)
    return {**kept, **{spelling(option): text for option, text in options.items()}}
