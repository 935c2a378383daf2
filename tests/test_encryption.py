"""Sealed data opens in its place with its key, and nowhere else. For the cookie: threat 18."""

import base64
import re
import subprocess
import sys
import time
import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.browser import ARRIVAL, Browser
from support.canary import met
from support.flow_cookies import AUDIENCE, BASE, PENDING, issued, kept, named, set_cookies
from support.flows import flow_for
from support.responses import landed
from support.site import JOE, KEY, running_site

from scconnect_wsgi.documentation import entry
from scconnect_wsgi.encryption import VERSION, Encryption
from scconnect_wsgi.errors import ConfigurationError, FlowExpired, KeyRemoved, Undecipherable
from scconnect_wsgi.middleware._cookies import FlowCookies
from scconnect_wsgi.sandbox import Sandbox, serve

OLD = "old key, as long as a key of ours has to be"
NEW = "new key, as long as a key of ours has to be"
OTHER = "another key, as long as a key of ours has to be"
DATA = b"a token that nobody may read"
PLACE = ("connection 43", "joe")
OVERHEAD = 37  # bytes


def sealer(*keys, purpose="stored token"):
    return Encryption(keys or [OLD]).sealer(purpose)


def encrypting(*keys, clock=time.time):
    return FlowCookies(KEY, AUDIENCE, 600, Encryption(keys or [OLD]), clock=clock)


def decoded(text):
    """Return a text and everything that base64 and zlib find in it, nested to any depth."""
    found = set()
    new = {text.encode()}
    while new:
        found |= new
        new = {other for data in new for other in opened(data)} - found
    return found


def opened(data):
    """Yield what base64 finds in parts of some data, and zlib in all of it."""
    for part in re.split(rb"[^\w-]+", data, flags=re.ASCII):
        if len(part) > 8 and len(part) % 4 != 1:  # no base64 has that length
            yield base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    for start in (0, 1):
        try:
            yield zlib.decompress(data[start:])
        except zlib.error:
            continue


@given(st.binary(max_size=5000), st.lists(st.text(), max_size=3))
def test_what_is_sealed_opens_in_its_place(data, place):
    sealed = sealer().seal(data, *place)
    assert sealer().open(sealed, *place) == data
    assert len(sealed) == len(data) + OVERHEAD
    assert sealed[:1] == VERSION


def test_the_same_data_is_sealed_differently_each_time():
    assert len({sealer().seal(DATA) for _ in range(1000)}) == 1000


def test_keys_rotate():
    sealed = sealer(OLD).seal(DATA)
    assert sealer(OLD, NEW).open(sealed) == DATA
    assert sealer(NEW).open(sealer(OLD, NEW).seal(DATA)) == DATA, "the newest encrypts"
    assert sealer(OLD.encode()).open(sealed) == DATA


@pytest.mark.parametrize("keys", [[NEW], [OTHER, NEW]])
def test_a_removed_key_is_said(keys):
    with pytest.raises(KeyRemoved, match=r"no longer given.*back in front"):
        sealer(*keys).open(sealer(OLD).seal(DATA))


@pytest.mark.parametrize(
    "place", [("connection 44", "joe"), ("connection 43", "ann"), (), (*PLACE, ""), PLACE[::-1]]
)
def test_a_swapped_row_is_said(place):
    with pytest.raises(Undecipherable, match="a row was copied over another one"):
        sealer().open(sealer().seal(DATA, *PLACE), *place)


def test_a_place_has_no_double():
    with pytest.raises(Undecipherable):
        sealer().open(sealer().seal(DATA, "ab", "c"), "a", "bc")


def test_what_was_sealed_for_another_purpose_does_not_open():
    with pytest.raises(Undecipherable, match="flow cookie"):
        sealer(purpose="flow cookie").open(sealer().seal(DATA))


@pytest.mark.parametrize("length", range(len(DATA) + OVERHEAD))
def test_what_is_cut_off_or_changed_in_one_bit_does_not_open(length):
    sealed = sealer().seal(DATA)
    changed = bytearray(sealed)
    changed[length] ^= 1 << length % 8
    for bad in (sealed[:length], bytes(changed)):
        with pytest.raises(Undecipherable):
            sealer().open(bad)


@given(st.binary(max_size=200))
@example(VERSION + bytes(100))
@example(b'{"token": "in the clear"}')
@example(sealer().seal(DATA)[:9] + bytes(100))
def test_garbage_is_one_kind_of_error(garbage):
    with pytest.raises(Undecipherable):
        sealer().open(garbage)


def test_what_was_never_encrypted_is_said():
    with pytest.raises(Undecipherable, match="stored token is not encrypted"):
        sealer().open(b'{"token": "in the clear"}')


SHORT = "must have at least 32 characters"
GUESSABLE = "must contain at least 6 different characters"
NO_STRING = "must be a string or bytes"


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("", SHORT),
        ("short", SHORT),
        (b"short", SHORT),
        ([OLD, ""], SHORT),
        ([OLD, "short"], SHORT),
        ("ab" * 20, GUESSABLE),
        (b"ab" * 20, GUESSABLE),
        ([OLD, "ab" * 20], GUESSABLE),
        ([], "must not be empty"),
        ([None], NO_STRING),
        ({OLD: NEW}, NO_STRING),
    ],
    ids=str,
)
def test_missing_and_weak_keys_are_refused_at_once(keys, words):
    with pytest.raises(ConfigurationError, match=words) as caught:
        Encryption(keys)
    assert caught.value.option == "keys"
    assert OLD not in str(caught.value)


@pytest.mark.threat(32)
def test_32_no_key_is_in_a_repr():
    met(OLD)
    assert repr(Encryption(OLD)) == "Encryption(1 keys)"
    assert repr(sealer()) == "Sealer('stored token')"


@pytest.mark.slow
def test_without_cryptography_it_says_what_to_install():
    script = f"""
import sys
sys.modules["cryptography"] = None
from scconnect_wsgi.encryption import Encryption
Encryption({OLD!r})
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    message, see = done.stderr.splitlines()[-2:]
    assert message.endswith("cryptography: pip install 'scconnect-wsgi[encryption]'"), done.stderr
    assert see == f"See {entry(ConfigurationError.code)}"


# The flow's cookie


@pytest.mark.threat(18)
@pytest.mark.parametrize("protocol", ["oauth1", "oauth2"])
def test_18_secret_and_verifier_cannot_be_read_from_the_cookie(protocol):
    seen = {}
    with serve(Sandbox()) as server:
        for encryption in (None, Encryption([OLD, NEW])):
            flow = Remembering(flow_for(protocol, server.url))
            with running_site(flow, encryption=encryption) as site, Browser() as browser:
                header = kept(set_cookies(browser.get(site.start)))
                assert landed(browser.connect(site)) == JOE
            readable = decoded(header)
            departure = flow.departures[0]
            # The flow's id is not kept, as the callback brings it
            secrets = set(departure.pending.values()) - {departure.flow_id}
            assert secrets
            seen[encryption is not None] = {
                any(secret.encode() in data for data in readable) for secret in secrets
            }
    # Without encryption every secret is found, so the search works.
    assert seen == {False: {True}, True: {False}}


class Remembering:
    """A flow that remembers its departures."""

    def __init__(self, flow):
        self._flow = flow
        self.departures = []

    def __getattr__(self, name):
        return getattr(self._flow, name)

    def begin(self, callback_url):
        self.departures.append(self._flow.begin(callback_url))
        return self.departures[-1]


@pytest.mark.threat(16)
@pytest.mark.parametrize("protocol", ["oauth1", "oauth2"])
def test_16_encrypted_the_longest_tokens_of_providers_fit(browser, protocol):
    root = "https://app.example"
    sandbox = Sandbox(redirect_uris=[root + "/oauth/access_token"], misbehave=["long-tokens"])
    with serve(sandbox) as server:
        flow = flow_for(protocol, server.url)
        with running_site(flow, base_url=root, encryption=Encryption(OLD)) as site:
            path = f"{site.start}?return_to=/{'a' * 500}"
            header = kept(set_cookies(browser.get(path)))
    assert len(header) < 4096


@pytest.mark.threat(18)
def test_18_flows_under_way_finish_while_encryption_is_switched_on_and_its_keys_rotate():
    assert (
        encrypting().read(issued(FlowCookies(KEY, AUDIENCE, 600)), "an id", False).pending
        == PENDING
    )
    assert encrypting(OLD, NEW).read(issued(encrypting(OLD)), "an id", False).pending == PENDING
    for other in (encrypting(NEW), FlowCookies(KEY, AUDIENCE, 600)):
        with pytest.raises(FlowExpired, match="encryption changed or differs"):
            other.read(issued(encrypting(OLD)), "an id", False)


@pytest.mark.threat(18)
def test_18_an_encrypted_cookie_under_another_flows_name_is_refused():
    header = issued(encrypting()).replace(named("an id"), named("another id"))
    with pytest.raises(FlowExpired):
        encrypting().read(header, "another id", False)


@pytest.mark.threat(18)
def test_18_an_encrypted_flow_counts_against_the_limit_and_expires():
    header = ""
    for number in range(7):
        header = issued(encrypting(), f"flow {number}", header)
    assert header.count("=") == 10
    now = 1_800_000_000.0
    header = issued(encrypting(clock=lambda: now))
    late = encrypting(clock=lambda: now + 601)
    with pytest.raises(FlowExpired, match="longer than 600"):
        late.read(header, "an id", False)


@pytest.mark.threat(18)
def test_18_an_encrypted_flow_of_another_site_is_refused_over_the_wire(browser, provider):
    flow = flow_for("oauth2", provider.url)
    with running_site(flow, encryption=Encryption(OLD), base_url=BASE) as site:
        answer = browser.get(site.start)
    back = browser.decide(answer.headers["Location"]).removeprefix(BASE)
    cookie = kept(set_cookies(answer))
    with running_site(flow, encryption=Encryption(NEW), base_url=BASE) as site:
        assert (
            landed(browser.get(site.url + back, **{**ARRIVAL, "Cookie": cookie}))["error"]
            == "flow_expired"
        )
