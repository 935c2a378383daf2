"""Tell a misspelt option from a name that is somebody else's."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Mapping

from scconnect_wsgi.config._options import OPTIONS

log: logging.Logger = logging.getLogger("scconnect_wsgi")

NEAR = 0.75  # of 1.0 for the same name: two letters of eight may differ, and a word may be missing
# What Kubernetes (and Docker's links) set in every container for a service that is called scconnect
# or scconnect-SOMETHING, such as SCCONNECT_PORT=tcp://10.0.0.7:80 or SCCONNECT_WEB_SERVICE_HOST
_OF_A_SERVICE = re.compile(
    r"([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|"
    r"PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)


def nearest_option(name: str) -> str | None:
    """Return the option that a name was probably meant to be, if there is one."""
    close = difflib.get_close_matches(name.lower(), OPTIONS, 1, cutoff=NEAR)
    return close[0] if close else None


def ignore_foreign(given: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Return the variables that are options, or were probably meant to be.

    The others are ignored: those of a service without a word, and any other with a warning.
    """
    ours = {}
    for variable, text in given.items():
        name = variable.removeprefix(prefix)
        if _OF_A_SERVICE.fullmatch(name):
            continue
        if nearest_option(name) is None:
            log.warning("%s is not an option of scconnect-wsgi, and is ignored.", variable)
            continue
        ours[variable] = text
    return ours
