"""The process that looks: it runs the site's code, which may print, hang or end the process.

Its standard output becomes the null device for that code, and the report goes where it led before,
a line of JSON for each piece.
"""

from __future__ import annotations

import _thread
import os
import signal
from typing import Any
from urllib.parse import urlsplit

from scconnect_wsgi.check._arguments import Target
from scconnect_wsgi.check._online import check_providers
from scconnect_wsgi.check._report import LOADING, LineReporter, Reporter
from scconnect_wsgi.check._site import check_sites
from scconnect_wsgi.check._target import CONFIGURATION, load_sites
from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.middleware import Description, describe
from scconnect_wsgi.transport import Transport
from scconnect_wsgi.urls import LOOPBACK

LOADED = "looking at the site"


def main(request: dict[str, Any], parent: int) -> None:
    """Run a check in this process, and write its report to the standard output.

    ``parent`` is the descriptor of a pipe that closes when the process at its other end is gone;
    this one then ends as well.
    """
    # Not one of `threading`, so that code of the site does not find it
    _thread.start_new_thread(_end_with, (parent,))
    report = LineReporter(_take_stdout())
    report.doing(LOADING)
    try:
        run(request, report)
    except Exception as error:
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        where = "" if frame is None else f" in {frame.tb_frame.f_code.co_name}"
        report.find(
            "check-failed",
            f"The check itself failed: {type(error).__name__}{where}. What is reported beside this "
            "holds; the rest was not looked at.",
            mend="Please report this to the authors of scconnect-wsgi.",
        )
    report.done()


def _end_with(parent: int) -> None:
    """Wait until a pipe closes, then end this process and what the site has started with it."""
    while os.read(parent, 4096):
        pass
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)  # the session of this process: _supervisor made it
    os._exit(1)


def _take_stdout() -> Any:
    """Return the standard output, and put the null device in its place.

    It is the standard input as well: a site may ask whether that is a terminal.
    """
    report = os.fdopen(os.dup(1), "w", encoding="utf-8")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    return report


def run(request: dict[str, Any], report: Reporter) -> None:
    """Run a check: ``request`` has target, online, url and ca_bundle."""
    target = Target(**request["target"])
    is_local = urlsplit(request["url"]).hostname in LOOPBACK
    sites = [describe(site) for site in load_sites(target, report, is_local=is_local)]
    report.doing(LOADED)
    for site in sites:
        _report_site(site, report)
    if request["online"]:
        check_providers(sites, report)
    if request["url"] and sites:
        bundle = _ca_bundle(request["ca_bundle"], sites, report)
        if bundle is not None:
            check_sites(sites, request["url"], bundle or None, report)
    if not sites and (request["online"] or request["url"]):
        report.note(
            "Neither the provider nor the running site was looked at: first the settings must be "
            "right."
        )


def _report_site(site: Description, report: Reporter) -> None:
    name = getattr(site.flow, "name", "the flow")
    report.note(f"The settings for {name} are fine.")
    if _is_retired(site.flow):
        report.note(
            "SoundCloud itself has retired OAuth 1.0a: give the addresses of another provider."
        )
    if site.callback_url is not None:
        report.callback(site.callback_url)
    elif site.base_url_is_called:
        report.note(
            "base_url is a callable, so the callback URL is known at a start only: it ends with "
            f"{site.callback_path}."
        )


def _is_retired(flow: object) -> bool:
    """Return whether a flow asks SoundCloud for request tokens, which only OAuth 1.0a has."""
    provider = getattr(flow, "provider", None)
    host = urlsplit(getattr(provider, "request_token_url", "")).hostname or ""
    return host == "soundcloud.com" or host.endswith(".soundcloud.com")


def _ca_bundle(given: str, sites: list[Description], report: Reporter) -> str | None:
    """Return the PEM file that judges the site's certificate; an empty string means certifi's.

    Returns None, and reports why, if it cannot be used.
    """
    bundle = given or os.environ.get("SCCONNECT_CA_BUNDLE", "")
    if not bundle:
        transports = [getattr(site.flow, "transport", None) for site in sites]
        bundle = next(filter(None, (getattr(known, "ca_bundle", "") for known in transports)), "")
    try:
        Transport(ca_bundle=bundle or None)
    except ConfigurationError as error:
        name = "--ca-bundle" if given else "SCCONNECT_CA_BUNDLE"
        report.find(CONFIGURATION, f"{name} {error.problem}")
        return None
    return bundle
