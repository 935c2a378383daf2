"""gunicorn --config gunicorn_sync.py mysite:application

One request at a time in each worker: a worker waits while the provider answers, up to Transport's
timeout.
"""

bind = "localhost:8000"
workers = 4  # two a core
timeout = 30  # seconds; longer than two calls to the provider, which end after 10 s each
accesslog = "-"
# The path without its query, and no Referer: the callback's query holds the code that is good for a
# token.
access_log_format = '%(h)s %(t)s "%(m)s %(U)s" %(s)s %(b)s %(L)s'
limit_request_field_size = (
    16_380  # bytes; a Cookie header with those of several flows beside the site's own
)
