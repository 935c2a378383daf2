"""Prepare an upload: open its files, find out their lengths, and close what was opened."""

from __future__ import annotations

import mimetypes
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import IO, Any

from requests.utils import guess_filename

from scconnect_wsgi.errors import UnusableFile
from scconnect_wsgi.transport import FilePart, Multipart, Progress

Source = str | os.PathLike[str] | IO[bytes]
Fields = Mapping[str, str | int | bool]
Files = Mapping[str, Source | tuple[str, Source] | tuple[str, Source, str]]


@contextmanager
def multipart(fields: Fields, files: Files, progress: Progress | None) -> Iterator[Multipart]:
    """Yield the body of an upload, and close afterwards what was opened for it.

    Raises UnusableFile for a file that is missing, cannot be read, or has no length, and TypeError
    or ValueError for a value that cannot be sent.
    """
    with ExitStack() as opened:
        pairs = [(name, _text(name, value)) for name, value in fields.items()]
        parts = [_part(name, given, opened) for name, given in files.items()]
        yield Multipart(pairs, parts, progress)


def _text(name: str, value: object) -> str:
    """Return a field's value as the form spells it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int)):
        return str(value)
    raise TypeError(f"The field {name} must be a str, int or bool, not {type(value).__name__}.")


def _part(name: str, given: Any, opened: ExitStack) -> FilePart:
    filename, source, content_type = _split(given)
    if isinstance(source, (str, os.PathLike)):
        filename = filename or os.path.basename(source)
        source = opened.enter_context(_open(name, source))
    elif not hasattr(source, "read"):
        raise TypeError(
            f"The file for {name} must be a path or a file that is open for reading bytes, not "
            f"{type(source).__name__}."
        )
    guessed_name = guess_filename(source)  # type: ignore[no-untyped-call]
    filename = filename or os.fsdecode(guessed_name or name)
    # A name that the file system has in another encoding holds lone surrogates
    filename = filename.encode("utf-8", "replace").decode()
    guessed = mimetypes.guess_type(filename)[0] or "application/octet-stream"
    content_type = content_type or guessed
    if not content_type.isprintable():
        raise ValueError(f"The content type of the file for {name} must be one line.")
    return FilePart(name, source, filename, content_type)


def _split(given: Any) -> tuple[str, Any, str]:
    """Return filename, file and content type, as much of it as was given."""
    if not isinstance(given, tuple):
        return "", given, ""
    if len(given) not in (2, 3):
        raise TypeError("A file must be given alone, or as (filename, file[, content type]).")
    filename, source, content_type = (*given, "")[:3]
    if not all(isinstance(text or "", str) for text in (filename, content_type)):
        raise TypeError("The filename and the content type of a file must be strings.")
    return filename, source, content_type


def _open(name: str, path: str | os.PathLike[str]) -> IO[bytes]:
    """Open a regular file; opening a named pipe would wait for somebody to write into it."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise UnusableFile(f"The file for {name} is no regular file. Nothing was sent.")
        return open(path, "rb")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or "not a path"
        raise UnusableFile(
            f"The file for {name} cannot be read ({reason}). Nothing was sent."
        ) from error
