"""Tracebacks of the site's own exceptions, as they are logged."""

from urllib.parse import quote_plus

import pytest

from scconnect_wsgi.redaction import safe_traceback
from scconnect_wsgi.token import AccessToken

TOKEN = AccessToken(
    "tok+1/=",
    "secret two",
    'quo"te\\d',
    extra={"id_token": "ext four", "n": 5, "short": "abc", "user": {"tokens": ["nested-one"]}},
)


def traced(message, query="", token=TOKEN):
    try:
        raise KeyError(message)
    except KeyError:
        return safe_traceback(query, token)


@pytest.mark.threat(32)
def test_threat_32_every_secret_of_the_token_goes_however_it_is_written():
    message = "tok+1/= tok%2B1%2F%3D secret two secret%20two secret+two ext four abc 5 nested-one"
    assert traced(message).endswith("KeyError: '*** *** *** *** *** *** abc 5 ***'")


@pytest.mark.threat(32)
def test_threat_32_a_secret_in_a_repr_goes():
    assert "quo" not in traced({"refresh": 'quo"te\\d'}).splitlines()[-1]


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
        text = safe_traceback("")
    assert all(line.startswith("  | ") for line in text.split("\n"))
    assert "\r" not in text
    assert "\x1b" not in text
