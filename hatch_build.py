"""Compile framing.c where there are a compiler and Python's headers; elsewhere document.py does it all."""

from __future__ import annotations

import shlex
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = "shipper/ship/reader/framing.c"
MODULE = "shipper/ship/reader/framing.abi3.so"
# Python's stable ABI: one compiled module for 3.11 and all that follow, so one wheel for each platform.
TAG = "cp311-abi3"


class Framing(BuildHookInterface):  # type: ignore[type-arg]
    """Of wheels and of editable installs."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        root = Path(self.root)
        compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")
        command = [
            *compiler,
            "-O3",
            "-fPIC",
            "-shared",
            f"-I{sysconfig.get_path('include')}",
            str(root / SOURCE),
            "-o",
            str(root / MODULE),
        ]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", "") or str(error)
            self.app.display_warning(f"{SOURCE} was not compiled, and the shipper is slower without it:\n{said}")
            return
        build_data["artifacts"].append(MODULE)
        build_data["pure_python"] = False
        build_data["tag"] = f"{TAG}-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
