"""An access token checks its types, and reads what other libraries keep."""

import datetime
import json
import pickle
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from support.reporter import walked

from scconnect_wsgi.token import AccessToken

SECRET = "canary-token-0123456789"
UTC = datetime.UTC
MOMENT = datetime.datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
FLASK_DANCE = {
    "access_token": "an-access-token",
    "expires_at": 1795780800.4376,
    "expires_in": 3599.2,
    "refresh_token": "a-refresh-token",
    "scope": ["read", "write"],
    "token_type": "Bearer",
}
WRONG: list[tuple[str, list[Any]]] = [
    ("token", [None, 5, b"t", ["t"], {"token": "t"}]),
    ("token_secret", [5, b"s", ["s"], False]),
    ("refresh_token", [5, b"r", ["r"], False]),
    ("scope", [5, ["read"], {"read"}]),
    ("extra", [None, 5, [], "x"]),
    (
        "expires_at",
        [
            MOMENT,
            MOMENT.replace(tzinfo=None),
            MOMENT.date(),
            datetime.timedelta(hours=1),
            "1795780800",
            "2026-11-27T12:00:00Z",
            b"5",
            True,
            False,
            [5],
            Decimal(5),
            float("nan"),
            float("inf"),
        ],
    ),
]


def token_with(name, value):
    return AccessToken(**{"token": SECRET, name: value})


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG for value in values]
)
def test_a_value_of_a_wrong_type_is_refused_where_it_is_given(name, value):
    with pytest.raises(TypeError, match=f"^{name} must be ") as caught:
        token_with(name, value)
    assert SECRET not in walked(caught.value)
    if value is not None or name in ("token", "extra"):
        with pytest.raises(ValueError, match=f"not the fields.*{name} must be "):
            AccessToken.from_dict({"token": "t", name: value})


def test_the_refusal_of_a_datetime_says_how_to_convert_it():
    for moment in (MOMENT, MOMENT.replace(tzinfo=None)):
        with pytest.raises(TypeError) as caught:
            AccessToken(SECRET, refresh_token=SECRET, expires_at=moment)  # type: ignore[arg-type]
        advice = str(caught.value)
        assert "int(expires_at.timestamp())" in advice
        assert "int(expires_at.replace(tzinfo=datetime.timezone.utc).timestamp())" in advice
    aware = "int(expires_at.timestamp())"
    naive = "int(expires_at.replace(tzinfo=datetime.timezone.utc).timestamp())"
    assert eval(aware, {"expires_at": MOMENT}) == 1795780800
    names = {"expires_at": MOMENT.replace(tzinfo=None), "datetime": datetime}
    assert eval(naive, names) == 1795780800


def test_an_empty_token_is_a_value_error():
    with pytest.raises(ValueError, match="token must not be empty"):
        AccessToken("")


def test_a_fraction_of_a_second_and_an_empty_refresh_token_are_read():
    token = AccessToken("t", refresh_token="", expires_at=1795780800.9)  # type: ignore[arg-type]
    assert token == AccessToken("t", expires_at=1795780800)
    assert isinstance(token.expires_at, int)
    assert AccessToken("t", "").token_secret == ""  # OAuth 1.0a may have none
    assert AccessToken("t", expires_at=0).expires_at == 0
    assert AccessToken("t", expires_at=-5).expires_at == -5


def test_a_token_is_still_a_frozen_dataclass():
    token = AccessToken("t", refresh_token="r", extra={"a": 1})
    assert replace(token, token="u").refresh_token == "r"
    assert pickle.loads(pickle.dumps(token)) == token
    with pytest.raises(TypeError, match="unexpected keyword"):
        AccessToken("t", unknown=1)  # type: ignore[call-arg]


def test_a_dict_of_another_library_is_read():
    token = AccessToken.from_dict(FLASK_DANCE)
    assert token == AccessToken(
        "an-access-token",
        refresh_token="a-refresh-token",
        expires_at=1795780800,
        scope="read write",
        extra={"expires_in": 3599.2, "token_type": "Bearer"},
    )
    assert FLASK_DANCE["scope"] == ["read", "write"]  # the site's dict stays as it was
    assert AccessToken.from_dict(json.loads(json.dumps(token.to_dict()))) == token

    old_client = {
        "access_token": "t",
        "scope": "non-expiring",
        "expires_in": None,
        "refresh_token": "",
    }
    assert AccessToken.from_dict(old_client) == AccessToken(
        "t", scope="non-expiring", extra={"expires_in": None}
    )
    oauth1 = {"oauth_token": "t", "oauth_token_secret": "s", "user_nsid": "1@N02"}
    assert AccessToken.from_dict(oauth1) == AccessToken("t", "s", extra={"user_nsid": "1@N02"})


@pytest.mark.parametrize(
    "fields",
    [
        {"access_token": None},
        {"access_token": ""},
        {"access_token": {"oauth_token": "t"}},
        {"access_token": SECRET, "expires_at": "soon"},
        {"access_token": SECRET, "expires_at": MOMENT},
        {"access_token": SECRET, "refresh_token": 5},
        {"access_token": SECRET, "scope": 5},
        {"refresh_token": SECRET},
        {"token": SECRET, "access": SECRET},
    ],
    ids=str,
)
def test_what_is_no_dict_of_a_token_is_a_value_error_without_secrets(fields):
    with pytest.raises(ValueError, match="These are not the fields") as caught:
        AccessToken.from_dict(fields)
    assert SECRET not in walked(caught.value)


@pytest.mark.parametrize(
    "fields",
    [json.dumps({"access_token": SECRET}), SECRET, None, [SECRET, "access_token"], b"access_token"],
    ids=ascii,
)
def test_what_is_no_mapping_is_a_value_error_without_secrets(fields):
    with pytest.raises(ValueError, match=r"must be a mapping.*json\.loads") as caught:
        AccessToken.from_dict(fields)
    assert SECRET not in walked(caught.value)


def test_the_repr_names_what_is_beside_the_token_whatever_its_names_are():
    token = AccessToken(SECRET, extra={"b": 1, 2: 3})  # type: ignore[dict-item]
    assert repr(token).endswith("extra=['2', 'b'])")
