"""python waitress_serve.py

One process with threads; more processes are more of these behind one balancer, with the same
SCCONNECT_SECRET_KEY.
"""

import waitress
from mysite import application

waitress.serve(
    application,
    listen="localhost:8000",
    threads=16,  # each may wait for the provider
    ident=None,  # no Server header
)
