"""HTTP connections whose answers are read strictly: each call gets its own final answer, or an
error.

urllib3's connections with http.client's answers, and three rules on top. Interim responses (RFC
9110 section 15.2) are read past, all of them. A header that cannot be read is an error. A
connection on which more arrived than one answer is not used again, because what came behind the
answer would be taken for the answer to the next call.
"""

from __future__ import annotations

import http.client
import io
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

MAX_INTERIM = 10  # interim responses before one final answer; servers send one or two
# Bytes; reads of this size empty a record, so that nothing waits unseen inside the TLS layer
TLS_RECORD = 16_384


class _Tap(io.RawIOBase):
    """The reading side of a connection, which can be turned off:

    then nothing but the buffer above it is left.
    """

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw = raw
        self.off = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        return None if self.off else self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class StrictResponse(http.client.HTTPResponse):
    """One final answer.

    ``more_came`` says, once it was read to its end, whether something stood behind it.
    """

    def __init__(self, sock: Any, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.more_came: bool = False
        self._tap = _Tap(self.fp.detach())
        self.fp: io.BufferedReader = io.BufferedReader(self._tap, TLS_RECORD)

    def begin(self) -> None:
        """Read the header.

        Refuses a damaged one: urllib3 would log what it could not read, a token perhaps.
        """
        super().begin()
        if self.msg.defects or self.msg.get_payload():
            raise http.client.HTTPException("the answer's header cannot be read")

    def _read_status(self) -> tuple[str, int, str]:
        """Read the status line of the final answer, and past the interim responses before it.

        http.client skips 100 (Continue) only, and as many as there are. It reads an answer's first
        line here, and the answer of a proxy to CONNECT as well.
        """
        for _ in range(MAX_INTERIM + 1):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 <= status < 200:
                return version, status, reason
            if status == http.client.SWITCHING_PROTOCOLS:
                raise http.client.HTTPException(
                    "the other side switched to another protocol, which nobody asked for"
                )
            http.client.parse_headers(
                self.fp
            )  # bounded: the length of a line, and the number of lines
        raise http.client.HTTPException(
            f"more than {MAX_INTERIM} interim responses before the answer"
        )

    def _close_conn(self) -> None:
        """Let go of the connection, which http.client does at the end of the answer."""
        if self.will_close is False:
            self._tap.off = True
            self.more_came = bool(self.fp.peek(1))
        super()._close_conn()  # type: ignore[misc]


class StrictConnection(HTTPConnection):
    """A connection that reads its answers strictly."""

    response_class: Any = StrictResponse
    _last: Any = None  # the StrictResponse to the last request

    def getresponse(self) -> Any:
        """Read the answer's header."""
        response: Any = super().getresponse()
        self._last = response._original_response
        return response

    def close(self) -> None:
        """Close the connection; urllib3 may open it anew, and then nothing of before counts."""
        self._last = None
        super().close()

    @property
    def is_connected(self) -> bool:
        """Whether the connection may carry another request;

        the pool opens a new one if it may not.
        """
        if self._last is not None and self._last.more_came:
            return False
        return (
            super().is_connected
        )  # it is not, if there is something to read before anything was asked


class _StrictHTTPSConnection(StrictConnection, HTTPSConnection):
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = StrictConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _StrictHTTPSConnection


POOLS = {"http": _HTTPPool, "https": _HTTPSPool}  # for a PoolManager's pool_classes_by_scheme
