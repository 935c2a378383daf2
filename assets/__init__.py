"""The browser half, served as it is below ``/sc-connect/``.

It is the button, its script, and the page the popup ends on.
"""
