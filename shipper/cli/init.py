"""`shipper init`: write a settings file that explains every setting."""

from __future__ import annotations

import os
from pathlib import Path

import click

from .. import setting_table, settings
from ..errors import ShipperError
from . import options

# The group may read it, as emitters of several accounts do; nobody else, as it may hold secrets some day.
FILE_MODE = 0o640


@click.command(epilog=options.examples("shipper init --service shop --log /var/log/shop/records.jsonl"))
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), default="shipper.toml")
@click.option("--log", metavar="FILE", help="The file that records are appended to (SHIPPER_LOG).")
@click.option("--service", metavar="NAME", help="The application that the jobs belong to (SHIPPER_SERVICE).")
@options.state
@options.elasticsearch
@options.namespace
@options.redis
def command(file: Path, **flags: str | None) -> None:
    """Write a settings file that explains every setting.

    It is FILE, by default shipper.toml. All settings are comments, but for those that are given as flags. A file that
    exists is not overwritten. It is used if it is called shipper.toml and in the working directory, or named by
    SHIPPER_CONFIG.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    settings.load(given, {settings.CONFIG_VARIABLE: os.devnull})  # raises SettingsError, of the flags alone
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    except FileExistsError:
        raise ShipperError(f"{file} exists, and is not overwritten. Give another name, or move it away.") from None
    except OSError as error:
        raise ShipperError(f"{file} cannot be written: {error.strerror}.") from error
    with open(descriptor, "w", encoding="utf-8") as out:
        out.write(setting_table.settings_file(given))
    click.echo(f"Wrote {file}. Credentials are best kept out of it: set SHIPPER_API_KEY in the environment.")
    if file.name != "shipper.toml":
        click.echo(f"To use it: export {settings.CONFIG_VARIABLE}={file.absolute()}")
    click.echo("Next: `shipper doctor` says what is missing.")
