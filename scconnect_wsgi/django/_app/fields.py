"""The column of a name, which migrations refer to: neither its path nor its name may change."""

from __future__ import annotations

from typing import Any

from django.db import models

from scconnect_wsgi.stores import KEY_LENGTH


class NameField(models.CharField):
    """A text that is compared to the letter.

    By default MySQL and MariaDB ignore case, accents and spaces at the end.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"max_length": KEY_LENGTH, **options})

    def db_parameters(self, connection: Any) -> dict[str, Any]:
        """Return Django's description of the column, with a collation where one is needed."""
        parameters: dict[str, Any] = super().db_parameters(connection)
        if connection.vendor == "mysql":
            is_mariadb = connection.mysql_is_mariadb
            parameters["collation"] = "utf8mb4_nopad_bin" if is_mariadb else "utf8mb4_0900_bin"
        return parameters
