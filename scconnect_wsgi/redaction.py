"""Keep secrets out of logs and out of what error reporters read.

``safe_traceback`` is for the exceptions of the site's own code, which are logged: a database driver
that fails may print the parameters of its statement, a KeyError its key, a ``str(request)`` the
Cookie header, and a line break in any of them could pass for a log record of its own.

``hides_locals`` and ``forget_locals`` are for the errors that this package raises. Error reporters
such as Sentry keep the local variables of every frame in a traceback, and those of a token request
are the client secret, the code verifier and the tokens.
"""

from __future__ import annotations

import base64
import functools
import itertools
import re
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType
from typing import Any, Protocol, TypeVar, cast
from urllib.parse import parse_qsl

MIN_LENGTH = 4  # characters of a secret; shorter values are common words of a log
MIN_COOKIE = 8  # characters of a cookie's value; shorter ones are preferences, such as a language
HIDDEN = "***"
_CREDENTIALS = ("HTTP_AUTHORIZATION", "HTTP_PROXY_AUTHORIZATION")
_CONTROLS = {"b": b"\b", "f": b"\f", "n": b"\n", "r": b"\r", "t": b"\t"}
# One unit of a text: a character, or the way in which a URL, a repr, JSON or a quoted cookie (in
# octal) writes one. Backslashes may be doubled, and percent signs encoded again, any number of
# times.
_UNIT = re.compile(
    r"%(?:25)*(?P<byte>[0-9A-Fa-f]{2})"
    r"|\\+[xuU](?P<character>(?<=x)[0-9A-Fa-f]{2}|(?<=u)[0-9A-Fa-f]{4}|(?<=U)000[0-9A-Fa-f]{5})"
    r"|\\+(?P<octal>[0-3][0-7]{2})"
    r"|\\+(?P<control>[bfnrt])"
    r"|\\+"
    r"|.",
    re.DOTALL,
)

Call = TypeVar("Call", bound=Callable[..., Any])
Error = TypeVar("Error", bound=BaseException)
Kind = TypeVar("Kind")


class Secrets(Protocol):
    """Something that holds secrets: an AccessToken."""

    def to_dict(self) -> dict[str, Any]:
        """Return everything in it, ready for JSON."""


def hides_locals(call: Call) -> Call:
    """Decorate a function so that what it raises holds no local variables of its frames.

    It is for public functions that handle secrets and call nothing of the site's own. The traceback
    keeps its lines. Interruptions are no exception: a worker's timeout is raised in the middle of a
    request.
    """

    @functools.wraps(call)
    def hiding(*args: Any, **kwargs: Any) -> Any:
        handled = sys.exception()  # the site may call from an except block, whose error is its own
        try:
            return call(*args, **kwargs)
        except BaseException as caught:
            error = caught
        del args, kwargs  # this frame is in the traceback as well
        try:
            # Outside of the except block, so that Python sets the site's own context
            raise forget_locals(error, handled)
        finally:
            del error, handled

    return cast(Call, hiding)


def hides_all_locals(kind: type[Kind]) -> type[Kind]:
    """Decorate a class: its constructor and every public method hide their locals."""
    for name, member in list(vars(kind).items()):
        if isinstance(member, FunctionType) and (name == "__init__" or not name.startswith("_")):
            setattr(kind, name, hides_locals(member))
    return kind


def forget_locals(error: Error, handled: BaseException | None = None) -> Error:
    """Clear the local variables in the tracebacks of an error and of what it was made from.

    Returns the error, without its context: that is an exception of a library, whose own attributes
    may hold the request. A cause, which was given on purpose, stays. ``handled`` is an exception
    that is left as it is, also if it is the error itself. The frames of functions that are still
    running cannot be cleared.
    """
    for cause in causes(error, handled):
        traceback.clear_frames(cause.__traceback__)
    if error is not handled:
        error.__context__ = None
    return error


def causes(error: BaseException, handled: BaseException | None = None) -> Iterator[BaseException]:
    """Yield an error and what it was made from, each once, but not ``handled``.

    requests and urllib3 keep that in ``args`` or ``reason``, and a group of exceptions in
    ``exceptions``.
    """
    queue: deque[object] = deque([error])
    seen: set[int] = {id(handled)}
    while queue:
        cause = queue.popleft()
        if not isinstance(cause, BaseException) or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        queue.extend(cause.args)
        queue.extend([getattr(cause, "reason", None), cause.__cause__, cause.__context__])
        if isinstance(cause, BaseExceptionGroup):
            queue.extend(cause.exceptions)


def safe_traceback(
    environ: Mapping[str, Any],
    token: Secrets | None = None,
    *,
    handled: BaseException | None = None,
) -> str:
    """Return the traceback of the exception that is being handled, without secrets.

    ``handled`` is the exception that was being handled already when the site's code was called. It
    is somebody else's and may hold any secret, so it is not shown as the context of the new one.

    Hidden are the query of the request, its Cookie and Authorization headers, the values in them,
    and every string in the token, in whatever way a URL, a repr or JSON encodes them. Each line is
    indented and has no control characters.

    Log it outside of the except block: some log handlers look at the exception that is handled.
    """
    secrets = set(_secrets_of_request(environ))
    if token is not None:
        secrets.update(_strings(token.to_dict()))
    text = _hide(secrets, _format_without(handled))
    return "\n".join(f"  | {ascii(line)[1:-1]}" for line in text.splitlines())


def _format_without(handled: BaseException | None) -> str:
    """Return the traceback of the exception that is being handled now, but not that of another."""
    error = sys.exception()
    if error is not None and handled is not None:
        for cause in causes(error, handled):
            if cause.__context__ is handled:
                cause.__context__ = None
    return traceback.format_exc()


def holds(text: str, secret: str) -> bool:
    """Return whether a text contains a secret, in whatever way a URL, a repr or JSON encodes it."""
    return _decoded_bytes(secret) in _decoded_bytes(text)


def _secrets_of_request(environ: Mapping[str, Any]) -> Iterator[str]:
    """Yield the parts of a request that may hold secrets, and the values in them."""
    for query in _readings(environ, "QUERY_STRING"):
        yield query
        yield from (value for _, value in parse_qsl(query, errors="replace"))
    for cookies in _readings(environ, "HTTP_COOKIE"):
        yield cookies
        values = (pair.partition("=")[2].strip(' \t"') for pair in cookies.split(";"))
        yield from (value for value in values if len(value) >= MIN_COOKIE)
    for name in _CREDENTIALS:
        yield from _parts_of_credentials(str(environ.get(name, "")))


def _readings(environ: Mapping[str, Any], name: str) -> Iterator[str]:
    """Yield a value of the environ, and what its bytes are in UTF-8, as frameworks read them.

    PEP 3333 has them decoded as latin-1.
    """
    text = str(environ.get(name, ""))
    yield text
    if not text.isascii():
        yield text.encode("latin-1", "replace").decode("utf-8", "replace")


def _parts_of_credentials(header: str) -> Iterator[str]:
    """Yield an Authorization header, what follows its scheme, and the password of Basic."""
    yield header
    scheme, _, credentials = header.partition(" ")
    yield credentials
    if scheme.lower() == "basic":
        try:
            decoded = base64.b64decode(credentials).decode("utf-8", "replace")
        except ValueError:
            return
        yield decoded.partition(":")[2]


def _strings(value: object) -> Iterator[str]:
    """Yield every string in a JSON-like value, except the keys of its objects."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _strings(inner)


def _hide(secrets: set[str], text: str) -> str:
    """Replace secrets, however they are encoded: both are compared with all encodings undone."""
    units = [unit[0] for unit in _UNIT.finditer(text)]
    decoded, owners = _decoded(text)
    hidden = [False] * len(units)
    for secret in {_decoded_bytes(secret) for secret in secrets}:
        for start in _found(secret, decoded):
            first = owners[start]
            last = owners[start + len(secret) - 1]
            hidden[first : last + 1] = [True] * (last + 1 - first)
    runs = itertools.groupby(range(len(units)), hidden.__getitem__)
    return "".join(
        HIDDEN if is_hidden else "".join(units[number] for number in numbers)
        for is_hidden, numbers in runs
    )


def _found(secret: bytes, text: bytes) -> Iterator[int]:
    """Yield where a secret begins in a text, if it is long enough to be one."""
    if len(secret) < MIN_LENGTH:
        return
    start = text.find(secret)
    while start >= 0:
        yield start
        start = text.find(secret, start + len(secret))


def _decoded_bytes(text: str) -> bytes:
    """Return what ``_decoded`` does, without the numbers of the units."""
    if "%" in text or "\\" in text:
        return _decoded(text)[0]
    # Nothing is encoded, as in most tokens; unit by unit this would cost a flow a millisecond
    return text.encode("utf-8", "surrogatepass").replace(b"+", b" ")


def _decoded(text: str) -> tuple[bytes, list[int]]:
    """Return a text with all encodings undone, and for each byte the number of its unit.

    A plus sign becomes a space: forms write one for the other. Backslashes are left out, as they
    may only escape what follows.
    """
    decoded = bytearray()
    owners: list[int] = []
    for number, unit in enumerate(_UNIT.finditer(text)):
        data = _bytes_of(unit).replace(b"\\", b"")
        decoded += data
        owners += [number] * len(data)
    return bytes(decoded).replace(b"+", b" "), owners


def _bytes_of(unit: re.Match[str]) -> bytes:
    """Return the bytes that a unit stands for."""
    if unit["byte"]:
        return bytes.fromhex(unit["byte"])
    if unit["character"]:
        return chr(int(unit["character"], 16)).encode("utf-8", "surrogatepass")
    if unit["octal"]:
        return bytes([int(unit["octal"], 8)])
    if unit["control"]:
        return _CONTROLS[unit["control"]]
    return unit[0].encode("utf-8", "surrogatepass")
