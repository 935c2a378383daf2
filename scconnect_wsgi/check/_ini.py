"""Find our section in an ini file of PasteDeploy, and say why a file cannot be used."""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Iterable, Mapping

from scconnect_wsgi.check._arguments import Target
from scconnect_wsgi.check._reason import place_of, reason_of
from scconnect_wsgi.config import sections_used

_OUR_FACTORY = re.compile(r"egg:scconnect[-_.]wsgi(#main)?", re.IGNORECASE)
_APPLICATIONS = ("app", "application", "composite", "composit", "pipeline", "filter-app")


class UnusableIniError(Exception):
    """An ini file without the section that is looked for."""

    def __init__(self, code: str, message: str, mend: str) -> None:
        super().__init__(message)
        self.code = code
        self.mend = mend


def our_section(target: Target) -> str:
    """Return the NAME of the section [filter:NAME] that is checked.

    It is empty if the file has none, but an application that may call SCConnect in its code. Raises
    UnusableIniError.
    """
    file = target.file
    # A section's values are not looked into here, as `%` may stand for anything in them
    parser = configparser.RawConfigParser(strict=False)
    try:
        with open(file, encoding="utf-8") as lines:
            parser.read_file(lines)
    except (OSError, UnicodeError) as error:
        problem = getattr(error, "strerror", None) or "it is not a text file in UTF-8"
        mend = "Give the path of the ini file that the server is started with."
        raise UnusableIniError(
            "ini-unreadable", f"{file} cannot be read: {problem}.", mend
        ) from None
    ours = _our_sections(parser, os.path.abspath(file))
    if target.section:
        if parser.has_section(f"filter:{target.section}"):
            _check_use(parser, f"filter:{target.section}", file)
            return target.section
        there = f" It has {_names(file, ours)}." if ours else ""
        problem = f"{file} has no section [filter:{target.section}].{there}"
        raise UnusableIniError("ini-section", problem, "Correct the name behind the #.")
    if not ours:
        for section in parser.sections():
            _check_use(parser, section, file)
    if not ours and any(parser.has_section(f"{kind}:main") for kind in _APPLICATIONS):
        return ""
    if not ours:
        raise nothing_of_ours(file)
    if len(ours) > 1:
        raise UnusableIniError(
            "ini-section",
            f"{file} has several sections of scconnect-wsgi: {_names(file, ours)}.",
            "Name the one to check.",
        )
    return ours[0]


def _check_use(parser: configparser.RawConfigParser, section: str, file: str) -> None:
    """Raise UnusableIniError for a filter that does not say which factory makes it."""
    is_made = any(name == "use" or name.startswith("paste.") for name in parser.options(section))
    if section.startswith("filter:") and not is_made:
        raise UnusableIniError(
            "ini-section",
            f"The section [{section}] of {file} has no line `use = ...`, so nothing says whose "
            "filter it is.",
            "Add `use = egg:scconnect-wsgi` to it, or the name of the section that it continues.",
        )


def nothing_of_ours(file: str) -> UnusableIniError:
    """Return the error about a file in which no section leads to an SCConnect."""
    return UnusableIniError(
        "ini-section",
        f"{file} has no section [filter:NAME] with `use = egg:scconnect-wsgi`, and no [app:main] "
        "that calls SCConnect in its code.",
        "Add such a section, and its name to the pipeline.",
    )


def _names(file: str, sections: Iterable[str]) -> str:
    return ", ".join(f"{file}#{section}" for section in sections)


def _our_sections(parser: configparser.RawConfigParser, path: str) -> list[str]:
    """Return the NAME of each section [filter:NAME] that is one of ours, or uses one."""
    known = {"__file__": path, "here": os.path.dirname(path)}
    return [
        section.partition(":")[2].strip()
        for section in parser.sections()
        if section.startswith("filter:")
        and any(_is_ours(each) for each in sections_used(path, section, known))
    ]


def _is_ours(options: Mapping[str, str]) -> bool:
    factory = options.get("paste.filter_app_factory", "")
    used = options.get("use", "").strip()
    return factory.startswith("scconnect_wsgi.config:") or bool(_OUR_FACTORY.fullmatch(used))


def ini_reason(error: BaseException) -> str:
    """Return why an ini file cannot be loaded, without a value from it."""
    if isinstance(error, configparser.MissingSectionHeaderError):
        return f"line {error.lineno} stands before the first [section]."
    if isinstance(error, configparser.ParsingError):
        return f"line {error.errors[0][0]} is neither a [section] nor `name = value`."
    if isinstance(error, configparser.InterpolationError):
        return (
            f"the value of {error.option} in [{error.section}] cannot be expanded. A % is written "
            "%% in an ini file, and %(name)s must be another value of the section or of [DEFAULT]."
        )
    if type(error) is LookupError:  # of PasteDeploy; its text may hold a value
        return (
            "it names a section or a factory that does not exist, or a section has no line that "
            "PasteDeploy needs: `use`, `next` or `pipeline`."
        )
    return f"{reason_of(error)}{place_of(error)}"
