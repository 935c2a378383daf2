"""Whom the value names that a site's code returns for its user."""

import enum
import uuid
from functools import partial

import pytest
from django.utils.functional import LazyObject, SimpleLazyObject, lazystr
from markupsafe import Markup

from scconnect_wsgi.users import user_name

pytestmark = pytest.mark.threat(48)


class Name(str, enum.Enum):  # noqa: UP042  # as sites wrote it before StrEnum
    JOE = "joe"


class Shouted(str):
    """A string that shows itself in another way than it is."""

    __slots__ = ()

    def __str__(self):
        return "JOE"


class Lazy(LazyObject):
    def _setup(self):
        self._wrapped = "joe"


NOBODY = [
    None,
    "",
    " ",
    " \t\r\n\x0b\x0c",
    "\N{NO-BREAK SPACE}\N{IDEOGRAPHIC SPACE}\u2028",
    "\N{ZERO WIDTH SPACE}",
    "\N{ZERO WIDTH NO-BREAK SPACE}",
    "\N{SOFT HYPHEN} \N{RIGHT-TO-LEFT MARK}",
    "\x00",
    "\x7f",
    "None",
    " None\n",
    "AnonymousUser",
    Markup(" "),
    Markup("None"),
    SimpleLazyObject(lambda: ""),
    SimpleLazyObject(lambda: "None"),
]


@pytest.mark.parametrize("value", NOBODY, ids=ascii)
def test_48_nobody(value):
    assert user_name(value) is None


@pytest.mark.parametrize(
    "name",
    [
        "joe",
        " joe ",
        "7",
        "0",
        "none",
        "None of us",
        "null",
        "\N{GRINNING FACE}",
        "jo\N{LATIN SMALL LETTER E WITH DIAERESIS}",
        "joe\N{COMBINING DIAERESIS}",
        "x" * 300,
        "joe\N{ZERO WIDTH SPACE}",
    ],
    ids=ascii,
)
def test_48_a_name_stays_as_it_is(name):
    assert user_name(name) == name


@pytest.mark.parametrize(
    "value",
    [
        Name.JOE,
        Shouted("joe"),
        Markup("joe"),
        SimpleLazyObject(lambda: "joe"),
        SimpleLazyObject(lambda: Name.JOE),
        SimpleLazyObject(lambda: Markup("joe")),
        Lazy(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_48_a_string_of_any_class_becomes_a_plain_one(value):
    name = user_name(value)
    assert type(name) is str
    assert name == "joe"


NO_STRINGS = [
    7,
    0,
    True,
    False,
    7.5,
    b"joe",
    b"",
    bytearray(b"joe"),
    memoryview(b"joe"),
    uuid.UUID(int=7),
    ["joe"],
    ("joe",),
    {"id": "joe"},
    object(),
    SimpleLazyObject(lambda: 7),
    SimpleLazyObject(lambda: None),
    partial(str, "joe"),
]


@pytest.mark.parametrize("value", NO_STRINGS, ids=lambda value: type(value).__name__)
def test_48_what_is_no_string_is_told(value):
    with pytest.raises(TypeError, match=f"a string, not {type(value).__name__}: str"):
        user_name(value)


def test_48_a_lazy_translation_is_told():
    from support.sites.django import site

    site()  # with its settings, which all tests in this process share
    with pytest.raises(TypeError, match="a string, not __proxy__"):
        user_name(lazystr("joe"))


@pytest.mark.parametrize("name", ["a\x00b", "joe\ud800", "\udc80joe", "jo\ud83d\ude00e"], ids=ascii)
def test_48_a_name_that_no_database_keeps_is_told(name):
    with pytest.raises(TypeError, match="a string that databases can keep"):
        user_name(name)
