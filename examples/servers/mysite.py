"""The site of the files beside it.

It is one page with the button, configured only by SCCONNECT_* variables. Its links are relative, so
that they are right below any prefix.
"""

from scconnect_wsgi.config import from_env

PAGE = b"""<!DOCTYPE html><meta charset="utf-8"><title>A site</title>
<script src="sc-connect/sc-connect.js"></script>
<a href="#" id="sc-connect"><img src="sc-connect/sc-connect.svg" alt="Connect with SoundCloud"></a>
<script>SC.Connect.prepareButton(document.getElementById('sc-connect'), {
  callback: (fields) => document.body.append(JSON.stringify(fields)) // {"username": "joe"}
});</script>
"""


def site(environ, start_response):
    start_response(
        "200 OK", [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(PAGE)))]
    )
    return [PAGE]


def store_token(token, request):
    # Keep the token in a database that all workers share, with the user it belongs to.
    return {"scope": token.scope or "", "worker_threads": request.environ["wsgi.multithread"]}


application = from_env(site)
