"""gunicorn --config gunicorn_gevent.py mysite:application

Greenlets wait for the provider while others answer: for sites that do little but wait. It needs
`pip install 'gunicorn[gevent]'`, and the rest of the site must be fit for gevent too.
"""

bind = "localhost:8000"
worker_class = "gevent"
workers = 2  # one a core
worker_connections = 200  # requests at once in each worker
timeout = 30  # seconds
accesslog = "-"
# The path without its query, and no Referer: the callback's query holds the code that is good for a
# token.
access_log_format = '%(h)s %(t)s "%(m)s %(U)s" %(s)s %(b)s %(L)s'
limit_request_field_size = (
    16_380  # bytes; a Cookie header with those of several flows beside the site's own
)
