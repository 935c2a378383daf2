"""Build the middleware from settings."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from scconnect_wsgi.config._options import CONNECTIONS, FLOW, MIDDLEWARE
from scconnect_wsgi.config._settings import (
    Settings,
    from_environ,
    from_section,
    from_settings,
    respell,
)
from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.middleware import SCConnect
from scconnect_wsgi.protocols.oauth1 import OAuth1
from scconnect_wsgi.protocols.oauth2 import OAuth2
from scconnect_wsgi.provider import SOUNDCLOUD, SOUNDCLOUD_2009, OAuth1Provider, OAuth2Provider
from scconnect_wsgi.redaction import hides_locals
from scconnect_wsgi.transport import Transport

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from scconnect_wsgi.connections import Connections

Provider = TypeVar("Provider", OAuth1Provider, OAuth2Provider)


@hides_locals
def from_env(app: WSGIApplication, environ: Mapping[str, str] | None = None) -> WSGIApplication:
    """Wrap ``app`` with the middleware that the SCCONNECT_* variables describe.

    With SCCONNECT_STORE it is wrapped as by ``Connections.wrap``, and finds the Connections as
    ``environ["scconnect.connections"]``; without it, an SCConnect is returned. ``environ`` replaces
    ``os.environ``. Raises one ConfigurationError for everything that is wrong with the variables.
    """
    settings, problems = from_environ(_variables(environ))
    return build(app, settings, problems)


@hides_locals
def filter_app_factory(
    app: WSGIApplication, global_conf: Mapping[str, str] | None, **options: str
) -> WSGIApplication:
    """Wrap ``app`` as a section of an ini file describes: ``paste.filter_app_factory``.

    Nothing of ``global_conf`` (the section DEFAULT) is an option; it names the file, in which a
    section may ``use`` another one. Raises one ConfigurationError for everything that is wrong with
    the section.
    """
    settings, problems = from_section(options, global_conf)
    return build(app, settings, problems)


@hides_locals
def flow_from_env(environ: Mapping[str, str] | None = None) -> OAuth1 | OAuth2:
    """Return the flow that the SCCONNECT_* variables describe, for a site that does the rest in
    code::

        connections = Connections(flow_from_env(), store, identify=identify)

    Only the client's two values are needed; the options of the provider and the transport count as
    well. Variables for the middleware are not looked at. ``environ`` replaces ``os.environ``.
    Raises one ConfigurationError for everything that is wrong with the variables.
    """
    settings, problems = from_environ(_variables(environ), targets=FLOW)
    _raise_problems(problems)
    return _flow(settings)


@hides_locals
def flow_from_settings(settings: Mapping[str, Any], prefix: str = "scconnect.") -> OAuth1 | OAuth2:
    """Return the flow that a mapping describes, such as Pyramid's settings from an ini file::

        [app:main]
        scconnect.client_id = ...

    What ``flow_from_env`` says holds here too; names without ``prefix`` are ignored.
    """
    parsed, problems = from_settings(settings, prefix, FLOW)
    _raise_problems(problems)
    return _flow(parsed)


@hides_locals
def options_from_env(environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the options of the middleware that the SCCONNECT_* variables set, for a site that does
    the rest in code::

        application = connections.wrap(application, **options_from_env())

    They are options of SCConnect, ``wrap`` and ``login``: ``secret_key``, which is required and
    comes as a list of keys from oldest to newest, ``base_url`` and the others. The callables
    (``store_token``, ``identify``, ``on_failure``) are the code's own, and not looked at, nor are
    the variables of the flow and the store. ``environ`` replaces ``os.environ``. Raises one
    ConfigurationError for everything that is wrong with the variables.
    """
    settings, problems = from_environ(_variables(environ), targets=MIDDLEWARE)
    _raise_problems(problems)
    return _middleware_options(settings)


@hides_locals
def options_from_settings(
    settings: Mapping[str, Any], prefix: str = "scconnect."
) -> dict[str, Any]:
    """Return the options of the middleware that a mapping sets, such as Pyramid's settings.

    What ``options_from_env`` says holds here too; names without ``prefix`` are ignored.
    """
    parsed, problems = from_settings(settings, prefix, MIDDLEWARE)
    _raise_problems(problems)
    return _middleware_options(parsed)


@hides_locals
def connections_from_env(environ: Mapping[str, str] | None = None) -> Connections:
    """Return the connections that the SCCONNECT_* variables describe, for a background worker.

    The variables are those of the site, with ``store``. Those for the middleware are not looked at,
    ``identify`` neither: there are no requests. ``environ`` replaces ``os.environ``. Raises one
    ConfigurationError for everything that is wrong with the variables.
    """
    settings, problems = from_environ(_variables(environ), ["store"], CONNECTIONS)
    _raise_problems(problems)
    return _connections(settings, _flow(settings))


def _variables(environ: Mapping[str, str] | None) -> Mapping[str, str]:
    return os.environ if environ is None else environ


def build(
    app: WSGIApplication, settings: Settings, problems: Sequence[ConfigurationError] = ()
) -> WSGIApplication:
    """Wrap ``app``, or raise one ConfigurationError with a line for each problem."""
    _raise_problems(problems)
    flow = _flow(settings)
    options = {**_middleware_options(settings), **settings.targets["callables"]}
    if "store" not in settings.targets["store"]:
        with _respelled(settings):
            return SCConnect(app, flow, **options, **settings.targets["events"])
    connections = _connections(settings, flow)
    del options["identify"]  # the connections have it, and wrap() refuses a second one
    with _respelled(settings):
        return connections.wrap(app, **options)


def _connections(settings: Settings, flow: OAuth1 | OAuth2) -> Connections:
    # Imported here: a site with storage of its own needs none of it.
    from scconnect_wsgi.connections import Connections

    identify = settings.targets["callables"].get("identify")
    with _respelled(settings):
        store = settings.targets["store"]["store"]
        return Connections(flow, store, identify=identify, **settings.targets["events"])


def _middleware_options(settings: Settings) -> dict[str, Any]:
    return {**settings.targets["site"], **settings.targets["encryption"]}


@contextmanager
def _respelled(settings: Settings) -> Iterator[None]:
    """Give the errors of what is built the user's names for the options."""
    try:
        yield
    except ConfigurationError as error:
        respelled = respell(error, settings.name_of(error.option))
        raise respelled from respelled.__cause__


def _raise_problems(problems: Sequence[ConfigurationError]) -> None:
    """Raise one error for all problems, if there are any.

    It is about the first option, and its message goes on with those of the others.
    """
    if not problems:
        return
    lines = [problems[0].problem]
    lines += [problem.message for problem in problems[1:]]
    first = ConfigurationError(problems[0].option, "\n".join(lines))
    raise first from problems[0].__cause__


def _flow(settings: Settings) -> OAuth1 | OAuth2:
    client = settings.targets["client"]
    options = dict(settings.targets["flow"])
    with _respelled(settings):
        if settings.targets["transport"]:
            options["transport"] = Transport(**settings.targets["transport"])
        if settings.protocol == "oauth1":
            options["provider"] = _provider(settings, OAuth1Provider, SOUNDCLOUD_2009)
            return OAuth1(client["id"], client.get("secret", ""), **options)
        options["provider"] = _provider(settings, OAuth2Provider, SOUNDCLOUD)
        return OAuth2(client["id"], client.get("secret", ""), **options)


def _provider(settings: Settings, kind: type[Provider], soundcloud: Provider) -> Provider:
    fields = settings.targets["provider"]
    if "authorize_url" in fields:
        return kind(**fields)
    return replace(soundcloud, **fields)
