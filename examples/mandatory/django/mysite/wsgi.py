"""The WSGI application, for every server: gunicorn mysite.wsgi, or manage.py runserver."""

import os

from mysite.soundcloud import make_application, make_connections
from scconnect_wsgi.config import flow_from_env

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
application = make_application(make_connections(flow_from_env()))
