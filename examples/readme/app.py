"""The first lines of the README as a site, which stores the tokens itself.

It runs against a SoundCloud on this machine, where you log in as joe with one click:

    pip install waitress scconnect-wsgi
    scconnect sandbox -- waitress-serve --listen localhost:8000 app:application
"""
# ruff: noqa: E402  # the part between the two marks is the README's, its imports included

from scconnect_wsgi.config import options_from_env

HTML = b"""<!DOCTYPE html><meta charset="utf-8"><title>A site</title>
<script src="/sc-connect/sc-connect.js"></script>
<a href="#" id="sc-connect"><img src="/sc-connect/sc-connect.svg" alt="Connect with SoundCloud"></a>
<script>
  SC.Connect.prepareButton(document.getElementById('sc-connect'), {
    callback: (fields) => document.body.append(JSON.stringify(fields)), // {"oauth_token_id": "1"}
  });
</script>
"""
OPTIONS = options_from_env()  # SCCONNECT_SECRET_KEY, or SCCONNECT_SECRET_KEY_FILE, and others
SECRET_KEY = OPTIONS["secret_key"]
BASE_URL = OPTIONS.get("base_url")  # https://app.example; not needed on localhost
TOKENS = []


def application(environ, start_response):
    headers = [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(HTML)))]
    start_response("200 OK", headers)
    return [HTML]


# README: begin
from scconnect_wsgi import SCConnect
from scconnect_wsgi.config import flow_from_env


def store_token(token, request):
    TOKENS.append(token)  # in your database, with the user it belongs to
    return {"oauth_token_id": len(TOKENS)}  # reaches the page's callback


flow = flow_from_env()  # or OAuth2(CLIENT_ID, CLIENT_SECRET)
application = SCConnect(
    application, flow, secret_key=SECRET_KEY, store_token=store_token, base_url=BASE_URL
)
# README: end
