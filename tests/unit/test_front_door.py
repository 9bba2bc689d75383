"""What importing costs and changes: a process of its own for each, because imports cannot be undone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.programs import LIMIT_S

HEAVY = ("elasticsearch", "elastic_transport", "rich", "click", "pythonjsonlogger", "shipper.ship", "shipper.read")

WRAPPED = "rq.queue.Queue._enqueue_job"


def _python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_package_changes_nothing() -> None:
    assert _python(f"import rq.queue; before = {WRAPPED}; import shipper; print({WRAPPED} is before)") == "True"


def test_importing_the_package_does_not_even_import_rq() -> None:
    assert _python("import sys, shipper; print('rq' in sys.modules)") == "False"


def test_using_the_job_class_instruments() -> None:
    used = "from shipper import LoggedJob"
    assert _python(f"import rq.queue; before = {WRAPPED}; {used}; print({WRAPPED} is before)") == "False"


def test_instrumenting_twice_wraps_once() -> None:
    instrument = "shipper.instrument()"
    code = f"import rq.queue, shipper; {instrument}; once = {WRAPPED}; {instrument}; print({WRAPPED} is once)"
    assert _python(code) == "True"


def test_the_emit_side_imports_nothing_of_the_other_sides() -> None:
    added = f"[name for name in {HEAVY!r} if name in sys.modules and name not in before]"
    code = f"import sys, rq, rq.worker; before = set(sys.modules); from shipper import LoggedJob; print({added})"
    assert _python(code) == "[]"


def test_the_audit_trail_and_the_middlewares_import_light() -> None:
    added = f"[name for name in {HEAVY!r} + ('asyncio', 'rfc8785') if name in sys.modules and name not in before]"
    used = "import shipper.audit, shipper.web.wsgi, shipper.web.asgi; shipper.audit.api.trail()"
    assert _python(f"import sys, rq; before = set(sys.modules); {used}; print({added})") == "[]"


def test_nothing_but_its_own_application_imports_django() -> None:
    used = "import shipper.audit, shipper.web.wsgi; shipper.instrument(); shipper.audit.api.trail()"
    assert _python(f"import sys, shipper; {used}; print('django' in sys.modules)") == "False"


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert _python("import shipper; print(hasattr(shipper, 'nonsense'))") == "False"


def test_every_promised_name_is_there() -> None:
    assert _python("import shipper; print(all(getattr(shipper, name) for name in shipper.__all__))") == "True"


# What Windows has not, or macOS. RQ's own modules are loaded before: what they need is their matter.
ELSEWHERE = """
import rq, rq.cron, rq.scheduler, rq.worker, redis, click, rich, elasticsearch, os, sys, pathlib
for name in ("pwd", "grp", "fcntl", "resource"):
    sys.modules[name] = None
for name in ("register_at_fork", "O_NONBLOCK", "O_CLOEXEC", "fchmod", "posix_spawn", "getuid", "geteuid"):
    delattr(os, name)
"""


@pytest.mark.parametrize(
    "code",
    [
        "import shipper; shipper.instrument(); shipper.audit.record('tried', 'thing:1'); "
        "print(b'unchained' in pathlib.Path(os.environ['SHIPPER_LOG']).read_bytes())",
        "import shipper.jobs, shipper.timeline, shipper.cli.timeline, shipper.cli.top, shipper.cli.job; print(True)",
        "from shipper.cli import cli; print(not cli(['--help'], standalone_mode=False))",
    ],
)
def test_what_only_linux_has_is_not_needed_to_record_and_to_read(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHIPPER_LOG", str(tmp_path / "records.jsonl"))
    monkeypatch.setenv("USERNAME", "ann")
    assert _python(ELSEWHERE + code).splitlines()[-1] == "True"
