import pytest
from setlist import create_app
from setlist.models import db


@pytest.fixture
def app(soundcloud, monkeypatch, tmp_path):
    """The site, connected to a SoundCloud on this machine."""
    key = "a-key-of-43-letters-which-is-for-tests-only"
    for name, value in {**soundcloud.environ, "SCCONNECT_SECRET_KEY": key}.items():
        monkeypatch.setenv(name, value)
    app = create_app(
        SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path}/site.sqlite3",
        WTF_CSRF_ENABLED=False,
    )
    with app.app_context():
        db.create_all()
    yield app
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def sign_up(app):
    """A function that signs somebody up, and returns their browser."""

    def sign_up(name):
        client = app.test_client()
        client.post("/sign-up", data={"name": name, "password": "a long password"})
        return client

    return sign_up


@pytest.fixture
def pat(sign_up):
    return sign_up("pat")


@pytest.fixture
def cookie():
    """A function that returns the header with which a browser is signed in."""
    return lambda client: {"Cookie": f"session={client.get_cookie('session').value}"}


@pytest.fixture
def connect(soundcloud, app, cookie):
    """A function: this user of the site connects that account, and gets the page's fields."""

    def connect(client, account="joe"):
        return soundcloud.connect(app, account, headers=cookie(client)).fields

    return connect
