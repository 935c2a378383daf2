"""Build the middleware from settings."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from scconnect_wsgi.config._settings import Settings, from_environ, parse, respell
from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.middleware import SCConnect
from scconnect_wsgi.protocols.oauth1 import OAuth1
from scconnect_wsgi.protocols.oauth2 import OAuth2
from scconnect_wsgi.provider import SOUNDCLOUD, SOUNDCLOUD_2009, OAuth1Provider, OAuth2Provider
from scconnect_wsgi.transport import Transport

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from scconnect_wsgi.flow import ApiFlow

Provider = TypeVar("Provider", OAuth1Provider, OAuth2Provider)


def from_env(app: WSGIApplication, environ: Mapping[str, str] | None = None) -> SCConnect:
    """Wrap ``app`` with the middleware that the SCCONNECT_* variables describe.

    ``environ`` replaces ``os.environ``. Raises one ConfigurationError for everything that is wrong
    with the variables.
    """
    settings, problems = from_environ(os.environ if environ is None else environ)
    return build(app, settings, problems)


def filter_app_factory(
    app: WSGIApplication, global_conf: Mapping[str, str] | None, **options: str
) -> SCConnect:
    """Wrap ``app`` as a section of an ini file describes: ``paste.filter_app_factory``.

    ``global_conf`` (the section DEFAULT) is ignored. Raises one ConfigurationError for everything
    that is wrong with the section.
    """
    settings, problems = parse(options)
    return build(app, settings, problems)


def build(
    app: WSGIApplication, settings: Settings, problems: Sequence[ConfigurationError] = ()
) -> SCConnect:
    """Wrap ``app``, or raise one ConfigurationError with a line for each problem."""
    if problems:
        raise _as_one(problems)
    try:
        return SCConnect(app, _flow(settings), **settings.targets["site"])
    except ConfigurationError as error:
        respelled = respell(error, settings.name_of(error.option))
        raise respelled from respelled.__cause__


def _as_one(problems: Sequence[ConfigurationError]) -> ConfigurationError:
    """Return an error about the first option, whose message goes on with those of the others."""
    lines = [problems[0].problem]
    lines += [problem.message for problem in problems[1:]]
    first = ConfigurationError(problems[0].option, "\n".join(lines))
    first.__cause__ = problems[0].__cause__
    return first


def _flow(settings: Settings) -> ApiFlow:
    client = settings.targets["client"]
    options = dict(settings.targets["flow"])
    if settings.targets["transport"]:
        options["transport"] = Transport(**settings.targets["transport"])
    if settings.protocol == "oauth1":
        options["provider"] = _provider(settings, OAuth1Provider, SOUNDCLOUD_2009)
        return OAuth1(client["id"], client.get("secret", ""), **options)
    options["provider"] = _provider(settings, OAuth2Provider, SOUNDCLOUD)
    return OAuth2(client["id"], client["secret"], **options)


def _provider(settings: Settings, kind: type[Provider], soundcloud: Provider) -> Provider:
    fields = settings.targets["provider"]
    if "authorize_url" in fields:
        return kind(**fields)
    return replace(soundcloud, **fields)
