"""Say why code of the site failed, without the text of its exception, which may hold a secret."""

from __future__ import annotations

import os
import re
import traceback

# Names of settings and variables; what has both cases or digits may be a secret
_NAME = re.compile(r"[A-Z][A-Z_]{0,60}(?:\d)?|[a-z][a-z_.]{0,60}")


def reason_of(error: BaseException) -> str:
    """Return what kind of exception it is, with the names in it that are no values."""
    if isinstance(error, SystemExit):
        return "it called sys.exit()"
    if isinstance(error, ImportError) and error.name:
        return _reason_of_import(error)
    if isinstance(error, SyntaxError):
        return f"{_shown(error.filename)}, line {error.lineno}, is not valid Python"
    if isinstance(error, KeyError) and _is_name(error.args):
        return f"KeyError, there is no {error.args[0]}"
    if isinstance(error, NameError) and error.name:
        return f"NameError, {error.name} is not defined"
    if isinstance(error, OSError) and error.strerror:
        where = f" ({_shown_file(error.filename)})" if isinstance(error.filename, str) else ""
        return f"{type(error).__name__}, {error.strerror}{where}"
    return f"it raised {type(error).__name__}"


def _reason_of_import(error: ImportError) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"the module {error.name} is not installed"
    return f"something that it imports from {error.name} is not there"


def place_of(error: BaseException) -> str:
    """Return the innermost line of the site's own code that the exception went through."""
    here = os.getcwd()
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _is_own(frame.filename, here)]
    if not own:
        return "."
    return f", in {_shown(own[-1].filename)}, line {own[-1].lineno}."


def _is_name(arguments: tuple[object, ...]) -> bool:
    """Return whether a KeyError has a name, as of a setting, and not some text."""
    if len(arguments) != 1 or not isinstance(arguments[0], str):
        return False
    return bool(_NAME.fullmatch(arguments[0])) and arguments[0] not in os.environ.values()


def _shown_file(file: str) -> str:
    """Return the path of a file. One that a variable gives may be a secret at the wrong place."""
    names = [name for name, value in os.environ.items() if value == file]
    return f"the file that {names[0]} names" if names else _shown(file)


def _is_own(file: str, here: str) -> bool:
    return file.startswith(here + os.sep) and "site-packages" not in file


def _shown(file: object) -> str:
    """Return a path, relative to the current directory if it is below it."""
    path = str(file)
    here = os.getcwd() + os.sep
    return path.removeprefix(here)
