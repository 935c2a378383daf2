"""What the command line may say: what to check, and the address of a site."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

_PLAIN = re.compile(r"[!-~]+")
# A module and what it holds, which may be called without arguments: mysite.wsgi:make_app()
_APPLICATION = re.compile(
    r"(?P<module>[A-Za-z_]\w*(?:\.\w+)*):(?P<name>[A-Za-z_]\w*(?:\.\w+)*)(?P<call>\(\))?"
)
_MODULE = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*:?")
_INI = re.compile(r"(?P<file>[^#]+\.(?:ini|cfg|conf))(?:#(?P<section>.+))?", re.IGNORECASE)


@dataclass(frozen=True)
class Target:
    """An ini file with a section, a module with an application in it, or, without both, the
    environment.
    """

    file: str = ""
    section: str = ""
    module: str = ""
    name: str = ""
    is_called: bool = False


def parse_target(text: str) -> Target:
    """Return what a word of the command line stands for. Raises ValueError if it is neither."""
    ini = _INI.fullmatch(text)
    if ini:
        return Target(file=ini["file"], section=ini["section"] or "")
    application = _APPLICATION.fullmatch(text)
    if application:
        called = bool(application["call"])
        return Target(module=application["module"], name=application["name"], is_called=called)
    if _MODULE.fullmatch(text):
        raise ValueError(
            "names a module, but not the application in it: write module:application, such as "
            "mysite.wsgi:application or mysite:app"
        )
    raise ValueError("must be FILE.ini, FILE.ini#section or module:application")


def checked_site_url(text: str) -> str:
    """Return the root of a site, without a slash at its end.

    Raises ValueError, whose text does not show what was given, for anything else.
    """
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise ValueError("cannot be read as a URL") from None
    if not _PLAIN.fullmatch(text) or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be a full URL with its scheme, such as https://app.example")
    if "@" in parts.netloc or "?" in text or "#" in text:
        raise ValueError("must be https://host[:port][/prefix], without user name, query, fragment")
    return text.rstrip("/")
