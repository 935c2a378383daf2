"""Tracebacks of the site's own exceptions, as they are logged."""

import json
import time
from http.cookies import SimpleCookie
from urllib.parse import quote, quote_plus

import pytest
import webob
from hypothesis import example, given
from hypothesis import strategies as st

from scconnect_wsgi.redaction import safe_traceback
from scconnect_wsgi.token import AccessToken

TOKEN = AccessToken(
    "tok+1/=",
    "secret two",
    'quo"te\\d',
    extra={"id_token": "ext four", "n": 5, "short": "abc", "user": {"tokens": ["nested-one"]}},
)


def traced(message, query="", token=TOKEN, **environ):
    """Return the traceback of a KeyError in a request."""
    try:
        raise KeyError(message)
    except KeyError:
        return safe_traceback({"QUERY_STRING": query, **environ}, token)


def shown(message, query="", **environ):
    """Return what is shown of a message, in a request without a token."""
    return traced(message, query, None, **environ).rpartition("KeyError: ")[2].strip("'")


@pytest.mark.threat(32)
def test_threat_32_every_secret_of_the_token_goes_however_it_is_written():
    message = "tok+1/= tok%2B1%2F%3D secret two secret%20two secret+two ext four abc 5 nested-one"
    assert traced(message).endswith("KeyError: '*** *** *** *** *** *** abc 5 ***'")


@pytest.mark.threat(32)
def test_threat_32_a_secret_in_a_repr_goes():
    assert "quo" not in traced({"refresh": 'quo"te\\d'}).splitlines()[-1]


@pytest.mark.threat(32)
@pytest.mark.parametrize("written", [str, repr, json.dumps, quote], ids=lambda how: how.__name__)
def test_threat_32_a_backslash_hides_no_secret(written):
    secret = "back\\slashed"
    assert "slashed" not in shown(written(f"<{secret}> failed"), f"code={quote(secret)}")


@pytest.mark.threat(32)
def test_threat_32_the_code_of_the_address_goes():
    code = "a-code/with+signs"
    query = f"code={quote_plus(code)}&state=some-state&n=1"
    text = traced(f"http://h/cb?{query} and {code} and some-state", query, None)
    assert text.endswith("KeyError: 'http://h/cb?*** and *** and ***'")


@pytest.mark.threat(33)
def test_threat_33_no_line_of_it_can_pass_for_a_record_of_the_log():
    class ForgedError(Exception):
        pass

    try:
        raise ForgedError("first\r\nFAKE RECORD\x1b[2J")
    except ForgedError:
        text = safe_traceback({})
    assert all(line.startswith("  | ") for line in text.split("\n"))
    assert "\r" not in text
    assert "\x1b" not in text


CODE = "an/odd+code=with every~kind"
SPELLINGS = {
    "plain": CODE,
    "upper case": "an%2Fodd%2Bcode%3Dwith%20every~kind",
    "lower case": "an%2fodd%2bcode%3dwith%20every~kind",
    "a form": "an%2Fodd%2Bcode%3Dwith+every%7Ekind",
    "partly": "an/odd%2Bcode=with%20every~kind",
    "needlessly": "%61n%2Fodd%2Bcode%3Dwith%20every%7Ekind",
    "twice": "an%252Fodd%252Bcode%253Dwith%2520every~kind",
    "three times, in lower case": "an%25252fodd%25252bcode%25253dwith%252520every~kind",
    "twice, as a form": "an%252Fodd%252Bcode%253Dwith%2Bevery~kind",
    "JSON with all escaped": "an\\/odd\\u002bcode\\u003dwith\\u0020every~kind",
    "a cookie": "an\\057odd\\053code\\075with\\040every~kind",
    "a repr of bytes": "an/odd\\x2bcode=with every~kind",
}


SENT = ["plain", "upper case", "lower case", "a form", "partly", "needlessly", "twice"]


@pytest.mark.threat(32)
@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize("sent", SENT)
def test_threat_32_a_code_goes_however_it_was_sent_and_is_written(sent, spelling):
    query = f"state=some-state&code={SPELLINGS[sent].replace('=', '%3D')}"
    assert shown(f"<{spelling}> failed", query) == "<***> failed"


CSRF = "0123456789abcdef"
COOKIES = f'session=eyJhIjoiYiJ9.abc-def; lang=en; quoted="a value, quoted"; csrftoken={CSRF}'


@pytest.mark.threat(32)
@pytest.mark.parametrize("written", [str, repr, json.dumps, quote], ids=lambda how: how.__name__)
def test_threat_32_the_cookie_header_goes_with_the_values_in_it(written):
    request = webob.Request.blank("/cb?code=a-code", headers={"Cookie": COOKIES})
    for said in (str(request), repr(request.environ), f"csrftoken is {CSRF}", "a value, quoted"):
        text = shown(written(said), **request.environ)
        assert "***" in text
        assert [secret for secret in ("eyJhIjoiYiJ9", CSRF, "a value") if secret in text] == []


@pytest.mark.threat(32)
@pytest.mark.parametrize("written", [str, repr, json.dumps], ids=lambda how: how.__name__)
def test_threat_32_a_cookie_that_was_quoted_in_octal_goes(written):
    value = '{"name": "Joe", "key": "a-secret; of the site"}'
    cookies = SimpleCookie({"prefs": value})["prefs"].OutputString()
    assert "\\054" in cookies
    for said in (value, cookies):
        assert "secret" not in shown(written(said), HTTP_COOKIE=cookies)


@pytest.mark.threat(32)
def test_threat_32_what_came_as_bytes_of_utf_8_goes():
    code = "el-código-secreto"
    came = code.encode().decode("latin-1")
    for said in (code, came, quote(code), json.dumps(code)):
        assert "secreto" not in shown(said, f"code={came}")
        assert "secreto" not in shown(said, HTTP_COOKIE=f"a={came}")


@pytest.mark.threat(32)
def test_threat_32_a_short_cookie_does_not_hide_the_words_of_a_traceback():
    assert shown("the language is en, the theme dark", HTTP_COOKIE="lang=en; theme=dark") == (
        "the language is en, the theme dark"
    )


@pytest.mark.threat(32)
@pytest.mark.parametrize("name", ["HTTP_AUTHORIZATION", "HTTP_PROXY_AUTHORIZATION"])
@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("Bearer a-bearer-token", "a-bearer-token"),
        ("bearer a-bearer-token", "Authorization: bearer a-bearer-token"),
        ("Basic am9lOmEgcGFzc3dvcmQ=", "am9lOmEgcGFzc3dvcmQ="),
        ("Basic am9lOmEgcGFzc3dvcmQ=", "the password is a password"),
        ("Basic am9lOmEgcGFzc3dvcmQ=", "a%20password"),
        ("Basic no-base64!", "no-base64!"),
        ("a-token-without-a-scheme", "a-token-without-a-scheme"),
    ],
)
def test_threat_32_credentials_of_the_request_go(name, header, said):
    text = shown(said, **{name: header})
    assert text.endswith("***")
    assert "a-" not in text
    assert "am9" not in text


@pytest.mark.threat(40)
@given(st.text(), st.text(), st.text())
@example("100%", "a=%zz&b=%2", "\\x4\\u12\\U0011ffff\\")
@example("", "\ud800=\udfff", "%25%2525")
def test_threat_40_any_text_can_be_searched(cookie, query, message):
    secret = f"a-long-{cookie}-secret"
    shown_text = shown(f"{secret} {message}", query, HTTP_COOKIE=f"n={quote(secret)}")
    assert secret not in shown_text


@pytest.mark.threat(32)
def test_threat_32_a_long_request_is_searched_in_a_moment():
    query = "&".join(f"n{number}=value-{number}" for number in range(500))
    began = time.monotonic()
    shown("x" * 100_000 + query, query, HTTP_COOKIE=query.replace("&", "; "))
    assert time.monotonic() - began < 5
