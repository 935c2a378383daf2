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

from scconnect_wsgi.config._options import CREDENTIALS, OPTIONS, variable
from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.urls import LOOPBACK, checked_root

log: logging.Logger = logging.getLogger("scconnect_wsgi")

VARIABLE = variable("sandbox")
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
# What is for the real provider only: what describes it, the way to it, a callback on another host
_REPLACED_TARGETS = ("client", "provider")
_REPLACED_OPTIONS = (
    "rsa_key_file",
    "proxy",
    "ca_bundle",
    "callback_url",
    "relay_to",
    "relay_key",
    "relay_key_file",
)


def sandbox_options(root: str, protocol: str) -> dict[str, str]:
    """Return the options with which a site connects to the sandbox at ``root``."""
    options = dict(zip(CREDENTIALS[protocol], _CLIENT, strict=True))
    for name, path in _PATHS[protocol].items():
        options[name] = root + path
    return options


def sandbox_environment(root: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for a site that is to connect to the sandbox at ``root``.

    It is ``environ`` with the sandbox in the place of the provider, in the protocol that
    ``environ`` names, and with a secret key if there is none.
    """
    protocol = "oauth1" if environ.get(variable("protocol")) == "oauth1" else "oauth2"
    made = _replaced(environ, variable, protocol, root)
    if not (made.get(variable("secret_key")) or made.get(variable("secret_key_file"))):
        made[variable("secret_key")] = secrets.token_urlsafe(32)
    made[VARIABLE] = root
    return made


def _replaced(
    given: Mapping[str, Any], spelling: Callable[[str], str], protocol: str, root: str
) -> dict[str, Any]:
    """Return ``given`` with the options of the sandbox in place of those of the provider."""
    replaced = [
        spelling(name)
        for name, option in OPTIONS.items()
        if option.target in _REPLACED_TARGETS or name in _REPLACED_OPTIONS
    ]
    made = {name: value for name, value in given.items() if name not in replaced}
    for option, text in sandbox_options(root, protocol).items():
        made[spelling(option)] = text
    return made


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
    return _replaced(given, spelling, protocol, root)
