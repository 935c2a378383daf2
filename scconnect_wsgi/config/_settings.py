"""Parse options into settings, and collect everything that is wrong with them."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from scconnect_wsgi.config._chains import without_replaced
from scconnect_wsgi.config._names import ignore_foreign, nearest_option
from scconnect_wsgi.config._options import (
    ADDRESSES,
    CREDENTIALS,
    EVERYTHING,
    HINTS,
    OPTIONS,
    PREFIX,
    variable,
)
from scconnect_wsgi.config._sandbox import VARIABLE, in_sandbox
from scconnect_wsgi.config._store import store_at
from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.keys import is_one_of, refuse_credentials

# Arguments that no option is named after, such as rsa_key, and an option that sets them.
_OPTION_FOR = {option.argument: name for name, option in OPTIONS.items() if option.argument}


def _empty_targets() -> dict[str, dict[str, Any]]:
    return {option.target: {} for option in OPTIONS.values()}


@dataclass
class Settings:
    """The values of the options, sorted by the object that is to be built with them.

    ``targets`` has the arguments of each object, secrets included. ``spelling`` returns how the
    user writes an option: SCCONNECT_BASE_URL for base_url. ``names`` has, for each argument, how
    the user wrote the option that set it.
    """

    protocol: str
    spelling: Callable[[str], str]
    targets: dict[str, dict[str, Any]] = field(default_factory=_empty_targets, repr=False)
    names: dict[str, str] = field(default_factory=dict)

    def name_of(self, argument: str) -> str:
        """Return the user's name for an argument; if no option sets it, the argument's own."""
        if argument in self.names:
            return self.names[argument]
        if argument in OPTIONS:
            return self.spelling(argument)
        if argument in _OPTION_FOR:
            return self.spelling(_OPTION_FOR[argument])
        return argument


def from_environ(
    environ: Mapping[str, str],
    required: Iterable[str] = (),
    targets: Collection[str] = EVERYTHING,
) -> tuple[Settings, list[ConfigurationError]]:
    """Parse the SCCONNECT_* variables, as ``parse`` does.

    A variable whose name is not near to an option's is somebody else's, and ignored.
    """
    given = with_prefix(environ, PREFIX)
    sandbox = given.pop(VARIABLE, "")
    ours = ignore_foreign(given, PREFIX)
    return parse(ours, variable, required, targets, sandbox)


def from_settings(
    settings: Mapping[str, Any], prefix: str, targets: Collection[str]
) -> tuple[Settings, list[ConfigurationError]]:
    """Parse the entries of a mapping that begin with ``prefix``, as ``parse`` does."""
    given = with_prefix(settings, prefix)
    sandbox = os.environ.get(VARIABLE, "")
    return parse(given, lambda option: prefix + option, (), targets, sandbox)


def with_prefix(given: Mapping[Any, Any], prefix: str) -> dict[str, Any]:
    """Return the entries whose names begin with ``prefix``; other names need not be strings."""
    return {
        name: value
        for name, value in given.items()
        if isinstance(name, str) and name.startswith(prefix)
    }


def from_section(
    options: Mapping[str, str],
    global_conf: Mapping[str, str] | None = None,
    required: Iterable[str] = (),
) -> tuple[Settings, list[ConfigurationError]]:
    """Parse the options that PasteDeploy gives to a filter, as ``parse`` does.

    ``global_conf`` is PasteDeploy's, too. An option of a section replaces those that mean the same
    in the sections that it uses, such as secret_key a secret_key_file.
    """
    nearest = without_replaced(options, global_conf or {})
    return parse(nearest, required=required, sandbox=os.environ.get(VARIABLE, ""))


def parse(
    given: Mapping[str, Any],
    spelling: Callable[[str], str] = str,
    required: Iterable[str] = (),
    targets: Collection[str] = EVERYTHING,
    sandbox: str = "",
) -> tuple[Settings, list[ConfigurationError]]:
    """Return the settings in ``given``, and an error for each thing that is wrong with them.

    ``spelling`` returns how an option is written in ``given``. ``required`` are options that must
    be set although SCConnect could do without them. Options of other objects than ``targets`` are
    not looked at. ``sandbox`` is the address of a sandbox to connect to in place of the provider,
    if there is one. If there are errors, the settings hold the options that could be read.
    """
    protocol = given.get(spelling("protocol")) or "oauth2"
    if not isinstance(protocol, str) or protocol not in CREDENTIALS:
        return Settings("oauth2", spelling), [_unknown_protocol(protocol, spelling("protocol"))]
    settings = Settings(protocol, spelling)
    if sandbox:
        try:
            given = in_sandbox(given, spelling, protocol, sandbox)
        except ConfigurationError as error:
            return settings, [error]
    options = {spelling(option): option for option in OPTIONS}
    prefix = spelling("")
    problems = []
    for name, text in given.items():
        key = options.get(name) or nearest_option(name.removeprefix(prefix))
        if key is not None and OPTIONS[key].target not in targets:
            continue
        if name in options:
            problem = _read(settings, options[name], name, text)
        else:
            problem = _unknown(settings, name, key)
        if problem is not None:
            problems.append(problem)
    problems += _missing(settings, required, targets)
    problems += _check_keys(settings)
    problems += _make_store(settings)
    return settings, problems


def respell(error: ConfigurationError, name: str) -> ConfigurationError:
    """Return an error about the same problem, with the user's name for the option."""
    respelled = ConfigurationError(name, error.problem)
    respelled.__cause__ = error.__cause__
    return respelled


def _unknown_protocol(protocol: Any, name: str) -> ConfigurationError:
    if not isinstance(protocol, str):
        return _not_a_text(protocol, name)
    try:
        OPTIONS["protocol"].refuse(protocol, name)
    except ConfigurationError as error:
        return error
    return ConfigurationError(name, "must be oauth2 or oauth1.")


def _unknown(settings: Settings, name: str, near: str | None) -> ConfigurationError:
    problem = "is an unknown option."
    if near is not None:
        problem += f" Did you mean {settings.spelling(near)}?"
    return ConfigurationError(name, problem)


def _read(settings: Settings, key: str, name: str, text: Any) -> ConfigurationError | None:
    """Read the option ``key``, which the user wrote as ``name``. Return what is wrong with it."""
    option = OPTIONS[key]
    if not isinstance(text, str):
        settings.names[option.argument or key] = name  # it is wrong, but not missing
        return _not_a_text(text, name)
    if not text:  # an empty option counts as unset
        return None
    if option.protocol not in ("", settings.protocol):
        protocol = settings.spelling("protocol")
        problem = f"is for {option.protocol}; {protocol} is {settings.protocol}."
        return ConfigurationError(name, problem)
    argument = option.argument or key
    if argument in settings.names:
        earlier = settings.names[argument]
        problem = f"and {earlier} are the same setting: give only one of them."
        return ConfigurationError(name, problem)
    settings.names[argument] = name
    try:
        option.refuse(text, key)
        settings.targets[option.target][argument] = option.read(text, key)
    except ConfigurationError as error:
        return respell(error, name)
    return None


def _not_a_text(value: object, name: str) -> ConfigurationError:
    problem = f"must be a text, as an ini file gives it, not {type(value).__name__}."
    return ConfigurationError(name, problem)


def _missing(
    settings: Settings, required: Iterable[str], targets: Collection[str]
) -> Iterator[ConfigurationError]:
    provider = settings.targets["provider"]
    addresses = ADDRESSES[settings.protocol]
    storage = "identify" if "url" in settings.names else "store_token"
    needed = {"secret_key", storage, *CREDENTIALS[settings.protocol], *required}
    if str(provider.get("signature_method")).startswith("RSA"):
        needed.discard("consumer_secret")  # rsa_key_file replaces it
        needed.add("rsa_key_file")
    if provider.get("token_endpoint_auth") == "none":
        needed.discard("client_secret")  # a public client has none
    if not provider.keys().isdisjoint(addresses):
        needed.update(addresses)
        if "url" in settings.names:
            needed.add("api_url")
    for key, hint in HINTS.items():
        argument = OPTIONS[key].argument or key
        is_needed = key in needed and OPTIONS[key].target in targets
        if is_needed and argument not in settings.names:
            yield ConfigurationError(settings.spelling(key), f"is not set: {hint}")


def _check_keys(settings: Settings) -> Iterator[ConfigurationError]:
    # SCConnect checks this too, but only once everything else is right.
    site = settings.targets["site"]
    encryption = settings.targets["encryption"].get("encryption")
    credentials = settings.targets["client"].values()

    def is_credential(key: bytes) -> bool:
        return is_one_of(key, *credentials)

    for option in ("secret_key", "relay_key"):
        keys = [key.encode() for key in site.get(option, [])]
        try:
            refuse_credentials(keys, is_credential, option)
        except ConfigurationError as error:
            yield respell(error, settings.name_of(error.option))
    try:
        if encryption is not None:
            encryption.refuse_credentials(is_credential, "encryption")
    except ConfigurationError as error:
        yield respell(error, settings.name_of(error.option))


def _make_store(settings: Settings) -> Iterator[ConfigurationError]:
    """Make the store that the settings name, which checks its URL."""
    if "url" not in settings.names:
        return
    if "store_token" in settings.names:
        beside = settings.names["store_token"]
        problem = f"and {beside} exclude each other: give only one of them."
        yield ConfigurationError(settings.names["url"], problem)
    store = settings.targets["store"]
    if "url" not in store:  # it could not be read
        return
    try:
        store["store"] = store_at(store["url"], settings.targets["encryption"].get("encryption"))
    except ConfigurationError as error:
        yield respell(error, settings.names["url"])
