"""The options of config.py: what each is called, how its text is read, and which object gets the
value.

A reader takes the text and the option's name as the user wrote it, and raises a ConfigurationError
that names the option and never shows the text, which may be a secret.
"""

from __future__ import annotations

import pathlib
import pkgutil
import re
import shlex
from collections.abc import Callable
from typing import Any, NamedTuple

from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.keys import checked_keys
from scconnect_wsgi.middleware.scconnect import HAND_OVER
from scconnect_wsgi.urls import checked_path, checked_root, checked_url

Reader = Callable[[str, str], Any]


def _text(text: str, name: str) -> str:
    if not text.isprintable():
        raise ConfigurationError(name, "must be one line of printable characters.")
    return text


def _credential(text: str, name: str) -> str:
    if text != text.strip():
        raise ConfigurationError(name, "begins or ends with a space or a line break.")
    if not (text.isascii() and text.isprintable()):
        raise ConfigurationError(name, "holds characters that are not printable ASCII.")
    return text


def _keys(text: str, name: str) -> list[bytes]:
    """Keys from oldest to newest, with spaces or line breaks between them."""
    return checked_keys([_credential(key, name) for key in text.split()], name)


def _encryption(text: str, name: str) -> Any:
    from scconnect_wsgi.encryption import (
        Encryption,  # who does not encrypt need not have cryptography
    )

    return Encryption(_keys(text, name))


def _pairs(text: str, name: str) -> dict[str, str]:
    """``name=value`` pairs between spaces or line breaks;

    quotes keep the spaces of a value together.
    """
    try:
        pairs = [pair.partition("=") for pair in shlex.split(text)]
    except ValueError:  # a quote that is never closed; its text may be an API key
        pairs = [("", "", "")]
    fields = {key: value for key, _, value in pairs}
    if len(fields) < len(pairs) or not all(key and equals for key, equals, _ in pairs):
        raise ConfigurationError(
            name, "must be name=value pairs, each name once, with quotes around spaces."
        )
    return fields


def _number(kind: type[int | float]) -> Reader:
    def read(text: str, name: str) -> int | float:
        try:
            return kind(text)
        except ValueError:
            raise ConfigurationError(
                name, f"must be a {'whole ' if kind is int else ''}number."
            ) from None

    return read


def _callable(text: str, name: str) -> Any:
    if not re.fullmatch(r"[\w.]+:[\w.]+", text):
        raise ConfigurationError(name, "must be a dotted name, package.module:callable.")
    try:
        found = pkgutil.resolve_name(text)
    except Exception as error:  # it runs the module
        raise ConfigurationError(
            name, f"names what cannot be imported ({type(error).__name__})."
        ) from error
    if not callable(found):
        raise ConfigurationError(name, "names something that cannot be called.")
    return found


def _callable_or_hand_over(text: str, name: str) -> Any:
    return HAND_OVER if text == "HAND_OVER" else _callable(text, name)


def _file(read: Reader) -> Reader:
    """What ``read`` makes of the text of a file;

    editors end it with a line break, which is not part of it.
    """

    def read_file(path: str, name: str) -> Any:
        try:
            text = pathlib.Path(path).read_text("utf-8").rstrip("\r\n")
        except (
            OSError,
            ValueError,
        ) as error:  # ValueError: not UTF-8; its text would show the file's
            reason = getattr(error, "strerror", None) or "it is not a text file in UTF-8"
            raise ConfigurationError(name, f"names a file that cannot be read: {reason}.") from None
        if not text:
            raise ConfigurationError(name, "names an empty file.")
        return read(text, name)

    return read_file


class Option(NamedTuple):
    """One line of the table."""

    room: str  # which object gets it
    read: Reader
    protocol: str = ""  # the only one that has it
    field: str = ""  # what the room calls it, where that is not the option's own name


OPTIONS = {
    "protocol": Option("protocol", _text),
    "client_id": Option("client", _credential, field="id"),
    "client_secret": Option("client", _credential, field="secret"),
    "client_secret_file": Option("client", _file(_credential), field="secret"),
    "consumer_key": Option("client", _credential, "oauth1", "id"),
    "consumer_secret": Option("client", _credential, "oauth1", "secret"),
    "consumer_secret_file": Option("client", _file(_credential), "oauth1", "secret"),
    "secret_key": Option("site", _keys),
    "secret_key_file": Option("site", _file(_keys), field="secret_key"),
    "encryption_key": Option("site", _encryption, field="encryption"),
    "encryption_key_file": Option("site", _file(_encryption), field="encryption"),
    "store_token": Option("site", _callable_or_hand_over),
    "base_url": Option("site", checked_root),
    "request_token_path": Option("site", checked_path),
    "access_token_path": Option("site", checked_path),
    "assets_path": Option("site", checked_path),
    "cookie_max_age": Option("site", _number(int)),
    "identify": Option("site", _callable),
    "on_failure": Option("site", _callable_or_hand_over),
    "scope": Option("flow", _text, "oauth2"),
    "rsa_key_file": Option("flow", _file(lambda pem, name: pem), "oauth1", "rsa_key"),
    "authorize_url": Option("provider", checked_url),
    "token_url": Option("provider", checked_url, "oauth2"),
    "request_token_url": Option("provider", checked_url, "oauth1"),
    "access_token_url": Option("provider", checked_url, "oauth1"),
    "api_url": Option("provider", checked_url),
    "sign_out_url": Option("provider", checked_url, "oauth2"),
    "issuer": Option("provider", checked_url, "oauth2"),
    "token_type": Option("provider", _text, "oauth2"),
    "signature_method": Option("provider", _text, "oauth1"),
    "realm": Option("provider", _text, "oauth1"),
    "headers": Option("provider", _pairs),
    "authorize_params": Option("provider", _pairs),
    "request_token_params": Option("provider", _pairs, "oauth1"),
    "timeout": Option("transport", _number(float)),
    "max_bytes": Option("transport", _number(int)),
    "ca_bundle": Option("transport", _text),
    "proxy": Option("transport", _text),
}
ADDRESSES: dict[str, tuple[str, ...]] = {
    "oauth2": ("authorize_url", "token_url"),
    "oauth1": ("request_token_url", "authorize_url", "access_token_url"),
}
CREDENTIALS = {
    "oauth2": ("client_id", "client_secret"),
    "oauth1": ("consumer_key", "consumer_secret"),
}
MISSING = {  # what to do about an option that is needed and not there
    **dict.fromkeys(
        (*CREDENTIALS["oauth2"], *CREDENTIALS["oauth1"]),
        "the provider shows it on the page of your application.",
    ),
    "secret_key": "`scconnect secret` makes one.",
    "store_token": "package.module:callable, or HAND_OVER.",
    "base_url": "the public address of your site, https://app.example.",
    **dict.fromkeys(
        (*ADDRESSES["oauth2"], *ADDRESSES["oauth1"]),
        "a provider's addresses are given together, or not at all.",
    ),
}
