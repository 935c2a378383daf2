"""The site of the two ini files: one page with the button, and a place for the tokens."""

PAGE = b"""<!DOCTYPE html><meta charset="utf-8"><title>A site</title>
<script src="/sc-connect/sc-connect.js"></script>
<a href="#" id="sc-connect"><img src="/sc-connect/sc-connect.png" alt="Connect with SoundCloud"></a>
<script>SC.Connect.prepareButton(document.getElementById('sc-connect'), {
  callback: (fields) => document.body.append(JSON.stringify(fields)) // {"oauth_token_id": "1"}
});</script>
"""
TOKENS = []


def app_factory(global_conf, **options):
    return application


def application(environ, start_response):
    start_response(
        "200 OK", [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(PAGE)))]
    )
    return [PAGE]


def store_token(token, request):
    TOKENS.append(token)  # in your database, with the user it belongs to
    return {"oauth_token_id": len(TOKENS)}
