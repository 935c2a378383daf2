"""``python -m scconnect_wsgi``: the same as the console script ``scconnect``."""

import sys

from scconnect_wsgi.cli import main

if __name__ == "__main__":
    sys.exit(main())
