"""Responses that are read strictly: each request gets its own final response, or an error.

These are http.client's responses with three more rules. Interim responses (RFC 9110 section 15.2)
are read past, all of them. A header that cannot be read is an error. A connection on which more
arrived than one response is not used again, because the rest would be taken for the response to
the next request.
"""

from __future__ import annotations

import http.client
import io
from typing import Any

from scconnect_wsgi.transport._deadline import current_deadline

MAX_INTERIM = 10  # interim responses before one final response; servers send one or two
# Bytes; reads of this size empty a record, so that nothing waits unseen inside the TLS layer
TLS_RECORD = 16_384


class _Reader(io.RawIOBase):
    """The reading side of a socket, within the deadline of the call if there is one.

    ``off`` ends the reading, and then only what the buffer above already holds is left.
    """

    def __init__(self, sock: Any, raw: io.RawIOBase) -> None:
        self._sock = sock
        self._raw = raw
        self.off = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.off:
            return None
        limit = current_deadline()
        if limit is not None:
            self._sock.settimeout(limit.left())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class StrictResponse(http.client.HTTPResponse):
    """One final response.

    ``more_came`` says, once the response was read to its end, whether anything came behind it.
    """

    def __init__(self, sock: Any, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.more_came: bool = False
        self._reader = _Reader(sock, self.fp.detach())
        self.fp: io.BufferedReader = io.BufferedReader(self._reader, TLS_RECORD)

    def begin(self) -> None:
        """Read the header.

        Refuses a damaged one: urllib3 would log what it could not read, a token perhaps.
        """
        super().begin()
        if self.msg.defects or self.msg.get_payload():
            raise http.client.HTTPException("the response's header cannot be read")

    def _read_status(self) -> tuple[str, int, str]:
        """Read the status line of the final response, and past the interim responses before it.

        http.client skips 100 (Continue) only, and any number of them. It reads the first line of a
        response here, also that of a proxy's response to CONNECT.
        """
        for _ in range(MAX_INTERIM + 1):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 <= status < 200:
                return version, status, reason
            if status == http.client.SWITCHING_PROTOCOLS:
                raise http.client.HTTPException(
                    "the other side switched to another protocol without being asked to"
                )
            # http.client bounds the number of lines and the length of each
            http.client.parse_headers(self.fp)
        raise http.client.HTTPException(
            f"more than {MAX_INTERIM} interim responses before the final one"
        )

    def _close_conn(self) -> None:
        """Let go of the connection, which http.client does at the end of the response."""
        if self.will_close is False:
            self._reader.off = True
            self.more_came = bool(self.fp.peek(1))
        super()._close_conn()  # type: ignore[misc]
