"""Responses that are read strictly: each request gets its own final response, or an error.

These are http.client's responses with more rules:

* Interim responses (RFC 9110 section 15.2) are read past, all of them.
* A header that cannot be read, or that leaves open where the response ends (RFC 9112 section 6.3),
  is an error, and so is a chunked body that is not spelled as the standard says.
* A header, or a line of a chunked body, whose first byte is there must arrive as a whole soon.
* A connection on which more arrived than one response is not used again, because the rest would be
  taken for the response to the next request.
"""

from __future__ import annotations

import http.client
import io
import re
from typing import Any

from scconnect_wsgi.transport._deadline import Deadline, current_deadline

MAX_INTERIM = 10  # interim responses before one final response; servers send one or two
MAX_EARLY = 65_536  # bytes of interim responses that are kept while a body is sent
MAX_TRAILERS = 100  # lines behind a chunked body; http.client reads as many in a header
# Bytes; reads of this size empty a record, so that nothing waits unseen inside the TLS layer
TLS_RECORD = 16_384
# Times the timeout of one read, for all of a header or a line: slow is fine, a drip is not
HEADER_READS = 3
NO_BODY = (http.client.NO_CONTENT, http.client.NOT_MODIFIED)
# Python's int() takes a sign, an underscore and digits of other scripts as well
_INTERIM = re.compile(rb"HTTP/1\.[0-9] 1[0-9][0-9]")
_LENGTH = re.compile(r"[0-9]{1,18}")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(;.*)?\r?\n", re.DOTALL)


def begins_final_response(data: bytes) -> bool:
    """Return whether a final response has begun, behind any number of interim ones."""
    if len(data) > MAX_EARLY:
        return True  # whatever it is, it is read like a response
    while _INTERIM.match(data):
        _, end, data = data.partition(b"\r\n\r\n")
        if not end:
            return False
    return len(data) >= len(b"HTTP/1.1 200")


class _Reader(io.RawIOBase):
    """The reading side of a socket, within the deadline of the call if there is one.

    ``off`` ends the reading, and then only what the buffer above already holds is left.
    """

    def __init__(self, sock: Any, raw: io.RawIOBase, early: bytes) -> None:
        self._sock = sock
        self._raw = raw
        self._early = early  # what was read from the socket before
        self._timeout: float | None = None  # of the socket, while there is a limit
        self._limit: Deadline | None = None
        self.off = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._early:
            length = min(len(buffer), len(self._early))
            buffer[:length] = self._early[:length]
            self._early = self._early[length:]
            return length
        if self.off:
            return None
        limit = current_deadline() or self._limit
        if limit is not None:
            left = limit.left()
            self._sock.settimeout(left if self._timeout is None else min(left, self._timeout))
        return self._raw.readinto(buffer)

    def hurry(self) -> None:
        """Limit the time of all that is read from now on, unless the call has a deadline."""
        if current_deadline() is None and self._limit is None:
            self._timeout = self._sock.gettimeout()
            if self._timeout is not None:
                self._limit = Deadline(HEADER_READS * self._timeout)

    def relax(self) -> None:
        """Give each read the socket's timeout again."""
        if self._limit is not None:
            self._sock.settimeout(self._timeout)
            self._limit = self._timeout = None

    def close(self) -> None:
        self._raw.close()
        super().close()


class _ChunkedBody:
    """The file of a chunked body, for http.client and urllib3, which both read it by lines.

    Data is always read between two chunk sizes, and then the two bytes behind it. Both libraries
    throw these away unseen. So the first line after data is a chunk size, and those behind it are
    trailers.
    """

    def __init__(self, file: io.BufferedReader, reader: _Reader) -> None:
        self._file = file
        self._reader = reader
        self._left = 0  # bytes of the chunk's data
        self._lines = 0  # since data was read

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, size: int) -> bytes:
        self._lines = 0
        data = self._file.read(size)
        if not self._left and not b"\r\n".startswith(data):
            raise http.client.HTTPException("a chunk that does not end where it says")
        self._left = max(0, self._left - len(data))
        return data

    def read1(self, size: int) -> bytes:
        data = self._file.read1(size)
        self._left -= len(data)
        return data

    def readline(self, limit: int) -> bytes:
        self._reader.hurry()
        line = self._file.readline(limit)
        self._reader.relax()
        self._lines += 1
        if self._lines == 1 and line:
            size = _CHUNK_SIZE.fullmatch(line)
            if size is None:
                raise http.client.HTTPException("a chunk whose size cannot be read")
            self._left = int(size[1], 16)
        if self._lines > MAX_TRAILERS:
            raise http.client.HTTPException(f"more than {MAX_TRAILERS} trailers")
        return line


class StrictResponse(http.client.HTTPResponse):
    """One final response.

    ``early`` is what was read of it already. ``is_last`` says that the connection ends with it.
    ``more_came`` says, once the response was read to its end, whether anything came behind it.
    """

    def __init__(
        self, sock: Any, *args: Any, early: bytes = b"", is_last: bool = False, **options: Any
    ) -> None:
        super().__init__(sock, *args, **options)
        self.more_came: bool = False
        self._is_last = is_last
        self._reader = _Reader(sock, self.fp.detach(), early)
        self.fp: Any = io.BufferedReader(self._reader, TLS_RECORD)

    def begin(self) -> None:
        """Read the header.

        Refuses a damaged one: urllib3 would log what it could not read, a token perhaps.
        """
        super().begin()
        self._reader.relax()
        if self.msg.defects or self.msg.get_payload():
            raise http.client.HTTPException("the response's header cannot be read")
        self._find_end()
        if self._is_last:
            self.will_close = True

    def _find_end(self) -> None:
        """Decide where the response ends, as RFC 9112 section 6.3 says.

        http.client and urllib3 each read the two fields that say so, and do not always agree.
        """
        codings = self.msg.get_all("Transfer-Encoding")
        to_head = self._method == "HEAD"  # type: ignore[attr-defined]  # typeshed hides it
        if to_head or self.status in NO_BODY:
            if codings is not None:
                del self.msg["Transfer-Encoding"]  # urllib3 would wait for a chunk
                self.chunked = False
            return
        lengths = self.msg.get_all("Content-Length")
        if codings is not None:
            if [coding.strip(" \t").lower() for coding in codings] != ["chunked"]:
                raise http.client.HTTPException("a transfer coding that was not asked for")
            self.chunked = True  # http.client does not know it with a space behind it
            self.chunk_left = self.length = None
            self.fp = _ChunkedBody(self.fp, self._reader)
            if lengths is not None or self.version == 10:
                # A proxy in between may have found another end
                del self.msg["Content-Length"]
                self.will_close = True
        elif lengths is not None:
            found = {length.strip(" \t") for length in ",".join(lengths).split(",")}
            length = found.pop()
            if found or not _LENGTH.fullmatch(length):
                raise http.client.HTTPException("a length that cannot be read")
            self.length = int(length)

    def _read_status(self) -> tuple[str, int, str]:
        """Read the status line of the final response, and past the interim responses before it.

        http.client skips 100 (Continue) only, and any number of them. It reads the first line of a
        response here, also that of a proxy's response to CONNECT.
        """
        for _ in range(MAX_INTERIM + 1):
            self.fp.peek(1)  # until the other side has something to say
            self._reader.hurry()
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 <= status < 200:
                return version, status, reason
            if status == http.client.SWITCHING_PROTOCOLS:
                raise http.client.HTTPException(
                    "the other side switched to another protocol without being asked to"
                )
            # http.client bounds the number of lines and the length of each
            http.client.parse_headers(self.fp)
            self._reader.relax()
        raise http.client.HTTPException(
            f"more than {MAX_INTERIM} interim responses before the final one"
        )

    def _close_conn(self) -> None:
        """Let go of the connection, which http.client does at the end of the response."""
        if self.will_close is False:
            self._reader.off = True
            self.more_came = bool(self.fp.peek(1))
        super()._close_conn()  # type: ignore[misc]
