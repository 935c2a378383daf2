"""Find out which of two options that mean the same is nearer, if one section ``use``s another.

    [filter:connect]
    use = egg:scconnect-wsgi
    secret_key_file = /run/secrets/key

    [filter:development]
    use = connect
    secret_key = ...

PasteDeploy merges a chain of sections before the filter sees it. An option replaces the one of the
same name in a farther section, but secret_key could not replace secret_key_file. So the file is
read once more, to see which section each option is in.
"""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Iterator, Mapping

from scconnect_wsgi.config._options import alternatives

_ELSEWHERE = re.compile("[A-Za-z]+:")  # as egg:scconnect-wsgi, or config:other.ini#connect
# PasteDeploy's own; paste.filter_app_factory can be in place of `use = egg:...`
_NOT_OPTIONS = ("use", "next", "require", "filter-with")
_PREFIXES = ("set ", "paste.")
Section = Mapping[str, str]


def without_replaced(options: Mapping[str, str], global_conf: Mapping[str, str]) -> dict[str, str]:
    """Return the options of a filter without those that one of a nearer section replaces.

    ``global_conf`` is PasteDeploy's, which names the file. If two options that mean the same are in
    one section, or if the sections cannot be found, both stay, and ``parse`` reports them.
    """
    kept = dict(options)
    chain = _chain_of(options, global_conf)
    if not chain:
        return kept
    for group in alternatives():
        given = [name for name in group if options.get(name)]
        if len(given) < 2:
            continue
        distances = {name: _distance(name, chain) for name in given}
        nearest = min(distances.values())
        for name in given:
            if distances[name] > nearest:
                del kept[name]
    return kept


def _distance(name: str, chain: list[Section]) -> int:
    """Return how many sections are nearer than the nearest one that has the option."""
    return next(at for at, section in enumerate(chain) if name in section)


def _chain_of(options: Mapping[str, str], global_conf: Mapping[str, str]) -> list[Section]:
    """Return the sections that were merged into these options, the nearest first.

    Of several chains that make the same options it is the longest: the others are parts of it.
    """
    path = global_conf.get("__file__", "")
    found: list[Section] = []
    for section in _parsed(path).sections():
        if section.startswith(("filter:", "filter-app:")):
            sections = sections_used(path, section, global_conf)
            chain = [_own_options(each, global_conf) for each in sections]
            if len(chain) > len(found) and _is_merged_from(options, chain):
                found = chain
    return found


def sections_used(path: str, section: str, global_conf: Mapping[str, str]) -> Iterator[Section]:
    """Yield a section and the ones that it uses, in other files too, the nearest first."""
    seen = set()
    while (path, section) not in seen:
        seen.add((path, section))
        parser = _parsed(path)
        if not parser.has_section(section):
            return
        content = {
            name: text for name, text in parser.items(section) if name not in parser.defaults()
        }
        yield content
        # A file's own defaults come first
        known = {**global_conf, **parser.defaults(), "here": os.path.dirname(path)}
        use = _interpolated(content.get("use", ""), known)
        path, section = _used(path, parser, use)


def _interpolated(text: str, known: Mapping[str, str]) -> str:
    """Return a text with what ``%(name)s`` stands for; as it is if that is not known."""
    try:
        return text % known
    except (KeyError, TypeError, ValueError):
        return text


def _used(path: str, parser: configparser.ConfigParser, use: str) -> tuple[str, str]:
    """Return the file and the section that ``use`` names; an empty section if it names none."""
    name = use.strip()
    if _ELSEWHERE.match(name):
        scheme, _, rest = name.partition(":")
        if scheme.lower() != "config":
            return path, ""
        file, _, name = rest.partition("#")
        path = os.path.join(os.path.dirname(path), file)
        parser = _parsed(path)
        name = name or "main"
    for section in parser.sections():
        kind, _, rest = section.partition(":")
        if kind == "filter" and rest.strip() == name:
            return path, section
    return path, ""


def _own_options(section: Section, global_conf: Mapping[str, str]) -> Section:
    """Return what a section gives to a filter: without globals, and PasteDeploy's own words."""
    options = {}
    for name, text in section.items():
        if name.startswith("get "):
            variable = text.strip()
            options[name.removeprefix("get ").strip()] = global_conf.get(variable, "")
        elif not (name.startswith(_PREFIXES) or name in _NOT_OPTIONS or name in global_conf):
            options[name] = text
    return options


def _is_merged_from(options: Mapping[str, str], chain: list[Section]) -> bool:
    merged: dict[str, str] = {}
    for section in reversed(chain):
        merged.update(section)
    if merged.keys() != options.keys():
        return False
    # A text with a percent sign is interpolated
    return all("%" in text or options[name] == text for name, text in merged.items())


def _parsed(path: str) -> configparser.ConfigParser:
    """Return the content of an ini file without interpolation; nothing if it cannot be read."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read(path)
    except (configparser.Error, UnicodeDecodeError):  # PasteDeploy has read what there is to read
        return configparser.ConfigParser(interpolation=None)
    return parser
