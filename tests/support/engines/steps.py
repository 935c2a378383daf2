"""What a user does in a window of any engine."""

from __future__ import annotations


def log_in(window):
    """Log in at the provider, up to the question whether to allow."""
    # The page moves the focus there, and should not do so while we type
    window.wait_for("#username:focus")
    window.fill("#username", "joe")
    window.fill("#password", "joe")
    window.click("#login")
    window.wait_for("#allow")


def allow(window):
    """Press Allow at the provider, after logging in if it asks for that."""
    window.wait_for("#username:focus, #allow")
    if window.has("#username"):
        log_in(window)
    window.click_away("#allow")
