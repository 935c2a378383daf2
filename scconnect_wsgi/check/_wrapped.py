"""Find the SCConnects in an application, however they are wrapped.

    app.wsgi_app = SCConnect(app.wsgi_app, ...)     an attribute
    application = ProxyFix(SCConnect(application))  a middleware around it
    def application(environ, start_response): ...   a function, which calls a global or a closure

Nothing is called, and no attribute is asked for: the objects are found by the references that the
garbage collector knows.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any, TypeGuard, TypeVar

from scconnect_wsgi.middleware import SCConnect

MOST = 200_000  # objects to look at; a large Django site has a tenth of them around its handler
T = TypeVar("T")
_LEAVES = (str, bytes, bytearray, int, float, complex, ModuleType, type, CodeType)


def sites_in(application: object) -> list[SCConnect]:
    """Return every SCConnect that an application leads to, the outermost first."""
    found: list[SCConnect] = []
    queue: deque[object] = deque([application])
    seen = {id(application)}
    kept: list[object] = []  # so that no id is used twice
    while queue and len(seen) < MOST:
        thing = queue.popleft()
        kept.append(thing)
        if _is_a(thing, SCConnect):
            found.append(thing)
        for child in _children(thing):
            if id(child) not in seen and not _is_a(child, *_LEAVES):
                seen.add(id(child))
                queue.append(child)
    return found


def _is_a(thing: object, *kinds: type[T]) -> TypeGuard[T]:
    """Return whether a thing is of one of these kinds.

    isinstance() would ask it for its ``__class__``, which runs code of proxies and lazy objects.
    """
    return issubclass(type(thing), kinds)


def _children(thing: object) -> Iterator[Any]:
    """Yield what an object refers to, as far as a request can go there."""
    if _is_a(thing, FunctionType):
        yield from _children_of_function(thing)
        return
    yield from gc.get_referents(thing)
    call = vars(type(thing)).get("__call__")
    if _is_a(call, FunctionType):
        yield from _called_globals(call)


def _children_of_function(function: FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            continue
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    yield from vars(function).values()  # __wrapped__ is one
    yield from _called_globals(function)


def _called_globals(function: FunctionType) -> Iterator[Any]:
    """Yield the globals that a WSGI application names, if the function looks like one."""
    arguments = function.__code__.co_varnames[: function.__code__.co_argcount]
    if len([name for name in arguments if name != "self"]) != 2:
        return
    for name in function.__code__.co_names:
        value = function.__globals__.get(name)
        if callable(value):
            yield value
