"""The account in an answer to ``/me``, and the names made from it."""

import pytest

from scconnect_wsgi.account import Account
from scconnect_wsgi.connections._accounts import account_from
from scconnect_wsgi.connections._naming import connection_id, user_at


@pytest.mark.parametrize(
    ("fields", "account"),
    [
        ({}, Account()),
        ({"urn": "soundcloud:users:7", "id": 8}, Account("soundcloud:users:7")),
        ({"id": 8}, Account("soundcloud:users:8")),
        ({"urn": "", "id": 8}, Account("soundcloud:users:8")),
        ({"urn": " ", "id": 0}, Account()),
        ({"id": -8}, Account()),
        ({"id": 8.0}, Account()),
        ({"id": "8", "username": 5, "avatar_url": None, "full_name": ["x"]}, Account()),
        ({"id": True, "username": "joe", "full_name": "Joe"}, Account(username="joe", name="Joe")),
        ({"avatar_url": "javascript:alert(1)", "permalink_url": "data:text/html,x"}, Account()),
        (
            {"permalink_url": "https://soundcloud.com/joe"},
            Account(permalink_url="https://soundcloud.com/joe"),
        ),
    ],
)
def test_an_account_takes_what_is_there(fields, account):
    assert account_from(fields, "https://api.soundcloud.com") == account


@pytest.mark.threat(48)
@pytest.mark.parametrize(
    ("fields", "urn"),
    [
        ({"id": 8}, "8"),
        ({"id": "8"}, "8"),
        ({"id": "35034348999@N01"}, "35034348999@N01"),
        ({"urn": "users:7", "id": 8}, "users:7"),
        ({"urn": "soundcloud:users:7"}, "soundcloud:users:7"),
        ({"id": 10**300}, f"1{'0' * 300}"),
    ],
)
def test_48_another_providers_account_has_no_key_of_soundcloud(fields, urn):
    assert account_from(fields, "https://api.soundcloud.com.example") == Account(urn)


@pytest.mark.threat(48)
@pytest.mark.parametrize("urn", ["", " ", "None", None, 7])
@pytest.mark.parametrize("id", ["", "\t", "None", None, True, 0, -8, 8.0, [8]])
def test_48_an_answer_without_a_usable_key_gives_none(urn, id):
    fields = {"urn": urn, "id": id}
    assert account_from(fields, "https://api.soundcloud.com.example") == Account()


NO_URNS_OF_SOUNDCLOUD = [
    "None",
    "5",
    "joe",
    "soundcloud:users:",
    "soundcloud:users:None",
    "soundcloud:users:0",
    "soundcloud:users:5 ",
    "soundcloud:tracks:5",
    "https://api.other.example#5",
]


@pytest.mark.threat(48)
@pytest.mark.parametrize("urn", NO_URNS_OF_SOUNDCLOUD)
def test_48_soundcloud_knows_a_user_by_a_urn_of_its_own_or_by_a_number(urn):
    assert account_from({"urn": urn}, "https://api.soundcloud.com") == Account()
    numbered = account_from({"urn": urn, "id": 7}, "https://api.soundcloud.com")
    assert numbered.urn == "soundcloud:users:7"


@pytest.mark.threat(48)
@pytest.mark.parametrize(
    ("api_url", "urn", "user"),
    [
        ("https://api.soundcloud.com", "soundcloud:users:5", "soundcloud:users:5"),
        ("https://API.SoundCloud.com:443/", "soundcloud:users:5", "soundcloud:users:5"),
        ("https://api.other.example/v1", "5", "https://api.other.example#5"),
        (
            "https://api.other.example",
            "soundcloud:users:5",
            "https://api.other.example#soundcloud:users:5",
        ),
        (
            "https://soundcloud.com",
            "soundcloud:users:5",
            "https://soundcloud.com#soundcloud:users:5",
        ),
        ("http://localhost:8001", "soundcloud:users:5", "http://localhost:8001#soundcloud:users:5"),
        ("https://api.soundcloud.com", "", ""),
        ("https://api.other.example", "", ""),
    ],
)
def test_48_a_user_who_logs_in_is_named_by_the_api_as_well_unless_it_is_soundclouds(
    api_url, urn, user
):
    assert user_at(Account(urn), api_url) == user


def test_the_id_of_a_connection_is_the_same_each_time_and_of_one_user_api_and_account():
    places = [
        ("joe", "https://api.example", "urn:1"),
        ("ann", "https://api.example", "urn:1"),
        ("joe", "https://other.example", "urn:1"),
        ("joe", "https://api.example", "urn:2"),
    ]
    ids = [connection_id(*place) for place in places]
    assert ids == [connection_id(*place) for place in places]
    assert len(set(ids)) == len(places)


def test_connections_with_unknown_accounts_never_share_an_id():
    ids = {connection_id("joe", "https://api.example", "") for _ in range(100)}
    assert len(ids) == 100
