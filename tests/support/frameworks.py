"""The frameworks that the tests are about: all, or those that tox.ini names for an environment.

One that is named and not installed is a failure, never a skip.
"""

import importlib
import os

ALL = "plain flask django pyramid bottle falcon"
NAMES = os.environ.get("TESTS_FRAMEWORKS", ALL).split()


def site(name):
    """Return a new site of a framework, which is imported now and not when tests are collected."""
    return importlib.import_module(f"support.sites.{name}").site()
