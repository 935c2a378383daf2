"""Write below each line of docs/threats.md which tests are about it: python tools/threat_tests.py

A test is about a line if it is marked with its number: @pytest.mark.threat(17).
"""

import pathlib
import sys

ROOT = pathlib.Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests")]
from support.threats import PAGE, page_with_tests  # noqa: E402

if __name__ == "__main__":
    PAGE.write_text(page_with_tests(), "utf-8")
