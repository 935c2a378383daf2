"""The file that mod_wsgi loads; it looks for the name ``application``."""

from mysite import application

__all__ = ["application"]
