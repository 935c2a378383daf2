"""Check the user name that a site's code returns."""

from __future__ import annotations

import inspect
import re

# What str() makes of nobody: of None, as in `str(user.id)`, and of Django's user who is not signed
# in. As a user, all visitors would share one connection.
NOBODY = ("None", "AnonymousUser")
RECIPE = "str(user.id) if user.is_authenticated else None"
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class UserNameError(TypeError):
    """What should name a user is not a string, or is one that no database keeps."""


def user_name(user: object) -> str | None:
    """Return the name of a site's user as a plain string, or None for nobody.

    Nobody is None, a string without a visible character, ``"None"`` and ``"AnonymousUser"``. Every
    other string stays as it is, to the letter. Raises UserNameError for anything that is not a
    string, such as a number, because a store would find nothing under it, and for a string with a
    NUL or half of a surrogate pair.
    """
    if user is None:
        return None
    if not isinstance(user, str):
        if inspect.iscoroutine(user):
            user.close()  # or Python warns that it was never awaited
        raise UserNameError(f"a string, not {type(user).__name__}: {RECIPE}, for example.")
    name = _plain(user)
    if name.strip() in NOBODY or not any(map(_is_visible, name)):
        return None
    if _UNSTORABLE.search(name):
        raise UserNameError("a string that databases can keep: no NUL, no lone surrogate.")
    return name


def _plain(user: str) -> str:
    """Return the characters of a string of any class.

    Drivers of databases treat some classes in their own way: psycopg stores a member of an Enum by
    its name. A lazy object (Django's SimpleLazyObject) only claims to be a string, and str() of it
    may be of such a class.
    """
    return "".join(user)


def _is_visible(character: str) -> bool:
    return character.isprintable() and not character.isspace()
