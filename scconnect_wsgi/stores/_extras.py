"""What an import says if the packages of an extra are not installed."""

from __future__ import annotations


def missing_extra(error: ModuleNotFoundError, package: str, extra: str) -> ModuleNotFoundError:
    """Return the error for a package that is not installed, with the extra that installs it.

    If something else is missing, as a part of the package itself, the error stays.
    """
    if error.name != package:
        return error
    return ModuleNotFoundError(
        f"The package {package} is not installed: pip install 'scconnect-wsgi[{extra}]'",
        name=package,
    )
