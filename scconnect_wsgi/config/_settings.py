"""Parse options into settings, and collect everything that is wrong with them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from scconnect_wsgi.config._options import ADDRESSES, CREDENTIALS, HINTS, OPTIONS
from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.keys import is_one_of, refuse_credentials

PREFIX = "SCCONNECT_"

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
    environ: Mapping[str, str], required: Iterable[str] = ()
) -> tuple[Settings, list[ConfigurationError]]:
    """Parse the SCCONNECT_* variables, as ``parse`` does."""
    given = {name: text for name, text in environ.items() if name.startswith(PREFIX)}
    return parse(given, lambda option: PREFIX + option.upper(), required)


def parse(
    given: Mapping[str, str],
    spelling: Callable[[str], str] = str,
    required: Iterable[str] = (),
) -> tuple[Settings, list[ConfigurationError]]:
    """Return the settings in ``given``, and an error for each thing that is wrong with them.

    ``spelling`` returns how an option is written in ``given``. ``required`` are options that must
    be set although SCConnect could do without them. If there are errors, the settings hold the
    options that could be read.
    """
    protocol = given.get(spelling("protocol")) or "oauth2"
    settings = Settings(protocol, spelling)
    if protocol not in CREDENTIALS:
        return settings, [ConfigurationError(spelling("protocol"), "must be oauth2 or oauth1.")]
    options = {spelling(option): option for option in OPTIONS}
    problems = []
    for name, text in given.items():
        if name not in options:
            problems.append(_unknown(name, options))
        elif text:  # an empty option counts as unset
            problem = _read(settings, options[name], name, text)
            if problem is not None:
                problems.append(problem)
    problems += _missing(settings, required)
    problems += _check_keys(settings)
    return settings, problems


def respell(error: ConfigurationError, name: str) -> ConfigurationError:
    """Return an error about the same problem, with the user's name for the option."""
    respelled = ConfigurationError(name, error.problem)
    respelled.__cause__ = error.__cause__
    return respelled


def _unknown(name: str, known: Collection[str]) -> ConfigurationError:
    close = difflib.get_close_matches(name, known, 1, cutoff=0.85)
    if close:
        return ConfigurationError(name, f"is an unknown option. Did you mean {close[0]}?")
    return ConfigurationError(name, "is an unknown option.")


def _read(settings: Settings, key: str, name: str, text: str) -> ConfigurationError | None:
    """Read the option ``key``, which the user wrote as ``name``. Return what is wrong with it."""
    option = OPTIONS[key]
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
        settings.targets[option.target][argument] = option.read(text, key)
    except ConfigurationError as error:
        return respell(error, name)
    return None


def _missing(settings: Settings, required: Iterable[str]) -> Iterator[ConfigurationError]:
    provider = settings.targets["provider"]
    addresses = ADDRESSES[settings.protocol]
    needed = {"secret_key", "store_token", *CREDENTIALS[settings.protocol], *required}
    if str(provider.get("signature_method")).startswith("RSA"):
        needed.discard("consumer_secret")  # rsa_key_file replaces it
    if not provider.keys().isdisjoint(addresses):
        needed.update(addresses)
    for key, hint in HINTS.items():
        argument = OPTIONS[key].argument or key
        if key in needed and argument not in settings.names:
            yield ConfigurationError(settings.spelling(key), f"is not set: {hint}")


def _check_keys(settings: Settings) -> Iterator[ConfigurationError]:
    # SCConnect checks this too, but only once everything else is right.
    keys = settings.targets["site"].get("secret_key", [])
    credentials = settings.targets["client"].values()
    try:
        refuse_credentials(keys, lambda key: is_one_of(key, *credentials), "secret_key")
    except ConfigurationError as error:
        yield respell(error, settings.name_of(error.option))
