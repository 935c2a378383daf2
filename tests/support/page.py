"""What a page consists of, and whether it can be read."""

from __future__ import annotations

import html.parser
import re


class Elements(html.parser.HTMLParser):
    """Every start tag of a page with its attributes, and every text in a script or a style."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.inline = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.cdata_elem in ("script", "style") and data.strip():
            self.inline.append(data)


def contrast(one, other):
    """Return the contrast ratio of two colours, as WCAG 2.2 defines it."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour):
    channels = [int(channel) / 255 for channel in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
