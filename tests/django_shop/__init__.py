"""A small shop in Django, which the tests run: in programs of their own, or in theirs (`set_up`)."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

SETTINGS = "tests.django_shop.settings"
FOLDER = "SHOP_FOLDER"


def set_up() -> Path:
    """Configure Django in this process, once, on databases of its own. Returns their folder."""
    if FOLDER not in os.environ:
        os.environ[FOLDER] = tempfile.mkdtemp(prefix="shop-")
        atexit.register(shutil.rmtree, os.environ[FOLDER], ignore_errors=True)
        os.environ["DJANGO_SETTINGS_MODULE"] = SETTINGS
        import django

        django.setup()
        make_tables()
    return Path(os.environ[FOLDER])


def make_tables() -> None:
    from django.core.management import call_command

    for database in ("default", "other"):
        call_command("migrate", run_syncdb=True, verbosity=0, database=database, skip_checks=True)


def empty_tables() -> None:
    """Behind the back of the models."""
    from django.core.management.color import no_style
    from django.db import connections

    for connection in (connections["default"], connections["other"]):
        tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
        connection.ops.execute_sql_flush(connection.ops.sql_flush(no_style(), tables, allow_cascade=True))
