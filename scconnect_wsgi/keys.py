"""Check secret keys, whether they are given in code, in a variable or in a file.

What is refused is what people put there for the time being, and what the provider knows. What
``scconnect secret``, ``secrets``, ``uuid`` or ``openssl rand`` make passes.
"""

from __future__ import annotations

import base64
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from scconnect_wsgi.errors import ConfigurationError

LENGTH = 32  # characters, or bytes; 24 random bytes from token_urlsafe are as long
# Different characters. Of 32 random digits, one key in 800 has only 7, and none in 10 million 5.
VARIETY = 6
# Different groups of three characters. A random key of 32 characters has 30, or 29; one that
# repeats a word has as many as the word has characters.
GROUPS = 24
NEIGHBOURS = 0.9  # the share of steps such as a-b, 2-1 or 0-0; in random hexadecimal it is 0.2
REMAINDER = 16  # characters that must remain of a key without the client's credentials in it
NEW_KEY = "`scconnect secret` makes a good one."
_SURROGATE = re.compile("[\ud800-\udfff]")  # os.environ has one for each byte that is not UTF-8
_WORD = re.compile("[A-Z]?[a-z]+|[A-Z]+|[0-9]+")  # of change-me, CHANGE_ME and ChangeMe alike
# What people write to be replaced: words in lower case, with one space between them
_PLACEHOLDER = re.compile(
    r"\b((change|replace) ?(me|this|it)|your( ?secret)?( ?key)?|placeholder"
    r"|qwertyuiop|(qwertyuiop)?asdfghjkl|(qwertyuiopasdfghjkl)?zxcvbnm)\b"
)
# What may stand beside it. A text with any other word is no placeholder: a random key has some, and
# so has a pass phrase that happens to hold "change me".
_OTHER_WORDS = (
    "a an and app application at before characters client consumer enter from generator goes here "
    "id in insert is it key least long me more must of or output own please production put random "
    "secret set some something soundcloud string text the this to token value with"
)
_BESIDE = frozenset(_OTHER_WORDS.split())
# A client id or secret as a whole, in the same form
_NO_CREDENTIAL = re.compile(
    "your ([a-z0-9]+ )*(id|key|secret)( here)?( [0-9]+)?"
    "|(your)? ?(client|consumer|app) ?(id|key|secret) ?(here)?|x[x ]*|todo|tbd|fixme|keyboard ?cat"
)
_NOTHING = re.compile(r"[.<>*_\s-]+")  # such as "..." or "<>"


def checked_keys(given: object, option: str) -> list[bytes]:
    """Return one key, or several from oldest to newest, as bytes.

    Raises ConfigurationError for ``option``, without showing a key, if one is too short or easy
    to guess. That applies to old keys too, because they still verify.
    """
    keys: list[Any] = list(given) if isinstance(given, (list, tuple)) else [given]
    if not keys:
        raise ConfigurationError(option, f"must not be empty: {NEW_KEY}")
    if not all(isinstance(key, (str, bytes)) for key in keys):
        raise ConfigurationError(
            option, f"must be a string or bytes, or several from oldest to newest: {NEW_KEY}"
        )
    try:
        encoded = [key.encode("utf-8") if isinstance(key, str) else key for key in keys]
    except UnicodeEncodeError:  # its message shows the key
        raise ConfigurationError(
            option, f"must hold only characters that UTF-8 can encode: {NEW_KEY}"
        ) from None
    for key in keys:
        problem = _problem(key)
        if problem:
            raise ConfigurationError(option, f"{problem}: {NEW_KEY}")
    return encoded


def refuse_credentials(
    keys: list[bytes], is_credential: Callable[[bytes], bool], option: str
) -> None:
    """Raise ConfigurationError for ``option`` if one of ``keys`` is a credential of the client."""
    if any(is_credential(key) for key in keys):
        raise ConfigurationError(
            option,
            "must not be the client secret, which the provider knows too, nor the client id, "
            f"which everybody can read: {NEW_KEY}",
        )


def share_a_key(keys: Iterable[bytes], others: Iterable[bytes]) -> bool:
    """Return whether one of ``keys`` is one of ``others``, however the two are written."""
    pairs = itertools.product(keys, others)
    return any(is_one_of(key, other) or is_one_of(other, key) for key, other in pairs)


def is_one_of(key: bytes, *credentials: object) -> bool:
    """Return whether a key is one of these credentials, or holds little else.

    The credential may be in another case, repeated, in Base64 or hexadecimal, and with a few
    characters around it, such as blanks, quotes or the name of the site.
    """
    forms = [form for credential in credentials for form in _forms(credential)]
    folded = key.lower()
    return any(form in folded and len(folded.replace(form, b"")) < REMAINDER for form in forms)


def checked_credential(given: object, option: str, meaning: str) -> str:
    """Return a client id or secret. Raises ConfigurationError unless it is a string with one."""
    if not isinstance(given, str):
        raise ConfigurationError(
            option, f"must be the {meaning} of your application, a string, not {_kind(given)}."
        )
    if not given.strip():
        raise ConfigurationError(option, f"must be the {meaning} of your application.")
    if _SURROGATE.search(given):
        raise ConfigurationError(
            option, "holds a byte that is not UTF-8. Look at where it is written."
        )
    return given


def is_placeholder(credential: str) -> bool:
    """Return whether a client id or secret is what a manual shows, such as YOUR-CLIENT-ID."""
    if not credential.isascii():  # a word of another script is none of those below
        return False
    if _NOTHING.fullmatch(credential):
        return True
    words = _words(credential)
    return bool(_NO_CREDENTIAL.fullmatch(" ".join(words))) or _is_to_be_replaced(words)


def checked_encryption(given: object) -> None:
    """Raise ConfigurationError unless this is an Encryption, or None for no encryption.

    It is known by its method: sites without encryption do not import its module.
    """
    is_one = callable(getattr(given, "sealer", None)) and not isinstance(given, type)
    if given is not None and not is_one:
        raise ConfigurationError("encryption", f"must be an Encryption(...), not {_kind(given)}.")


def _kind(given: object) -> str:
    return given.__name__ if isinstance(given, type) else type(given).__name__


def _problem(key: str | bytes) -> str:
    """Return why a key is easy to guess, or an empty string."""
    text = key.decode("latin-1") if isinstance(key, bytes) else key
    if len(text) < LENGTH:
        return f"must have at least {LENGTH} characters"
    if len(set(text)) < VARIETY:
        return f"must contain at least {VARIETY} different characters"
    if len({text[at : at + 3] for at in range(len(text) - 2)}) < GROUPS:
        return "must not repeat itself"
    steps = [abs(ord(one) - ord(next_one)) <= 1 for one, next_one in itertools.pairwise(text)]
    if sum(steps) >= NEIGHBOURS * len(steps):
        return "must not be a sequence such as 123456 or abcdef"
    if text.isascii() and _is_to_be_replaced(_words(text)):
        return "is still a placeholder"
    return ""


def _words(text: str) -> list[str]:
    """Return the words and numbers of a text, in lower case."""
    return [word.lower() for word in _WORD.findall(text)]


def _is_to_be_replaced(words: list[str]) -> bool:
    """Return whether words ask to be replaced, and say nothing else. Numbers do not count."""
    said = " ".join(word for word in words if not word.isdigit())
    others, found = _PLACEHOLDER.subn("", said)
    return found > 0 and _BESIDE.issuperset(others.split())


def _forms(credential: object) -> Iterator[bytes]:
    """Yield how a credential may be written, in lower case."""
    plain = (
        credential
        if isinstance(credential, bytes)
        else str(credential).encode("utf-8", "surrogatepass")
    )
    plain = plain.strip()
    if not plain:
        return
    yield plain.lower()
    yield plain.hex().encode("ascii")
    # Without its end, which is another one if a line break was encoded as well
    whole = len(plain) // 3 * 3
    if whole:
        yield base64.b64encode(plain[:whole]).lower()
        yield base64.urlsafe_b64encode(plain[:whole]).lower()
