"""Which keys are refused, and which never are (threat 19)."""

import base64
import hashlib
import random
import secrets
import uuid
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.flows import CLIENT
from support.site import KEY, page_of_the_site

from scconnect_wsgi import OAuth1, OAuth2, SCConnect
from scconnect_wsgi.config import from_env
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.encryption import Encryption
from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.keys import checked_keys, is_one_of
from scconnect_wsgi.stores.sql import SQLStore

pytestmark = pytest.mark.threat(19)

WEAK = {
    "a repeated word": ("abcdefgh" * 4, "repeat"),
    "a repeated phrase": ("our-site-key-2026-" * 3, "repeat"),
    "hexadecimal digits twice": ("0123456789abcdef" * 2, "repeat"),
    "bytes that repeat": (bytes(range(10, 30)) * 2, "repeat"),
    "the alphabet": ("abcdefghijklmnopqrstuvwxyz0123456789", "sequence"),
    "the alphabet backwards": ("zyxwvutsrqponmlkjihgfedcba9876543210", "sequence"),
    "bytes in a row": (bytes(range(128, 160)), "sequence"),
    "change-me": ("change-me-before-this-goes-to-production", "placeholder"),
    "CHANGE_ME, repeated": ("CHANGE_ME_" * 9, "different|repeat"),
    "changeme with digits": ("changeme0917253648changeme1627384950", "placeholder"),
    "ChangeMe": ("ChangeMeBeforeThisGoesToProduction", "placeholder"),
    "change this": ("please Change This to something random!", "placeholder"),
    "your secret": ("<your-secret-key-of-32-characters-or-more>", "placeholder"),
    "replace me": ("REPLACE.ME.WITH.THE.OUTPUT.OF.A.GENERATOR", "placeholder"),
    "insert your": ("{{ insert your key of 32 characters here }}", "placeholder"),
    "the keyboard": ("1234qwertyuiopasdfghjklzxcvbnm5678", "placeholder"),
}
RANDOM = {
    "scconnect secret": lambda: secrets.token_urlsafe(32),
    "the shortest of token_urlsafe": lambda: secrets.token_urlsafe(24),
    "the shortest of token_hex": lambda: secrets.token_hex(16),
    "token_hex": lambda: secrets.token_hex(32),
    "token_bytes": lambda: secrets.token_bytes(32),
    "a uuid": lambda: str(uuid.uuid4()),
    "a uuid in hexadecimal": lambda: uuid.uuid4().hex,
    "openssl rand -base64": lambda: base64.b64encode(secrets.token_bytes(32)).decode(),
    "a Fernet key": lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)),
    "Django's": lambda: (
        "django-insecure-"
        + "".join(random.choices("abcdefghijklmnopqrstuvwxyz0123456789!@#$%^&*(-_=+)", k=50))
    ),
    "digits": lambda: "".join(random.choices("0123456789", k=40)),
    "the digits that vary least": lambda: "72118655856116717711782671665679",
}


@pytest.mark.parametrize(("key", "words"), WEAK.values(), ids=WEAK)
@pytest.mark.parametrize(
    "several", [lambda key: key, lambda key: [key, KEY], lambda key: [KEY, key]]
)
def test_threat_19_a_key_that_can_be_guessed_is_refused(key, words, several):
    with pytest.raises(ConfigurationError, match=words) as caught:
        checked_keys(several(key), "secret_key")
    assert caught.value.option == "secret_key"
    assert str(key) not in str(caught.value)


@pytest.mark.parametrize("make", RANDOM.values(), ids=RANDOM)
def test_threat_19_no_random_key_is_ever_refused(make):
    for _ in range(2000):
        key = make()
        assert checked_keys(key, "secret_key")
        assert not is_one_of(key if isinstance(key, bytes) else key.encode(), *CLIENT, "id", "a")


@pytest.mark.parametrize(
    "phrase",
    [
        "Put your trust in seven green badgers, 1974",
        "We keep your secrets in a blue teapot by the sea",
        "Exchange me for nine lizards and a kettle of fish",
        "interchange items quickly, big fat dwarf jumps now",
        "Never change me, said the moon to the old ferryman",
        "Your grandmother sails at dawn with 12 placeholders",
        "change this 毎晚、海辺の庭でお茶を飲みながら星を数える歌を歌う",
    ],
)
def test_a_long_pass_phrase_is_no_placeholder(phrase):
    assert checked_keys(phrase, "secret_key")


@given(st.text(min_size=24, max_size=60), st.text(max_size=3))
def test_threat_40_any_text_is_a_key_or_a_typed_error(text, around):
    with suppress(ConfigurationError):
        key = f"{around}{text}{around}"
        assert checked_keys(key, "secret_key") == [key.encode()]


CLIENT_SECRET = "Zk3q9sVd7RwB1xTfLm5YhJc8NpGa2Ue6"
KNOWN = {
    "as it is": CLIENT_SECRET,
    "in lower case": CLIENT_SECRET.lower(),
    "in upper case": CLIENT_SECRET.upper(),
    "with a line break": f"{CLIENT_SECRET}\n",
    "with blanks": f"  {CLIENT_SECRET} ",
    "in quotes": f'"{CLIENT_SECRET}"',
    "with a prefix": f"my-site:{CLIENT_SECRET}",
    "twice": CLIENT_SECRET * 2,
    "in Base64": base64.b64encode(CLIENT_SECRET.encode()).decode(),
    "in Base64 for URLs": base64.urlsafe_b64encode(CLIENT_SECRET.encode()).decode().rstrip("="),
    "in Base64 with a line break": base64.b64encode(f"{CLIENT_SECRET}\n".encode()).decode(),
    "in hexadecimal": CLIENT_SECRET.encode().hex(),
    "in hexadecimal, upper case": CLIENT_SECRET.encode().hex().upper(),
}
GIVEN = {
    "a string": lambda key: key,
    "bytes": str.encode,
    "the older of two": lambda key: [key, KEY],
}


@pytest.mark.parametrize("how", GIVEN.values(), ids=GIVEN)
@pytest.mark.parametrize("key", KNOWN.values(), ids=KNOWN)
@pytest.mark.parametrize("kind", [OAuth1, OAuth2])
def test_threat_19_what_the_provider_knows_is_no_key_however_it_is_written(kind, key, how):
    flow = kind("an-id-of-the-client", CLIENT_SECRET)
    options: Any = {"store_token": lambda *_: None}
    with pytest.raises(ConfigurationError, match="secret_key must not be the client secret"):
        SCConnect(page_of_the_site, flow, secret_key=how(key), **options)
    encryption = Encryption(how(key))
    with pytest.raises(ConfigurationError, match="encryption must not be the client secret"):
        SCConnect(page_of_the_site, flow, secret_key=KEY, encryption=encryption, **options)
    with pytest.raises(ConfigurationError, match="encryption must not be the client secret"):
        Connections(flow, SQLStore("sqlite://", encryption=encryption))


def test_threat_19_a_key_that_only_begins_like_the_client_secret_is_a_key():
    flow = OAuth2("an-id", CLIENT_SECRET)
    strong = hashlib.sha256(b"something else").hexdigest()
    for key in (CLIENT_SECRET[:8] + strong, f"an-id-{strong}"):
        SCConnect(page_of_the_site, flow, secret_key=key, store_token=lambda *_: None)


@pytest.mark.parametrize("option", ["SECRET_KEY", "ENCRYPTION_KEY"])
@pytest.mark.parametrize("key", [CLIENT_SECRET, CLIENT_SECRET.swapcase(), KNOWN["in Base64"]])
def test_threat_19_the_configuration_refuses_the_same_keys(option, key):
    given = {
        "SCCONNECT_CLIENT_ID": "an-id",
        "SCCONNECT_CLIENT_SECRET": CLIENT_SECRET,
        "SCCONNECT_SECRET_KEY": secrets.token_urlsafe(32),
        "SCCONNECT_STORE_TOKEN": "HAND_OVER",
        f"SCCONNECT_{option}": key,
    }
    with pytest.raises(ConfigurationError, match=f"SCCONNECT_{option} must not be the client"):
        from_env(page_of_the_site, given)


# Keys with different purposes must differ


SITE_KEY = "q7Zt3vX9mL2pRw8Yc5Nf1Hd6Jb4Gk0SaUeIoTyPx"
THIRD_KEY = "Bz8Kf2Qw6Ej4Rt9Yu1Io3Pa7Sd5Fg0HlXcVbNmZq"
WRITTEN = {
    "as it is": lambda key: key,
    "bytes": str.encode,
    "the older of two": lambda key: [key, THIRD_KEY[::-1]],
    "with a line break": lambda key: f"{key}\n",
    "with a blank": lambda key: f" {key}",
    "with a NUL, which HMAC does not see": lambda key: f"{key}\0",
    "in quotes": lambda key: f'"{key}"',
    "in upper case": str.upper,
    "in Base64": lambda key: base64.b64encode(key.encode()),
}


def relaying(**options):
    given: dict[str, Any] = {
        "secret_key": KEY,
        "relay_key": THIRD_KEY,
        "store_token": lambda *_: None,
        "base_url": "https://app.example",
        "relay_to": ["http://localhost:8000"],
        **options,
    }
    return SCConnect(page_of_the_site, OAuth2("an-id", CLIENT_SECRET), **given)


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
def test_threat_19_the_key_of_a_relay_is_no_other_key_however_it_is_written(written):
    one, other = SITE_KEY, written(SITE_KEY)
    for secret_key, relay_key in ((one, other), (other, one)):
        with pytest.raises(ConfigurationError, match="relay_key must not be the secret_key"):
            relaying(secret_key=secret_key, relay_key=relay_key)
    for encryption, relay_key in ((Encryption(one), other), (Encryption(other), one)):
        with pytest.raises(ConfigurationError, match="relay_key must not be a key of the enc"):
            relaying(encryption=encryption, relay_key=relay_key)


@pytest.mark.parametrize("way", ["wrap", "login", "SCConnect"])
def test_threat_19_the_key_of_a_relay_does_not_encrypt_the_store(way):
    store = SQLStore("sqlite://", encryption=Encryption(SITE_KEY))
    flow = OAuth2("an-id", CLIENT_SECRET)
    keys = {"secret_key": KEY, "relay_key": SITE_KEY}
    options: Any = {**keys, "base_url": "https://app.example", "relay_to": ["http://localhost:1"]}
    identify = (lambda request: "joe") if way != "login" else None
    connections = Connections(flow, store, identify=identify)
    build = getattr(connections, way, None)
    if build is None:
        by_hand: Any = {"store_token": connections.store_token, "identify": identify}
        build = partial(SCConnect, flow=flow, **by_hand)
    with pytest.raises(ConfigurationError) as caught:
        build(page_of_the_site, **options)
    assert caught.value.option == "relay_key"
    assert SITE_KEY not in str(caught.value)


def test_threat_19_keys_that_differ_are_accepted():
    relaying(encryption=Encryption([SITE_KEY, CLIENT_SECRET[::-1]]))


def test_one_key_may_sign_and_encrypt():
    """An Encryption derives its own key from it, and both stay on the site's servers."""
    relaying(secret_key=SITE_KEY, encryption=Encryption(SITE_KEY))


def test_threat_19_the_configuration_names_the_key_as_it_is_spelled_there():
    given = {
        "SCCONNECT_CLIENT_ID": "an-id",
        "SCCONNECT_CLIENT_SECRET": CLIENT_SECRET,
        "SCCONNECT_SECRET_KEY": KEY,
        "SCCONNECT_RELAY_KEY": SITE_KEY,
        "SCCONNECT_RELAY_TO": "http://localhost:8000",
        "SCCONNECT_BASE_URL": "https://app.example",
        "SCCONNECT_STORE": "sqlite://",
        "SCCONNECT_IDENTIFY": "support.configured:identify",
        "SCCONNECT_ENCRYPTION_KEY": SITE_KEY,
    }
    with pytest.raises(ConfigurationError, match="SCCONNECT_RELAY_KEY must not"):
        from_env(page_of_the_site, given)
