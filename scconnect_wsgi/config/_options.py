"""The table of options: who gets the value of each, and how its text is read."""

from __future__ import annotations

from typing import NamedTuple

from scconnect_wsgi.config import _readers as readers
from scconnect_wsgi.config._readers import Reader
from scconnect_wsgi.urls import checked_path, checked_root, checked_url


class Option(NamedTuple):
    """An option: the object that gets it, and the reader of its text.

    ``target`` is the object: ``client``, ``site`` (SCConnect), ``flow``, ``provider`` or
    ``transport``. ``protocol`` is the only protocol that has the option, if it is not for both.
    ``argument`` is the target's name for it, if that is not the name of the option.
    """

    target: str
    read: Reader
    protocol: str = ""
    argument: str = ""


OPTIONS = {
    "protocol": Option("protocol", readers.line),
    "client_id": Option("client", readers.credential, argument="id"),
    "client_secret": Option("client", readers.credential, argument="secret"),
    "client_secret_file": Option(
        "client", readers.from_file(readers.credential), argument="secret"
    ),
    "consumer_key": Option("client", readers.credential, "oauth1", "id"),
    "consumer_secret": Option("client", readers.credential, "oauth1", "secret"),
    "consumer_secret_file": Option(
        "client", readers.from_file(readers.credential), "oauth1", "secret"
    ),
    "secret_key": Option("site", readers.keys),
    "secret_key_file": Option("site", readers.from_file(readers.keys), argument="secret_key"),
    "encryption_key": Option("site", readers.encryption, argument="encryption"),
    "encryption_key_file": Option(
        "site", readers.from_file(readers.encryption), argument="encryption"
    ),
    "store_token": Option("site", readers.dotted_name_or_hand_over),
    "base_url": Option("site", checked_root),
    "request_token_path": Option("site", checked_path),
    "access_token_path": Option("site", checked_path),
    "assets_path": Option("site", checked_path),
    "cookie_max_age": Option("site", readers.whole_number),
    "identify": Option("site", readers.dotted_name),
    "on_failure": Option("site", readers.dotted_name_or_hand_over),
    "scope": Option("flow", readers.line, "oauth2"),
    "rsa_key_file": Option("flow", readers.from_file(readers.pem), "oauth1", "rsa_key"),
    "authorize_url": Option("provider", checked_url),
    "token_url": Option("provider", checked_url, "oauth2"),
    "request_token_url": Option("provider", checked_url, "oauth1"),
    "access_token_url": Option("provider", checked_url, "oauth1"),
    "api_url": Option("provider", checked_url),
    "sign_out_url": Option("provider", checked_url, "oauth2"),
    "issuer": Option("provider", checked_url, "oauth2"),
    "token_type": Option("provider", readers.line, "oauth2"),
    "signature_method": Option("provider", readers.line, "oauth1"),
    "realm": Option("provider", readers.line, "oauth1"),
    "headers": Option("provider", readers.pairs),
    "authorize_params": Option("provider", readers.pairs),
    "request_token_params": Option("provider", readers.pairs, "oauth1"),
    "timeout": Option("transport", readers.number),
    "max_bytes": Option("transport", readers.whole_number),
    "ca_bundle": Option("transport", readers.line),
    "proxy": Option("transport", readers.line),
}

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
    "secret_key": "`scconnect secret` makes one.",
    "store_token": "give package.module:callable, or HAND_OVER.",
    "base_url": "give the public address of your site, such as https://app.example.",
    "authorize_url": _ADDRESS_HINT,
    "token_url": _ADDRESS_HINT,
    "request_token_url": _ADDRESS_HINT,
    "access_token_url": _ADDRESS_HINT,
}
