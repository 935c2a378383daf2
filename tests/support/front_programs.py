"""Whether nginx, Apache with mod_wsgi, and systemd's checker are installed.

This module needs no package: tools/bootstrap.sh asks it what is missing.
"""

from __future__ import annotations

import pathlib

from support.databases import find

MODULES = pathlib.Path("/usr/lib/apache2/modules")
PACKAGES = {
    "nginx": "nginx-light",
    "apache2": "apache2-bin",
    "mod_wsgi": "libapache2-mod-wsgi-py3",
    "systemd-analyze": "systemd",
}


def missing():
    """Return the programs that are not installed, and Debian's package for each."""
    return {name: package for name, package in PACKAGES.items() if not _is_installed(name)}


def _is_installed(name):
    if name == "mod_wsgi":
        return (MODULES / "mod_wsgi.so").exists()
    return find(name) is not None
