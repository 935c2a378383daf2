"""What is checked: an ini file, an application in a module, or the environment."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from scconnect_wsgi.check._arguments import Target
from scconnect_wsgi.check._ini import UnusableIniError, ini_reason, nothing_of_ours, our_section
from scconnect_wsgi.check._reason import place_of, reason_of
from scconnect_wsgi.check._report import Reporter
from scconnect_wsgi.check._wrapped import sites_in
from scconnect_wsgi.config import build, filter_app_factory, from_environ, from_section
from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.middleware import SCConnect, describe
from scconnect_wsgi.urls import sandbox_problem

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from scconnect_wsgi.config import Settings

    Parsed = tuple[Settings, list[ConfigurationError]]

CONFIGURATION = "configuration"
BASE_URL_HINT = "give the public address of your site, such as https://app.example."


def load_sites(target: Target, report: Reporter, *, is_local: bool = False) -> list[SCConnect]:
    """Build what a target describes, report what is wrong with it, and return its SCConnects.

    The list is empty if something is wrong. ``is_local`` says that the site runs on a loopback
    host, where ``base_url`` may be left out.
    """
    required = [] if is_local else ["base_url"]
    # Servers look for the site's modules in the current directory, and so does `python -m`. The
    # `scconnect` script does not.
    sys.path.insert(0, os.getcwd())
    try:
        if target.file:
            return _from_ini(target, required, report)
        if target.module:
            return _from_module(target, required, report)
        return _from_environment(required, report)
    except SystemExit as error:  # of a module that store_token or identify names
        report.find(
            "import-failed",
            "A module that the settings name cannot be loaded: "
            f"{reason_of(error)}{place_of(error)}",
            mend="Keep that out of what is run when the module is imported.",
        )
    return []


def _from_environment(required: list[str], report: Reporter) -> list[SCConnect]:
    given = dict(os.environ)
    names = ("SCCONNECT_STORE", "SCCONNECT_STORE_FILE", "SCCONNECT_STORE_TOKEN")
    if not any(given.get(name) for name in names):
        # A site that calls SCConnect itself, with these variables, gives store_token in its code.
        given = {**given, "SCCONNECT_STORE_TOKEN": "HAND_OVER"}
        report.note(
            "Neither SCCONNECT_STORE nor SCCONNECT_STORE_TOKEN is set: from_env() needs one of "
            "them. A site that is wired in code has its store there: name it, as in `scconnect "
            "check mysite.wsgi:application`."
        )
    return _from_settings(from_environ(given, required), report)


def _from_settings(parsed: Parsed, report: Reporter) -> list[SCConnect]:
    settings, problems = parsed
    authorize_url = settings.targets["provider"].get("authorize_url", "")
    problem = sandbox_problem(settings.targets["site"].get("base_url", ""), authorize_url)
    if problem:
        problems.append(ConfigurationError(settings.name_of("base_url"), problem))
    try:
        sites = sites_in(build(_no_application, settings, problems))
    except ConfigurationError as error:
        _report_configuration(error, report)
        return []
    for site in sites:
        _report_placeholders(site, settings.name_of, report)
    return sites


def _no_application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    raise NotImplementedError


def _report_configuration(error: ConfigurationError, report: Reporter) -> None:
    """Report each problem of a ConfigurationError, which has a line for each."""
    for line in error.message.splitlines():
        report.find(CONFIGURATION, line)


def _from_ini(target: Target, required: list[str], report: Reporter) -> list[SCConnect]:
    try:
        from paste.deploy import loadwsgi
    except ImportError:
        report.find(
            "ini-unreadable",
            f"{target.file} cannot be read, because PasteDeploy is not installed.",
            mend="pip install 'scconnect-wsgi[paste]'",
        )
        return []
    uri = f"config:{os.path.abspath(target.file)}"
    try:
        section = our_section(target)
        if not section:
            return _from_application(loadwsgi.loadapp(uri), target, required, report)
        context = loadwsgi.loadcontext(loadwsgi.FILTER, uri, name=section)
    except UnusableIniError as unusable:
        report.find(unusable.code, str(unusable), mend=unusable.mend)
        return []
    except ConfigurationError as error:
        _report_configuration(error, report)
        return []
    except (Exception, SystemExit) as error:  # of the parser, of PasteDeploy, of the site's code
        report.find(
            "ini-unreadable",
            f"{target.file} cannot be loaded: {ini_reason(error)}",
            mend="Correct the file; pserve and gunicorn --paste would stop there as well.",
        )
        return []
    if context.object is not filter_app_factory:
        report.find(
            "ini-section",
            f"The section [filter:{section}] of {target.file} is not one of scconnect-wsgi.",
            mend="Name the section that has `use = egg:scconnect-wsgi`, as FILE.ini#NAME.",
        )
        return []
    return _from_settings(from_section(context.local_conf, context.global_conf, required), report)


def _from_application(
    application: object, target: Target, required: list[str], report: Reporter
) -> list[SCConnect]:
    """Return the SCConnects of [app:main], for a site that calls it in its code."""
    sites = sites_in(application)
    if not sites:
        raise nothing_of_ours(target.file)
    for site in sites:
        _check_built(site, required, report)
    return sites


def _from_module(target: Target, required: list[str], report: Reporter) -> list[SCConnect]:
    what = f"{target.module}:{target.name}"
    try:
        module = importlib.import_module(target.module)
        application: Any = module
        for name in target.name.split("."):
            application = getattr(application, name)
        if target.is_called:
            application = application()
    except ConfigurationError as error:
        _report_configuration(error, report)
        return []
    except BaseException as error:  # importing runs the site's code, and so anything may be raised
        _report_import(error, target, report)
        return []
    sites = sites_in(application)
    if not sites:
        _report_unwrapped(what, _listed(target.module, _attributes_with_sites(module)), report)
    for site in sites:
        _check_built(site, required, report)
    return sites


def _report_unwrapped(what: str, others: str, report: Reporter) -> None:
    cause = "The application is not wrapped yet, or it is wrapped elsewhere."
    if others:
        cause = f"The application that is wrapped is another one: {others}."
    report.find(
        "no-site",
        f"{what} has no SCConnect in it, so the site has no Connect button that works.",
        cause=cause,
        mend="Give the server and this command the application that SCConnect returns.",
    )


def _report_placeholders(site: SCConnect, spelling: Callable[[str], str], report: Reporter) -> None:
    """Report credentials that somebody copied from a manual, and did not replace."""
    placeholders = getattr(describe(site).flow, "placeholders", list)
    for name in placeholders():
        report.find(
            CONFIGURATION,
            f"{spelling(name)} is still a placeholder: give the one that the provider shows on the "
            "page of your application.",
        )


def _check_built(site: SCConnect, required: list[str], report: Reporter) -> None:
    """Report what a finished site lacks, as it is reported of options."""
    _report_placeholders(site, str, report)
    described = describe(site)
    if described.base_url is None:
        if required and not described.base_url_is_called:
            _report_no_base_url(report)
        return
    provider = getattr(described.flow, "provider", None)
    problem = sandbox_problem(described.base_url, getattr(provider, "authorize_url", ""))
    if problem:
        report.find(CONFIGURATION, f"base_url {problem}")


def _report_no_base_url(report: Reporter) -> None:
    cause = mend = ""
    if os.environ.get("SCCONNECT_BASE_URL"):
        cause = "SCCONNECT_BASE_URL is set, but this site does not read it."
        mend = "Pass **options_from_env() to SCConnect, wrap or login: it reads that variable."
    report.find(CONFIGURATION, f"base_url is not set: {BASE_URL_HINT}", cause=cause, mend=mend)


def _attributes_with_sites(module: object) -> list[str]:
    """Return the names in a module that lead to an SCConnect."""
    return [
        name
        for name, value in vars(module).items()
        if callable(value) and not issubclass(type(value), type) and sites_in(value)
    ]


def _listed(module: str, names: Iterable[str]) -> str:
    return ", ".join(f"{module}:{name}" for name in names)


def _report_import(error: BaseException, target: Target, report: Reporter) -> None:
    if isinstance(error, ModuleNotFoundError) and _is_part(error.name or "", target.module):
        report.find(
            "no-module",
            f"There is no module {target.module}: Python does not find {error.name}.",
            mend="Start the command in the directory that the server is started in, in the same "
            "virtual environment, and write the module as the server is given it.",
        )
        return
    if isinstance(error, AttributeError) and error.obj is sys.modules.get(target.module):
        others = _listed(target.module, _attributes_with_sites(error.obj))
        report.find(
            "no-module",
            f"The module {target.module} has nothing that is called {error.name}."
            + (f" It has {others}." if others else ""),
            mend="Give the name of the WSGI application in it.",
        )
        return
    report.find(
        "import-failed",
        f"{target.module}:{target.name} cannot be loaded: {reason_of(error)}{place_of(error)}",
        mend=f"`python -c '{_statement(target)}'` shows the whole traceback.",
    )


def _statement(target: Target) -> str:
    """Return the Python statement that does what loading the target does."""
    statement = f"import {target.module}"
    if target.is_called:
        return f"{statement}; {target.module}.{target.name}()"
    return f"{statement}; {target.module}.{target.name}" if "." in target.name else statement


def _is_part(name: str, module: str) -> bool:
    return module == name or module.startswith(f"{name}.")
