"""``scconnect check``: find what is wrong with a site before its users do.

    scconnect check mysite:application --online --url https://app.example

``check`` looks at the settings, and, if it is asked to, at the provider and at the running site. It
changes nothing there: no user connects, and no token is made that could be used.

Inside, ``_arguments`` reads the command line, ``_supervisor`` starts a process in which the site's
code may do what it likes, and ``_worker`` is that process. There, ``_target`` builds the site (with
``_ini`` and ``_reason``) and ``_wrapped`` finds it in an application, ``_online`` asks the
provider, and ``_site`` walks through the running site (with ``_browsing``, ``_addresses``,
``_cookies`` and ``_access_log``). What they find is a ``_report``, which ``_output`` writes.
"""

from __future__ import annotations

import os
from dataclasses import asdict

from scconnect_wsgi.check._arguments import Target, checked_site_url, parse_target
from scconnect_wsgi.check._output import as_json, as_text
from scconnect_wsgi.check._supervisor import supervise

__all__ = ["Target", "check", "checked_site_url", "parse_target"]


def check(
    target: Target, *, online: bool = False, url: str = "", ca_bundle: str = "", json: bool = False
) -> tuple[bool, str]:
    """Return whether a site is in order, and what to print about it.

    ``online`` asks the provider as well. ``url`` is the public root of the running site, which is
    looked at as well. ``ca_bundle`` is the path of a PEM file that judges its certificate. With
    ``json`` the text is one JSON document. It takes 40 seconds at most.
    """
    bundle = os.path.abspath(ca_bundle) if ca_bundle else ""  # the site may change directory
    request = {"target": asdict(target), "online": online, "url": url, "ca_bundle": bundle}
    report = supervise(request)
    return report.ok, as_json(report) if json else as_text(report)
