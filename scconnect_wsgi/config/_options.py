"""The table of options: who gets the value of each, and how its text is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from scconnect_wsgi.config import _readers as readers
from scconnect_wsgi.config._readers import Reader
from scconnect_wsgi.urls import (
    checked_endpoint,
    checked_page,
    checked_path,
    checked_root,
    checked_url,
)

PREFIX = "SCCONNECT_"


def variable(option: str) -> str:
    """Return how an option is called in the environment."""
    return PREFIX + option.upper()


class Option(NamedTuple):
    """An option: the object that gets it, and the reader of its text.

    ``target`` is the object: ``client``, ``site`` (SCConnect), ``callables`` (SCConnect as well,
    but a site that is wired in code gives them there), ``store``, ``encryption``, ``flow``,
    ``provider``, ``transport`` or ``events`` (SCConnect, or the Connections of a store).
    ``protocol`` is the only protocol that has the option, if it is not for both. ``argument`` is
    the target's name for it, if that is not the name of the option. ``refuse`` raises an error for
    quotes and comments that do not belong to the text.
    """

    target: str
    read: Reader
    protocol: str = ""
    argument: str = ""
    refuse: Callable[[str, str], None] = readers.refuse_quotes_and_comments


def _secret(target: str, read: Reader, protocol: str = "", argument: str = "") -> Option:
    """Return an option whose text is a secret, which may hold a space and a ``#``."""
    return Option(target, read, protocol, argument, readers.refuse_quotes)


def _pairs(target: str, protocol: str = "") -> Option:
    """Return an option of ``name=value`` pairs, which may hold quotes."""
    return Option(target, readers.pairs, protocol, refuse=readers.refuse_quotes_around_pairs)


OPTIONS = {
    "protocol": Option("protocol", readers.line),
    "client_id": Option("client", readers.credential, argument="id"),
    "client_secret": _secret("client", readers.credential, argument="secret"),
    "client_secret_file": Option(
        "client", readers.from_file(readers.credential), argument="secret"
    ),
    "consumer_key": Option("client", readers.credential, "oauth1", "id"),
    "consumer_secret": _secret("client", readers.credential, "oauth1", "secret"),
    "consumer_secret_file": Option(
        "client", readers.from_file(readers.credential), "oauth1", "secret"
    ),
    "secret_key": _secret("site", readers.keys),
    "secret_key_file": Option("site", readers.from_file(readers.keys), argument="secret_key"),
    "encryption_key": _secret("encryption", readers.encryption, argument="encryption"),
    "encryption_key_file": Option(
        "encryption", readers.from_file(readers.encryption), argument="encryption"
    ),
    "store_token": Option("callables", readers.dotted_name_or_hand_over),
    "store": Option("store", readers.store_url, argument="url"),
    "store_file": Option("store", readers.from_file(readers.store_url), argument="url"),
    "base_url": Option("site", checked_root),
    "request_token_path": Option("site", checked_endpoint),
    "access_token_path": Option("site", checked_endpoint),
    "assets_path": Option("site", checked_path),
    "cookie_max_age": Option("site", readers.whole_number),
    "identify": Option("callables", readers.dotted_name),
    "sign_in_url": Option("site", checked_page),
    "on_failure": Option("callables", readers.dotted_name_or_hand_over),
    "on_event": Option("events", readers.dotted_name),
    "callback_url": Option("site", checked_url),
    "relay_to": Option("site", readers.words),
    "relay_key": _secret("site", readers.keys),
    "relay_key_file": Option("site", readers.from_file(readers.keys), argument="relay_key"),
    "texts_file": Option("site", readers.from_file(readers.json_object), argument="texts"),
    "scope": Option("flow", readers.line, "oauth2"),
    "rsa_key_file": Option("flow", readers.from_file(readers.pem), "oauth1", "rsa_key"),
    "authorize_url": Option("provider", checked_url),
    "token_url": Option("provider", checked_url, "oauth2"),
    "request_token_url": Option("provider", checked_url, "oauth1"),
    "access_token_url": Option("provider", checked_url, "oauth1"),
    "api_url": Option("provider", checked_url),
    "account_path": Option("provider", readers.or_none(readers.line, "")),
    "provider_name": Option("provider", readers.line, argument="name"),
    "sign_out_url": Option("provider", checked_url, "oauth2"),
    "issuer": Option("provider", checked_url, "oauth2"),
    "token_type": Option("provider", readers.line, "oauth2"),
    "token_endpoint_auth": Option("provider", readers.line, "oauth2"),
    "signature_method": Option("provider", readers.line, "oauth1"),
    "realm": Option("provider", readers.line, "oauth1"),
    "headers": _pairs("provider"),
    "authorize_params": Option(
        "provider",
        readers.or_none(readers.pairs, {}),
        refuse=readers.refuse_quotes_around_pairs,
    ),
    "request_token_params": _pairs("provider", "oauth1"),
    "timeout": Option("transport", readers.number),
    "max_bytes": Option("transport", readers.whole_number),
    "ca_bundle": Option("transport", readers.line),
    "proxy": Option("transport", readers.line),
}

# What a site takes from the configuration that wires the middleware by hand: the objects that a
# flow is made of, and the options of SCConnect that are not in its code.
FLOW = frozenset({"protocol", "client", "flow", "provider", "transport"})
MIDDLEWARE = frozenset({"site", "encryption"})
CONNECTIONS = FLOW | {"store", "encryption", "events"}
EVERYTHING = frozenset(option.target for option in OPTIONS.values())

# By protocol: the options that are always needed, and those that are needed together.
CREDENTIALS = {
    "oauth2": ("client_id", "client_secret"),
    "oauth1": ("consumer_key", "consumer_secret"),
}
ADDRESSES = {
    "oauth2": ("authorize_url", "token_url"),
    "oauth1": ("request_token_url", "authorize_url", "access_token_url"),
}

# What to do about a missing option, in the order in which they are reported.
_CREDENTIAL_HINT = "the provider shows it on the page of your application."
_ADDRESS_HINT = "give all addresses of a provider, or none."
HINTS = {
    "client_id": _CREDENTIAL_HINT,
    "client_secret": _CREDENTIAL_HINT,
    "consumer_key": _CREDENTIAL_HINT,
    "consumer_secret": _CREDENTIAL_HINT,
    "rsa_key_file": "it is required with signature_method RSA-SHA1: the consumer's private key, as "
    "a PEM file.",
    "secret_key": "`scconnect secret` makes one.",
    "store_token": "give package.module:callable or HAND_OVER; or, in its place, the option store "
    "with the URL of a database, such as sqlite:///connections.sqlite3.",
    "store": "give the URL of a database, such as sqlite:///connections.sqlite3.",
    "identify": "with store, package.module:callable must say whose connection it is.",
    "base_url": "give the public address of your site, such as https://app.example.",
    "authorize_url": _ADDRESS_HINT,
    "token_url": _ADDRESS_HINT,
    "api_url": "with store it is needed: tokens are sent to this address only.",
    "request_token_url": _ADDRESS_HINT,
    "access_token_url": _ADDRESS_HINT,
}


def alternatives() -> list[set[str]]:
    """Return groups of options that say the same in several ways: a site gives one of each."""
    groups: dict[tuple[str, str], set[str]] = {}
    for name, option in OPTIONS.items():
        groups.setdefault((option.target, option.argument or name), set()).add(name)
    groups["store", "url"].add("store_token")
    return [group for group in groups.values() if len(group) > 1]
