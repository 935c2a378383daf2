"""Every budget of the performance in one table.

It takes a few minutes. --quick only shows that all of it runs.
"""

from __future__ import annotations

import api_calls
import browser_files
import connection
import logged_in
import passing_through
import scale
import startup
from measure import main

if __name__ == "__main__":
    main(
        passing_through.rows,
        browser_files.rows,
        connection.rows,
        api_calls.rows,
        logged_in.rows,
        startup.rows,
        scale.rows,
    )
