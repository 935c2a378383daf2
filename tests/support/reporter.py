"""What error reporters keep of an exception, as one text to search for secrets.

Two reporters look at it. The first one is ours, and more curious than any: it walks every exception
that can be reached, the attributes of each, and every frame of each traceback, with the repr of
every local variable, what is in its containers, and its attributes. The second is Sentry itself,
without the scrubber that hides what has a name such as ``password``.

The tests' own frames are left out: a site's variables are its own affair.
"""

from __future__ import annotations

import json
import traceback
import warnings
from collections import deque
from collections.abc import Mapping, Sequence, Set

from support.paths import TESTS

DEPTH = 5  # of containers, as Sentry's


def kept(error):
    """Return all that both reporters keep of an exception."""
    return "\n".join([walked(error), *_sent_to_sentry(error)])


def walked(error):
    """Return what ours keeps. It imports nothing, so a test may fork processes after it: Sentry
    imports eventlet, which warns of each fork.
    """
    return "\n".join(_walk(error))


def _walk(error):
    for found in _reachable(error):
        yield from traceback.format_exception(found, chain=False)
        for name, value in vars(found).items():
            yield from shown(value, attributes=name == "request")
        for frame, _ in traceback.walk_tb(found.__traceback__):
            if not frame.f_code.co_filename.startswith(str(TESTS)):
                for value in frame.f_locals.values():
                    yield from shown(value, attributes=True)


def _reachable(error):
    queue = deque([error])
    seen = set()
    while queue:
        found = queue.popleft()
        if isinstance(found, BaseException) and id(found) not in seen:
            seen.add(id(found))
            yield found
            queue.extend([found.__cause__, found.__context__, *found.args, *vars(found).values()])


def shown(value, *, attributes=False, depth=DEPTH):
    """Yield the repr of a value, and of what is in it."""
    yield repr(value)
    if depth == 0:
        return
    if isinstance(value, (bytes, bytearray)):
        yield bytes(value).decode("latin-1")
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from shown(inner, depth=depth - 1)
    elif isinstance(value, (Sequence, Set)) and not isinstance(value, str):
        for inner in value:
            yield from shown(inner, depth=depth - 1)
    elif attributes:
        for inner in getattr(value, "__dict__", {}).values():
            yield from shown(inner, depth=depth - 1)


def _sent_to_sentry(error):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports what else is installed, such as eventlet
        import sentry_sdk
        from sentry_sdk.scrubber import EventScrubber
        from sentry_sdk.utils import event_from_exception

    sent = []

    class Outbox(sentry_sdk.transport.Transport):
        def capture_envelope(self, envelope):
            sent.append(envelope.get_event())

    client = sentry_sdk.Client(
        dsn="https://nobody@sentry.invalid/1",
        transport=Outbox,
        default_integrations=False,
        event_scrubber=EventScrubber(denylist=[]),
        max_value_length=100_000,
    )
    event, hint = event_from_exception(error, client_options=client.options)
    client.capture_event(event, hint, sentry_sdk.Scope(client=client))
    (event,) = sent
    for exception in event["exception"]["values"]:
        for frame in exception.get("stacktrace", {}).get("frames", []):
            if not frame["abs_path"].startswith(str(TESTS)):
                yield json.dumps(frame["vars"], default=repr)
        yield json.dumps({**exception, "stacktrace": None}, default=repr)
