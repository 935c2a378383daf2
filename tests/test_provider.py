"""What a provider, an address and a token may be, and SoundCloud's own."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scconnect_wsgi import SOUNDCLOUD, SOUNDCLOUD_2009, AccessToken, OAuth1Provider, OAuth2Provider
from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.query import with_query
from scconnect_wsgi.urls import checked_root, checked_url, origin

GOOD = "https://provider.example/path"


def oauth1(url=GOOD, **options):
    return OAuth1Provider(url, GOOD, GOOD, **options)


def oauth2(url=GOOD, **options):
    return OAuth2Provider(GOOD, url, **options)


# Addresses


REFUSED = {
    "http": "http://provider.example/",
    "http in capitals": "HTTP://provider.example/",
    "http on a private network": "http://10.0.0.1/",
    "http on every interface": "http://0.0.0.0/",
    "http on a name that begins like the loopback": "http://localhost.provider.example/",
    "http on a name that ends like the loopback": "http://notlocalhost/",
    "http on an address that begins like the loopback": "http://127.0.0.1.provider.example/",
    "http behind the loopback as a user": "http://localhost@provider.example/",
    "a user": "https://joe@provider.example/",
    "an empty user": "https://@provider.example/",
    "a user and a password": "https://joe:secret@provider.example/",
    "a fragment": "https://provider.example/#here",
    "an empty fragment": "https://provider.example/#",
    "a space": "https://provider.example/a b",
    "a space in front": " https://provider.example/",
    "a space behind": "https://provider.example/ ",
    "a tab": "https://provider.example/\ta",
    "a line break": "https://provider.example/\r\nX: y",
    "a line break behind": "https://provider.example/\n",
    "NUL": "https://provider.example/\x00",
    "DEL": "https://provider.example/\x7f",
    "a backslash": "https://provider.example\\@other.example/",
    "letters that are not ASCII": "https://prövider.example/",
    "no host": "https:///path",
    "no scheme": "provider.example/path",
    "only a path": "/path",
    "two slashes": "//provider.example/path",
    "another scheme": "ftp://provider.example/",
    "a script": "javascript:alert(1)",
    "a port that is no number": "https://provider.example:x/",
    "a port that is too large": "https://provider.example:65536/",
    "half a bracket": "https://[::1/",
    "nothing": "",
    "None": None,
    "bytes": b"https://provider.example/",
}
WELCOME = [
    "https://provider.example",
    "https://provider.example:8443/a/b?c=d&e",
    "https://[2001:db8::1]/",
    "http://localhost:8001/oauth",
    "http://127.0.0.1/",
    "http://[::1]:8001/",
    "http://LOCALHOST/",
]


@pytest.mark.threat(28)
@pytest.mark.parametrize("make", [oauth1, oauth2])
@pytest.mark.parametrize("url", REFUSED.values(), ids=REFUSED)
def test_threat_28_an_address_that_no_secret_may_be_sent_to_is_refused(url, make, monkeypatch):
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    with pytest.raises(ConfigurationError) as caught:
        make(url)
    assert "secret@" not in str(caught.value)


@pytest.mark.parametrize("make", [oauth1, oauth2])
@pytest.mark.parametrize("url", WELCOME)
def test_an_address_that_is_welcome(url, make):
    make(url)


OAUTH1_ADDRESSES = ("request_token_url", "authorize_url", "access_token_url", "api_url")
OAUTH2_ADDRESSES = ("authorize_url", "token_url", "api_url", "sign_out_url", "issuer")


def all_good_but(name, addresses):
    return {**dict.fromkeys(addresses, GOOD), name: "http://provider.example/"}


@pytest.mark.threat(28)
@pytest.mark.parametrize("name", OAUTH1_ADDRESSES)
def test_threat_28_each_address_of_oauth1_is_looked_at_and_named(name):
    with pytest.raises(ConfigurationError) as caught:
        OAuth1Provider(**all_good_but(name, OAUTH1_ADDRESSES))
    assert caught.value.option == name


@pytest.mark.threat(28)
@pytest.mark.parametrize("name", OAUTH2_ADDRESSES)
def test_threat_28_each_address_of_oauth2_is_looked_at_and_named(name):
    with pytest.raises(ConfigurationError) as caught:
        OAuth2Provider(**all_good_but(name, OAUTH2_ADDRESSES))
    assert caught.value.option == name


# Headers, realm, parameters


@pytest.mark.threat(33)
@pytest.mark.parametrize("make", [oauth1, oauth2])
@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "b\r\nX-Evil: 1"},
        {"X-A": "b\n"},
        {"X-A": "b\r"},
        {"X-A": "b\x00"},
        {"X-A": "b\x7f"},
        {"X-A": "ü"},
        {"X-A\r\nX-Evil": "1"},
        {"X A": "b"},
        {"X:A": "b"},
        {"": "b"},
        {"Authorization": "b"},
        {"authorization": "b"},
        {"Content-Length": "5"},
        {"Content-Type": "text/html"},
        {"HOST": "other.example"},
        {"Transfer-Encoding": "chunked"},
    ],
    ids=str,
)
def test_threat_33_a_header_that_cannot_be_sent_is_refused(headers, make):
    with pytest.raises(ConfigurationError) as caught:
        make(headers=headers)
    assert caught.value.option == "headers"


@pytest.mark.parametrize("make", [oauth1, oauth2])
def test_a_header_that_can_be_sent(make):
    make(headers={"User-Agent": "Site/1.0 (+https://site.example)", "x-key": "", "X_Y": "a\tb"})


@pytest.mark.threat(33)
@pytest.mark.parametrize("realm", ['a"b', '"', "a\\", "a\r\nb", "a\x00", "ü", "a\n"])
def test_threat_33_a_realm_that_would_break_out_is_refused(realm):
    with pytest.raises(ConfigurationError) as caught:
        oauth1(realm=realm)
    assert caught.value.option == "realm"


@pytest.mark.parametrize("realm", [None, "", "Photos, and more = fun"])
def test_a_realm_that_is_welcome(realm):
    oauth1(realm=realm)


@pytest.mark.parametrize("method", ["", "hmac-sha1", "HMAC-SHA512", "RSA-SHA256", None])
def test_an_unknown_signature_method_is_refused(method):
    with pytest.raises(ConfigurationError) as caught:
        oauth1(signature_method=method)
    assert caught.value.option == "signature_method"


@pytest.mark.parametrize("name", ["request_token_params", "authorize_params"])
@pytest.mark.parametrize(
    "params", [{"oauth_callback": "x"}, {"oauth_anything": "x"}, {"a": 1}, {1: "a"}, {"a": None}]
)
def test_a_parameter_that_is_not_the_providers_own_is_refused_in_oauth1(name, params):
    with pytest.raises(ConfigurationError) as caught:
        oauth1(**{name: params})
    assert caught.value.option == name


@pytest.mark.parametrize(
    "name",
    [
        "response_type",
        "client_id",
        "redirect_uri",
        "state",
        "scope",
        "code_challenge",
        "code_challenge_method",
    ],
)
def test_a_parameter_of_the_protocol_is_refused_in_oauth2(name):
    with pytest.raises(ConfigurationError) as caught:
        oauth2(authorize_params={name: "x"})
    assert caught.value.option == "authorize_params"


@pytest.mark.parametrize("params", [{"a": 1}, {1: "a"}, {"a": None}])
def test_a_parameter_that_is_no_text_is_refused_in_oauth2(params):
    with pytest.raises(ConfigurationError) as caught:
        oauth2(authorize_params=params)
    assert caught.value.option == "authorize_params"


@pytest.mark.threat(33)
@pytest.mark.parametrize("kind", ["", "two words", "Bearer\r\n", "Bearer\n", "a:b", "ü"])
def test_threat_33_a_token_type_that_is_not_one_word_is_refused(kind):
    with pytest.raises(ConfigurationError) as caught:
        oauth2(token_type=kind)
    assert caught.value.option == "token_type"


# SoundCloud


def test_soundcloud_lives_where_its_documentation_says():
    assert SOUNDCLOUD.authorize_url == "https://secure.soundcloud.com/authorize"
    assert SOUNDCLOUD.token_url == "https://secure.soundcloud.com/oauth/token"
    assert SOUNDCLOUD.api_url == "https://api.soundcloud.com"
    assert SOUNDCLOUD.sign_out_url == "https://api.soundcloud.com/sign-out"
    assert SOUNDCLOUD.token_type == "OAuth"
    assert SOUNDCLOUD.authorize_params == {"display": "popup"}
    assert SOUNDCLOUD.issuer is None


def test_soundcloud_of_2009_lives_where_the_specification_says():
    assert SOUNDCLOUD_2009.request_token_url == "https://api.soundcloud.com/oauth/request_token"
    assert SOUNDCLOUD_2009.authorize_url == "https://soundcloud.com/oauth/authorize"
    assert SOUNDCLOUD_2009.access_token_url == "https://api.soundcloud.com/oauth/access_token"
    assert SOUNDCLOUD_2009.signature_method == "HMAC-SHA1"


# URLs


@pytest.mark.parametrize(
    ("url", "fields", "expected"),
    [
        (GOOD, {}, GOOD),
        (GOOD, {"a": "b c", "d": "é&="}, GOOD + "?a=b+c&d=%C3%A9%26%3D"),
        (GOOD + "?x=1", {"a": "b"}, GOOD + "?x=1&a=b"),
        (GOOD + "?", {"a": "b"}, GOOD + "?a=b"),
        (GOOD + "?x&", {"a": "b"}, GOOD + "?x&a=b"),
        (GOOD, {"a": "\ud800"}, GOOD + "?a=%3F"),
    ],
)
def test_a_query_is_added(url, fields, expected):
    assert with_query(url, fields) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://App.Example:443/", "https://app.example"),
        ("https://app.example/prefix/", "https://app.example/prefix"),
        ("http://localhost:80", "http://localhost"),
        ("http://[::1]:8001/a", "http://[::1]:8001/a"),
    ],
)
def test_a_root_is_written_as_browsers_do(url, expected):
    assert checked_root(url, "base_url") == expected


@pytest.mark.parametrize(
    "url",
    ["https://a.example/?", "https://a.example/?b", "https://a.example//b", "http://a.example"],
)
def test_a_root_that_is_none_is_refused(url):
    with pytest.raises(ConfigurationError) as caught:
        checked_root(url, "base_url")
    assert caught.value.option == "base_url"


@pytest.mark.threat(40)
@given(
    st.text()
    | st.text(alphabet="htps:/@#?[]\\. %1", max_size=30).map(lambda text: f"https://{text}")
)
@example("https://[")
@example("https://a:٣/")
@example("https://[v1.x]/")
def test_threat_40_any_text_is_an_address_or_a_configuration_error(url):
    assert isinstance(origin(url), str)
    try:
        accepted = checked_url(url, "name")
    except ConfigurationError:
        return
    assert accepted == url
    assert origin(url).startswith(("https://", "http://"))


# Tokens


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
OPTIONAL = st.none() | st.text()
TOKENS = st.builds(
    AccessToken,
    token=st.text(min_size=1),
    token_secret=OPTIONAL,
    refresh_token=OPTIONAL,
    expires_at=st.none() | st.integers(),
    scope=OPTIONAL,
    extra=st.dictionaries(st.text(), JSON, max_size=4),
)


@pytest.mark.threat(40)
@given(TOKENS)
def test_threat_40_a_token_that_was_written_down_is_read_back(token):
    assert AccessToken.from_dict(json.loads(json.dumps(token.to_dict()))) == token


def test_a_token_is_written_down_with_everything():
    token = AccessToken("t", "s", "r", 5, "sc", {"a": [1]})
    expected = {
        "token": "t",
        "token_secret": "s",
        "refresh_token": "r",
        "expires_at": 5,
        "scope": "sc",
    }
    assert token.to_dict() == {**expected, "extra": {"a": [1]}}
    token.to_dict()["extra"]["b"] = 2
    assert token.extra == {"a": [1]}
    assert AccessToken.from_dict({"token": "t"}) == AccessToken("t")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"token": ""},
        {"token": None},
        {"token": 5},
        {"token": "t", "unknown": 1},
    ],
    ids=str,
)
def test_what_is_no_token_is_a_value_error(fields):
    with pytest.raises(ValueError, match="not the fields"):
        AccessToken.from_dict(fields)


@pytest.mark.threat(32)
def test_threat_32_the_repr_of_a_token_shows_no_secret():
    token = AccessToken(
        "tok-1", "sec-2", "ref-3", 5, "read", {"id_token": "ext-4", "user": "ext-5"}
    )
    assert str(token) == repr(token)
    assert repr(token) == (
        "AccessToken(token=***, token_secret=***, refresh_token=***, expires_at=5, "
        "scope='read', extra=['id_token', 'user'])"
    )
    assert (
        repr(AccessToken("tok-1"))
        == "AccessToken(token=***, expires_at=None, scope=None, extra=[])"
    )


def test_a_token_cannot_be_changed():
    with pytest.raises(AttributeError):
        AccessToken("t").token = "u"  # type: ignore[misc]
