"""Check the user name that a site's code returns."""

from __future__ import annotations

# What str(None) is: the name that `str(user.id)` gives to every visitor who is not signed in. As a
# user, all of them would share one connection.
STR_OF_NONE = "None"
RECIPE = "str(user.id) if user.is_authenticated else None"


def user_name(user: object) -> str | None:
    """Return the name of a site's user, or None for nobody.

    Nobody is None, a string without a visible character, and ``"None"``. Raises TypeError for
    anything that is not a string, such as a number, because a store would find nothing under it.
    """
    if user is None:
        return None
    if not isinstance(user, str):
        raise TypeError(f"a string, not {type(user).__name__}: {RECIPE}, for example.")
    name = user.strip()
    if not name or name == STR_OF_NONE:
        return None
    return user
