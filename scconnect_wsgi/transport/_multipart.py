"""A multipart/form-data body (RFC 7578) that is made while it is sent.

requests builds such a body in memory, twice the size of its files. Here a file is read piece by
piece, so an upload of any length needs the memory of one piece. The length of the body is known
before: it is sent with Content-Length, never chunked.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

from urllib3.fields import RequestField
from urllib3.filepost import choose_boundary

from scconnect_wsgi.errors import UnusableFile

# Bytes that are read and sent at once: a TLS record. Each has the timeout of one write, so a
# connection that moves at all is not given up.
PIECE = 16_384

Progress = Callable[[int, int], object]


class Interrupted(Exception):  # noqa: N818  # it carries the error
    """The body could not be made to its end; ``error`` says why.

    Neither an OSError nor anything else that requests and urllib3 take for an error of the network:
    they would hide it, or read an answer in spite of it.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__("The body could not be made to its end.")
        self.error = error


class FilePart:
    """A file for the field ``name``, from where it is now to its end.

    ``file`` is open for reading bytes, and can be wound back. Raises UnusableFile if it cannot.
    """

    def __init__(self, name: str, file: IO[bytes], filename: str, content_type: str) -> None:
        self.name = name
        self.filename = filename
        self.content_type = content_type
        self._file = file
        try:
            self._start: int = file.tell()
            file.seek(0, os.SEEK_END)
            self.length: int = max(0, file.tell() - self._start)
            file.seek(self._start)
            is_binary = isinstance(file.read(0), bytes)
        except (AttributeError, OSError, TypeError, ValueError) as error:  # ValueError: closed
            raise self._error(
                "has no length, or cannot be wound back. Nothing was sent. Save it to a temporary "
                "file first"
            ) from error
        if not is_binary:
            raise self._error("is open for text. Nothing was sent. Open it with mode 'rb'")

    def __iter__(self) -> Iterator[bytes]:
        """Yield the file in pieces.

        Raises Interrupted if it cannot be read, or has become shorter or longer. That is found out
        before the last piece is given away, so that the other side never has a complete request.
        """
        left = self.length
        self._wind_back()
        while True:
            piece = self._read(min(PIECE, left)) if left else b""
            if left and not piece:
                raise Interrupted(self._error("became shorter while it was sent"))
            left -= len(piece)
            if not left and self._read(1):
                raise Interrupted(self._error("became longer while it was sent"))
            yield piece
            if not left:
                return

    def _wind_back(self) -> None:
        try:
            self._file.seek(self._start)
            return
        except (OSError, ValueError) as error:
            failure = self._error("cannot be wound back")
            failure.__cause__ = error
        raise Interrupted(failure)

    def _read(self, size: int) -> bytes:
        """Return at most ``size`` bytes; none at the end.

        An error of the operating system becomes an UnusableFile, any other stays what it is.
        """
        failure: Exception
        try:
            piece: Any = self._file.read(size)
            if isinstance(piece, bytes) and len(piece) <= size:
                return piece
            failure = self._error("does not give the bytes that it is asked for")
        except (OSError, ValueError) as error:
            failure = self._error("cannot be read any further")
            failure.__cause__ = error
        except Exception as error:
            failure = error
        # Outside of the except block, so that the error is no context of this one
        raise Interrupted(failure)

    def _error(self, problem: str) -> UnusableFile:
        return UnusableFile(f"The file for {self.name} {problem}.")


class Multipart:
    """A body with fields and files, for requests' ``data``. ``len()`` is its length in bytes.

    Iterating makes the body from its beginning; ``sent`` says how much of it has left.
    ``progress(sent, total)`` is called after each piece, with numbers of bytes; what it raises ends
    the sending as Interrupted.
    """

    def __init__(
        self,
        fields: Iterable[tuple[str, str]],
        files: Iterable[FilePart],
        progress: Progress | None = None,
    ) -> None:
        self.sent: int = 0
        self._boundary = choose_boundary()
        self._fields = b"".join(
            self._head(name) + value.encode() + b"\r\n" for name, value in fields
        )
        self._files = [
            (self._head(file.name, file.filename, file.content_type), file) for file in files
        ]
        self._end = f"--{self._boundary}--\r\n".encode()
        self._progress = progress

    @property
    def content_type(self) -> str:
        """The value of the Content-Type header."""
        return f"multipart/form-data; boundary={self._boundary}"

    @property
    def is_sent(self) -> bool:
        """Whether all of the body has left."""
        return self.sent == len(self)

    def __len__(self) -> int:
        """Return the length of the whole body in bytes."""
        files = sum(len(head) + file.length + len(b"\r\n") for head, file in self._files)
        return len(self._fields) + files + len(self._end)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the body in pieces, and report each when it has left."""
        self.sent = 0
        for piece in self._pieces():
            if piece:  # an empty file has none
                yield piece
                self.sent += len(piece)
                self._report()

    def _pieces(self) -> Iterator[bytes]:
        yield self._fields
        for head, file in self._files:
            yield head
            yield from file
            yield b"\r\n"
        yield self._end

    def _report(self) -> None:
        if self._progress is None:
            return
        try:
            self._progress(self.sent, len(self))
            return
        except Exception as error:
            failure = error
        raise Interrupted(failure)

    def _head(
        self, name: str, filename: str | None = None, content_type: str | None = None
    ) -> bytes:
        """Return what stands before the value of a field; urllib3 escapes the names."""
        field = RequestField(name, b"", filename)
        field.make_multipart(content_type=content_type)
        return f"--{self._boundary}\r\n{field.render_headers()}".encode()
