"""Turn the text of an option into a value.

A reader takes the text and the name of the option. It raises ConfigurationError if the text cannot
be used, and never shows the text, which may be a secret.
"""

from __future__ import annotations

import json
import pathlib
import pkgutil
import re
import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.keys import LENGTH, checked_keys
from scconnect_wsgi.middleware import HAND_OVER

if TYPE_CHECKING:
    from scconnect_wsgi.encryption import Encryption

Reader = Callable[[str, str], Any]

_DOTTED_NAME = re.compile(r"[\w.]+:[\w.]+")
_SCHEME = re.compile(r"[A-Za-z][\w+.-]*:")
# int() and float() also take blanks, underscores, and the digits of other scripts
_NUMBER = re.compile(r"[-+.0-9A-Za-z]+")
_COMMENT = re.compile(r"\s([#;])")
_QUOTES = ("'", '"')


def refuse_quotes_and_comments(text: str, option: str) -> None:
    """Raise ConfigurationError for quotes around a text, and for a comment at its end."""
    refuse_quotes(text, option)
    comment = _COMMENT.search(text)
    if comment is not None:
        raise ConfigurationError(
            option,
            f"holds a space and a {comment[1]}: what follows is part of the value here, and no "
            "comment. Put the comment on a line of its own.",
        )


def refuse_quotes(text: str, option: str) -> None:
    """Raise ConfigurationError for quotes around a text. Quotes inside of it belong to it."""
    stripped = text.strip()
    if len(stripped) >= 2 and stripped[0] == stripped[-1] and stripped[0] in _QUOTES:
        raise ConfigurationError(
            option,
            "is in quotes, which are part of the value here: take them away. (A shell removes "
            "quotes; an ini file and `docker run --env-file` keep them.)",
        )


def refuse_quotes_around_pairs(text: str, option: str) -> None:
    """Raise ConfigurationError if one pair of quotes is around all pairs."""
    stripped = text.strip()
    if not any(quote in stripped[1:-1] for quote in _QUOTES):
        refuse_quotes(stripped, option)


def _refuse_blanks(text: str, option: str) -> None:
    """Raise ConfigurationError for blanks around a text, which nobody sees in a file."""
    if text != text.strip():
        raise ConfigurationError(option, "begins or ends with a space or a line break.")


def line(text: str, option: str) -> str:
    """Return one line of printable text without surrounding spaces."""
    _refuse_blanks(text, option)
    if not text.isprintable():
        raise ConfigurationError(option, "must be one line of printable characters.")
    return text


def credential(text: str, option: str) -> str:
    """Return a client id or a secret: printable ASCII without surrounding spaces or quotes."""
    refuse_quotes(text, option)  # those in a file
    _refuse_blanks(text, option)
    if not (text.isascii() and text.isprintable()):
        raise ConfigurationError(option, "holds characters that are not printable ASCII.")
    return text


def keys(text: str, option: str) -> list[str]:
    """Return keys, oldest first, which the text separates by spaces or line breaks.

    If all words are too short for a key, they are a passphrase: each line is one key.
    """
    found = text.split()
    if "#" in found:
        raise ConfigurationError(
            option, "holds a space and a #. Several keys can stand here, but no comment."
        )
    if all(len(word) < LENGTH for word in found):
        found = [line.strip() for line in text.splitlines() if line.strip()]
    read = [credential(key, option) for key in found]
    checked_keys(read, option)
    return read


def words(text: str, option: str) -> list[str]:
    """Return what the text separates by spaces, line breaks or commas."""
    return text.replace(",", " ").split()


def encryption(text: str, option: str) -> Encryption:
    """Return an Encryption with the keys in the text."""
    # Imported here: a site that does not encrypt need not install cryptography.
    from scconnect_wsgi.encryption import Encryption

    return Encryption(keys(text, option))


def pairs(text: str, option: str) -> dict[str, str]:
    """Return ``name=value`` pairs, which the text separates by spaces or line breaks.

    Quotes, as in a shell, keep a value with spaces together.
    """
    problem = "must be name=value pairs, each name once, with quotes around spaces."
    try:
        words = shlex.split(text)
    except ValueError:  # an unclosed quote; the error's text may show an API key
        raise ConfigurationError(option, problem) from None
    fields = {}
    for word in words:
        name, equals, value = word.partition("=")
        if name.startswith(("#", ";")):
            refuse_quotes_and_comments(f" {name}", option)
        if not name or not equals or name in fields:
            raise ConfigurationError(option, problem)
        fields[name] = value
    return fields


def or_none(read: Reader, empty: Any) -> Reader:
    """Return a reader like ``read``, which returns ``empty`` for the word ``none``.

    It is for an option whose default is not empty: an empty text counts as unset, and so asks for
    that default.
    """
    return lambda text, option: empty if text == "none" else read(text, option)


def whole_number(text: str, option: str) -> int:
    """Return a whole number."""
    try:
        return int(_ordinary(text))
    except ValueError:
        raise ConfigurationError(option, "must be a whole number.") from None


def number(text: str, option: str) -> float:
    """Return a number."""
    try:
        return float(_ordinary(text))
    except ValueError:
        raise ConfigurationError(option, "must be a number.") from None


def _ordinary(text: str) -> str:
    """Return a text as it is. Raises ValueError if it has characters of no ordinary number."""
    if not _NUMBER.fullmatch(text):
        raise ValueError("not an ordinary number")
    return text


def dotted_name(text: str, option: str) -> Any:
    """Import and return the callable that ``package.module:callable`` names."""
    if not _DOTTED_NAME.fullmatch(text):
        raise ConfigurationError(option, "must be a dotted name, package.module:callable.")
    try:
        found = pkgutil.resolve_name(text)
    except Exception as error:  # importing a module runs it, so anything may be raised
        problem = f"cannot be imported ({type(error).__name__})."
        raise ConfigurationError(option, problem) from error
    if not callable(found):
        raise ConfigurationError(option, "names something that is not callable.")
    return found


def dotted_name_or_hand_over(text: str, option: str) -> Any:
    """Return HAND_OVER for that word, else the callable that the text names."""
    return HAND_OVER if text == "HAND_OVER" else dotted_name(text, option)


def store_url(text: str, option: str) -> str:
    """Return the URL of a database; making the store checks the rest of it."""
    if not _SCHEME.match(text):
        raise ConfigurationError(
            option,
            "must be a URL with a scheme, such as sqlite:///connections.sqlite3, "
            "postgresql+psycopg://... or redis://...",
        )
    return line(text, option)


def json_object(text: str, option: str) -> Any:
    """Return what a JSON text says; the object that uses it checks it."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # the latter for JSON that is nested without end
        raise ConfigurationError(option, "names a file that is not JSON.") from None


def pem(text: str, option: str) -> str:
    """Return the text of a PEM file; the object that uses the key checks it."""
    return text


def from_file(read: Reader) -> Reader:
    """Return a reader whose text is a path: it reads the text of that file with ``read``.

    Line breaks at the end of the file, which editors add, are removed first.
    """

    def read_file(path: str, option: str) -> Any:
        try:
            text = pathlib.Path(path).read_text("utf-8").rstrip("\r\n")
        except OSError as error:
            problem = f"names a file that cannot be read: {error.strerror}."
            raise ConfigurationError(option, problem) from None
        except UnicodeDecodeError:  # its text may show what is in the file
            problem = "names a file that cannot be read: it is not a text file in UTF-8."
            raise ConfigurationError(option, problem) from None
        except ValueError:
            problem = "holds a character that the name of a file cannot have."
            raise ConfigurationError(option, problem) from None
        if not text:
            raise ConfigurationError(option, "names an empty file.")
        return read(text, option)

    return read_file
