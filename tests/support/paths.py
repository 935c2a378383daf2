"""Where things are in the checkout."""

import pathlib

TESTS = pathlib.Path(__file__).parent.parent
CHECKOUT = TESTS.parent
