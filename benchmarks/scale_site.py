"""The site that gunicorn serves for scale.py; the environment says which provider it asks."""

import os

from peer_site import CLIENT_ID, CLIENT_SECRET
from wsgi import KEY, bare

from scconnect_wsgi import OAuth2, OAuth2Provider, SCConnect

root = os.environ["BENCHMARK_PROVIDER"]
flow = OAuth2(
    CLIENT_ID, CLIENT_SECRET, provider=OAuth2Provider(f"{root}/authorize", f"{root}/oauth/token")
)
application = SCConnect(
    bare, flow, secret_key=KEY, store_token=lambda token, request: {"oauth_token_id": 1}
)
