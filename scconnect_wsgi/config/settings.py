"""SCConnect without code: its options from the environment, or from a section of a PasteDeploy ini
file.

    application = from_env(application)  # SCCONNECT_CLIENT_ID, SCCONNECT_SECRET_KEY, ...

    [filter:connect]
    use = egg:scconnect-wsgi
    client_id = ...

The table in options.py is all there is to know about an option.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from scconnect_wsgi.config.options import ADDRESSES, CREDENTIALS, MISSING, OPTIONS
from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.keys import is_one_of, refuse_credentials
from scconnect_wsgi.middleware.scconnect import SCConnect
from scconnect_wsgi.protocols.oauth1 import OAuth1
from scconnect_wsgi.protocols.oauth2 import OAuth2
from scconnect_wsgi.provider import SOUNDCLOUD, SOUNDCLOUD_2009, OAuth1Provider, OAuth2Provider
from scconnect_wsgi.transport.client import Transport

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

PREFIX = "SCCONNECT_"

Provider = TypeVar("Provider", OAuth1Provider, OAuth2Provider)


def from_env(app: WSGIApplication, environ: Mapping[str, str] = os.environ) -> SCConnect:
    """Wrap ``app`` as the SCCONNECT_* variables say.

    Raises ConfigurationError with all that is wrong with them.
    """
    return from_environ(environ).middleware(app)


def filter_app_factory(
    app: WSGIApplication, global_conf: Mapping[str, str] | None, **options: str
) -> SCConnect:
    """Wrap ``app`` as a section of an ini file says: PasteDeploy's ``paste.filter_app_factory``.

    ``global_conf`` (the section DEFAULT) is not looked at. Raises ConfigurationError as
    ``from_env`` does.
    """
    return Settings(options, str).middleware(app)


def from_environ(environ: Mapping[str, str], *required: str) -> Settings:
    """The settings in SCCONNECT_* variables;

    ``required`` are options that may be left out elsewhere.
    """
    given = {name: text for name, text in environ.items() if name.startswith(PREFIX)}
    return Settings(given, lambda option: PREFIX + option.upper(), *required)


class Settings:
    """Options as they were given, read by the table.

    ``complaints`` is all that is wrong with them.
    """

    def __init__(
        self, given: Mapping[str, str], named: Callable[[str], str], *required: str
    ) -> None:
        self.complaints: list[ConfigurationError] = []
        self.rooms: dict[str, dict[str, Any]] = {option.room: {} for option in OPTIONS.values()}
        self.protocol: str = given.get(named("protocol")) or "oauth2"
        self._named = named
        self._set_by: dict[tuple[str, str], str] = {}  # room and field -> the name that was given
        if self.protocol not in ADDRESSES:
            self.complaints.append(
                ConfigurationError(named("protocol"), "must be oauth2 or oauth1.")
            )
            return
        known = {named(option): option for option in OPTIONS}
        for name, text in given.items():
            try:
                if name not in known:
                    close = difflib.get_close_matches(name, known, 1, cutoff=0.85)
                    raise ConfigurationError(
                        name, f"is no option{f'; {close[0]} is one' if close else ''}."
                    )
                if text:  # an empty one is as good as none
                    self._read(name, text, known[name])
            except ConfigurationError as error:
                self.complaints.append(error)
        self._look_for({"secret_key", "store_token", *CREDENTIALS[self.protocol], *required})
        credentials, keys = self.rooms["client"].values(), self.rooms["site"].get("secret_key", [])
        try:  # SCConnect looks, too, but here it is said beside all else that is wrong
            refuse_credentials(keys, lambda key: is_one_of(key, *credentials), named("secret_key"))
        except ConfigurationError as error:
            self.complaints.append(error)

    def _read(self, name: str, text: str, key: str) -> None:
        option = OPTIONS[key]
        place = option.room, option.field or key
        if option.protocol not in ("", self.protocol):
            raise ConfigurationError(
                name, f"is for {option.protocol}; {self._named('protocol')} is {self.protocol}."
            )
        if self._set_by.setdefault(place, name) != name:
            raise ConfigurationError(
                name, f"and {self._set_by[place]} are the same setting: give one of them."
            )
        self.rooms[option.room][place[1]] = option.read(text, name)

    def _look_for(self, required: set[str]) -> None:
        rooms = self.rooms
        if str(rooms["provider"].get("signature_method")).startswith("RSA"):
            required.discard("consumer_secret")  # the key file takes its place
        if set(ADDRESSES[self.protocol]) & set(rooms["provider"]):
            required |= set(ADDRESSES[self.protocol])
        for key, hint in MISSING.items():
            if (
                key in required
                and (OPTIONS[key].room, OPTIONS[key].field or key) not in self._set_by
            ):
                self.complaints.append(ConfigurationError(self._named(key), f"is not set: {hint}"))

    def middleware(self, app: WSGIApplication) -> SCConnect:
        """Wrap ``app``. Raises one ConfigurationError, a line for each thing that is wrong."""
        if self.complaints:
            first, *others = self.complaints
            lines = [first.problem, *(other.message for other in others)]
            raise ConfigurationError(first.option, "\n".join(lines)) from first.__cause__
        try:
            return SCConnect(app, self._flow(), **self.rooms["site"])
        except ConfigurationError as error:  # it calls the options what they are called in Python
            option = "rsa_key_file" if error.option == "rsa_key" else error.option
            raise ConfigurationError(self._named(option), error.problem) from error.__cause__

    def _flow(self) -> OAuth1 | OAuth2:
        client, options = self.rooms["client"], {**self.rooms["flow"]}
        if self.rooms["transport"]:
            options["transport"] = Transport(**self.rooms["transport"])
        if self.protocol == "oauth1":
            provider1 = self._provider(OAuth1Provider, SOUNDCLOUD_2009)
            return OAuth1(client["id"], client.get("secret", ""), provider=provider1, **options)
        return OAuth2(
            client["id"],
            client["secret"],
            provider=self._provider(OAuth2Provider, SOUNDCLOUD),
            **options,
        )

    def _provider(self, kind: type[Provider], soundcloud: Provider) -> Provider:
        fields = self.rooms["provider"]
        return kind(**fields) if "authorize_url" in fields else replace(soundcloud, **fields)
