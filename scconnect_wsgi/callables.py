"""Check the callables that a site gives, and explain why one of them has failed.

They are called outside of the site's framework, with a ``webob.Request``. That is where most first
attempts go wrong: Flask's ``request`` and flask_login's ``current_user`` stand for something only
while Flask itself answers a request. What can be seen when the option is given is refused then;
``hint`` is for the rest, which shows at the first click.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence

from scconnect_wsgi.errors import ConfigurationError

FLASK_RECIPE = (
    "def identify(request): with app.request_context(request.environ): "
    "return flask_login.current_user.get_id()"
)
DJANGO_RECIPE = (
    "Django has a function for it: from scconnect_wsgi.django import current_user, and then "
    "identify=current_user"
)
PYRAMID_RECIPE = (
    "In Pyramid: def identify(request): with router.request_context({**request.environ}) as seen: "
    "return seen.authenticated_userid"
)
_PROXIES = {("werkzeug.local", "LocalProxy")}


def check_callable(option: str, given: object, parameters: Sequence[str]) -> None:
    """Raise ConfigurationError unless ``given`` can be called with these arguments, or is None.

    The option is an ordinary function, a bound method, or an object that can be called like one.
    Nothing is called. A callable whose parameters cannot be found out is taken as it is.
    """
    if given is None:
        return
    form = f"{option}({', '.join(parameters)})"
    if _is_proxy(given):
        raise ConfigurationError(
            option,
            "must be a function of your own. This is a proxy of Flask, such as request or "
            "current_user, which stands for nothing outside of Flask's own requests. Open a "
            f"context in a function: {FLASK_RECIPE}",
        )
    if not callable(given):
        raise ConfigurationError(
            option, f"must be a callable, not {type(given).__name__}: it is called as {form}."
        )
    if _is_asynchronous(given):
        raise ConfigurationError(
            option,
            "must be an ordinary function, not one with `async def`: WSGI cannot await it. It is "
            f"called as {form}.",
        )
    signature = _unfit_signature(given, parameters)
    if signature is not None:
        raise ConfigurationError(option, _wrong_parameters(form, signature))


def check_identify(given: object) -> None:
    """Raise ConfigurationError unless ``given`` can say who is signed in, or is None."""
    kind = type(given)  # what it is, whatever it claims to be: a lazy object asks the database
    if issubclass(kind, type) and isinstance(given, type):
        raise ConfigurationError(
            "identify",
            f"must be a function, not the class {given.__name__}. It is called as "
            "identify(request) and returns the id of the user who is signed in, as a string. "
            f"{_recipe(given)}",
        )
    if kind is property or (_framework(kind) and not callable(given)):
        raise ConfigurationError(
            "identify",
            f"must be a function, not {kind.__name__}, which belongs to one request of the "
            f"framework. {_recipe(kind)}",
        )
    check_callable("identify", given, ["request"])


def hint(error: BaseException) -> str:
    """Return a sentence about the likely cause of what a callable of the site raised.

    It begins with a space, and is empty if the error is none of those that a framework's own
    ``request``, ``session`` or ``current_user`` leads to outside of its requests. A function that
    was written for the request of Django or Pyramid asks a webob.Request for its user. Flask says
    "Working outside of request context" and Bottle "Request context not initialized"; but
    flask_login's ``current_user``, like Pyramid's current request, is then simply None.
    """
    if isinstance(error, AttributeError) and _is_of_webob(error.obj):
        return (
            f" Likely cause: it is called with a webob.Request, which has no `{error.name}`: the "
            f"framework has not seen this request yet. {DJANGO_RECIPE}. {PYRAMID_RECIPE}"
        )
    if isinstance(error, RuntimeError) and " context" in str(error):
        cause = "it uses its framework's request, session or database, which"
    elif isinstance(error, AttributeError) and error.obj is None and error.name is not None:
        cause = "it reads an attribute of None. A framework's current user or current request"
    else:
        return ""
    return (
        f" Likely cause: {cause} is not there outside of the framework's own requests. Use the "
        f"request that it is called with, or open a context. In Flask: {FLASK_RECIPE}"
    )


def _recipe(kind: type) -> str:
    """Return how a function names the user, in the framework that a class comes from."""
    if _framework(kind) == "django":
        return DJANGO_RECIPE
    if _framework(kind) == "pyramid" or kind is property:
        return PYRAMID_RECIPE
    return f"With flask_login: {FLASK_RECIPE}"


def _framework(kind: type) -> str:
    """Return "django" or "pyramid" if a class, or one that it is derived from, comes from there."""
    packages = {base.__module__.partition(".")[0] for base in kind.__mro__}
    return next((name for name in ("django", "pyramid") if name in packages), "")


def _is_of_webob(obj: object) -> bool:
    """Return whether this is the request that callables get, and not a framework's own."""
    return type(obj).__module__.partition(".")[0] == "webob"


def _is_proxy(given: object) -> bool:
    """Return whether this is a proxy, whatever it claims to be: its own type says so."""
    kind = type(given)
    return (kind.__module__, kind.__name__) in _PROXIES


def _is_asynchronous(given: object) -> bool:
    method = inspect.getattr_static(given, "__call__", None)  # of an object like a function
    return _is_async_function(given) or _is_async_function(method)


def _is_async_function(function: object) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def _unfit_signature(
    given: Callable[..., object], parameters: Sequence[str]
) -> inspect.Signature | None:
    """Return the signature of a callable that cannot be called with these parameters, or None.

    A decorated function is called by its wrapper, whatever the function inside takes.
    """
    try:
        signature = inspect.signature(given, follow_wrapped=False)
    except Exception:  # built-in functions have none, and proxies run the site's code
        return None
    try:
        signature.bind(*parameters)
    except TypeError:
        return signature
    return None


def _needs_a_name(parameter: inspect.Parameter) -> bool:
    return parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty


def _wrong_parameters(form: str, signature: inspect.Signature) -> str:
    """Return what is wrong with the parameters. Their default values are not shown."""
    plain = [
        parameter.replace(default=inspect.Parameter.empty, annotation=inspect.Parameter.empty)
        for parameter in signature.parameters.values()
    ]
    problem = f"is called as {form}, and this callable takes {inspect.Signature(plain)}."
    if plain and plain[0].name == "self":
        problem += " Give the method of an object, not that of its class."
    if any(map(_needs_a_name, signature.parameters.values())):
        problem += " It is called without names, so it must not require what stands after a *."
    return problem
