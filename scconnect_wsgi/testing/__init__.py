"""For the tests of a site: a SoundCloud on this machine, and the contract of a store.

    def test_a_user_connects(soundcloud):  # a pytest fixture of this package
        application = SCConnect(site, soundcloud.oauth2(), secret_key=KEY, store_token=store_token)
        assert soundcloud.connect(application).fields == {"username": "joe", "oauth_token_id": "43"}


    class TestMyStore(StoreContract):  # every rule of scconnect_wsgi.stores.Store is a test
        def store(self):
            return MyStore(...)

Nothing is faked: the site's own application answers the requests, and the real middleware talks
over a socket to the sandbox, which verifies what it is sent. docs/testing.md shows each kind of
failure. Nothing here imports pytest.
"""

from scconnect_wsgi.testing._soundcloud import Connected, SoundCloud, Visit
from scconnect_wsgi.testing._store_contract import StoreContract

__all__ = ["Connected", "SoundCloud", "StoreContract", "Visit"]
