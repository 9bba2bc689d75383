"""Images of the official names for an engine of our own that reaches no container registry.

Made of Debian's packages, a CPython of this machine and the Elasticsearch of stack/elasticsearch.py. Kibana and
Logstash are stand-ins: they take our settings and credentials and use them as the real ones would, and no more. Real
images are used where they can be pulled. Each is made anew when its sources change.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

from . import elasticsearch
from .engine import Engine
from .processes import StackError

SOURCES = Path(__file__).parent / "standins"
TESTS = Path(__file__).parent.parent / "tests"
BASE = "rq-shipper-standin/debian"
LABEL = "rq-shipper.sources"
PACKAGES = (
    "ca-certificates,curl,netbase,openssl,tini,tzdata,zlib1g,libsqlite3-0,libssl3,libffi8,libbz2-1.0,liblzma5,"
    "libreadline8,libncursesw6,libuuid1,libgdbm6,libdb5.3,libexpat1"
)
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def provide(engine: Engine, images: list[str]) -> list[str]:
    """Make sure that the engine has the images. Returns the names of those that are stand-ins.

    Raises StackError if one cannot be pulled and the engine is not our own: only there may ours have official names.
    """
    made = []
    for image in images:
        if _label(engine, image) is None and engine.docker("pull", "-q", image, check=False).returncode:
            if not engine.is_own:
                raise StackError(f"The image {image} cannot be pulled. Is the network there?")
            made.append(image)
        elif _label(engine, image):
            made.append(image)
    if not made:
        return []
    for image in ("python:3.13-slim", "python:3.13", *(one for one in made if not one.startswith("python:"))):
        name = _name(image)
        sources = _digest(SOURCES / name, *_copied(name))
        if _label(engine, image) != sources:
            print(f"Making a stand-in for {image} …", flush=True)
            _build(engine, name, image, sources)
    return made


def _name(image: str) -> str:
    """The folder of an image's sources."""
    if image == "python:3.13":
        return "python-full"
    return image.partition(":")[0].rpartition("/")[2]


def _label(engine: Engine, image: str) -> str | None:
    """The digest of a stand-in's sources; an empty string for a real image, None for none."""
    form = f'{{{{index .Config.Labels "{LABEL}"}}}}'
    done = engine.docker("image", "inspect", "-f", form, image, check=False)
    return done.stdout.strip().replace("<no value>", "") if done.returncode == 0 else None


def _build(engine: Engine, name: str, image: str, sources: str) -> None:
    if name in ("python", "redis", "elasticsearch"):
        _make_base(engine)
    with tempfile.TemporaryDirectory(prefix="rq-shipper-image-", dir="/var/tmp") as aside:
        context = Path(aside) / name
        shutil.copytree(SOURCES / name, context)
        for file in _copied(name):
            shutil.copy(file, context)
        if name == "python":
            _copy_python(context)
        if name == "elasticsearch":
            release, java = elasticsearch.choose()
            if release.version != image.rpartition(":")[2]:
                raise StackError(f"A Java for {image} is missing: of Elasticsearch, {release.version} can be run here.")
            shutil.copytree(elasticsearch.fetch(release), context / "elasticsearch", symlinks=True)
            home = java.program.resolve().parent.parent
            shutil.copytree(home, context / "jdk", ignore=shutil.ignore_patterns("jmods", "src.zip", "man"))
        engine.docker("build", "-q", "--label", f"{LABEL}={sources}", "-t", image, str(context))


def _make_base(engine: Engine) -> None:
    """Debian's smallest system with what the others need."""
    if engine.docker("image", "inspect", BASE, check=False).returncode == 0:
        return
    with tempfile.TemporaryDirectory(prefix="rq-shipper-image-", dir="/var/tmp") as aside:
        archive = Path(aside) / "debian.tar"
        command = ["mmdebstrap", "--mode=root", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(archive)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise StackError("mmdebstrap failed:\n" + "\n".join(done.stderr.splitlines()[-5:]))
        engine.docker("import", str(archive), BASE)


def _copy_python(context: Path) -> None:
    """A CPython of this machine that can be moved, such as pyenv's."""
    homes = sorted(Path.home().glob(".pyenv/versions/3.1[1-9].*"), key=lambda home: _is_wanted(home.name), reverse=True)
    base = Path(sys.base_prefix)
    home = homes[0] if homes else base
    if home == Path("/usr"):
        raise StackError("A stand-in for python:3.13 is made of pyenv's CPython 3.11 or newer, and there is none.")
    target = context / "usr/local"
    shutil.copytree(
        home, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "test", "tests", "site-packages")
    )
    shutil.copy(CERTIFICATES, context / "ca-certificates.crt")


def _is_wanted(version: str) -> tuple[bool, str]:
    return version.startswith("3.13."), version


def _copied(name: str) -> list[Path]:
    """Files of elsewhere that belong to the sources of a stand-in."""
    return [TESTS / "kibana_server.py", TESTS / "serving.py"] if name == "kibana" else []


def _digest(folder: Path, *files: Path) -> str:
    content = b"".join(path.read_bytes() for path in [*sorted(folder.iterdir()), *files])
    return sha256(content).hexdigest()[:16]
