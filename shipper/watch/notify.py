"""Tells people of alarms: by the log, a command, a webhook, and everything that apprise knows (extra `notify`).

Each notifier has a thread and a queue of its own: one that fails or hangs is retried, and holds nothing else up. A
notice may come twice, from two watchers or after a restart; `id` and `state` in it say which are the same.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shlex
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson

from ..errors import SettingsError
from ..settings import nearest

log = logging.getLogger("shipper")

Notice = dict[str, Any]
"""`state` (open or closed), `severity`, `rule`, `subject`, `message`, `since`, `at`, `id`, and the whole `record`."""

TIMEOUT_S = 30.0
RETRY_FIRST_S, RETRY_LAST_S = 1.0, 60.0
GIVE_UP_AFTER_S = 6 * 3600.0  # by then it is history, and in the records
KEPT = 1000  # notices that wait for one notifier; of more, the oldest are dropped


class Failed(Exception):
    """A notice was not taken. The text says why, without secrets."""


def notice_of(record: Mapping[str, Any]) -> Notice:
    """The notice of an alarm's record."""
    alert = record["rq"]["alert"]
    return {
        "state": alert["state"],
        "severity": alert["severity"],
        "rule": record["rule"]["name"],
        "subject": alert["subject"],
        "message": record["message"],
        "since": record["event"]["start"],
        "at": record["event"]["created"],
        "service": record["service"].get("name"),
        "id": alert["id"],
        "record": dict(record),
    }


def title(notice: Notice) -> str:
    """`critical: redis_memory`, or `over: redis_memory`."""
    return f"{notice['severity'] if notice['state'] == 'open' else 'over'}: {notice['rule']}"


# --- the built-in notifiers -------------------------------------------------------------------------------

Notifier = Callable[[Notice], None]
"""Delivers a notice, or raises Failed."""


def to_log(notice: Notice) -> None:
    level = logging.WARNING if notice["state"] == "open" else logging.INFO
    fields = {"event.action": f"alarm-{notice['state']}", "rule.name": notice["rule"], "event.id": notice["id"]}
    log.log(level, "%s: %s", title(notice), notice["message"], extra=fields)


def command(line: str) -> Notifier:
    """Runs a program without a shell. It gets the notice as JSON on its standard input."""
    words = shlex.split(line)
    if not words or shutil.which(words[0]) is None:
        raise SettingsError([f"The setting 'notify' names the command {line!r}, and there is no such program."])

    def run(notice: Notice) -> None:
        facts = {f"ALARM_{name.upper()}": str(notice[name]) for name in ("state", "severity", "rule", "subject", "id")}
        try:
            done = subprocess.run(
                words,
                input=orjson.dumps(notice),
                capture_output=True,
                timeout=TIMEOUT_S,
                check=False,
                env={**os.environ, **facts},
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Failed(f"{words[0]}: {type(error).__name__}") from error
        if done.returncode != 0:
            said = done.stderr.decode("utf-8", "replace").strip()[-200:]
            raise Failed(f"{words[0]} exited with {done.returncode} {said}")

    return run


def webhook(url: str) -> Notifier:
    """POSTs the notice as JSON. Its `text` is for chats that take such a field (Slack, Mattermost, Teams)."""
    where = urlsplit(url).hostname or "?"

    def post(notice: Notice) -> None:
        body = orjson.dumps({"text": f"{title(notice)}: {notice['message']}", **notice})
        headers = {"Content-Type": "application/json", "User-Agent": "rq-shipper"}
        request = urllib.request.Request(url, body, headers)  # noqa: S310 - http or https: checked in `build`
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S):  # noqa: S310 - the same
                return
        except urllib.error.HTTPError as error:
            raise Failed(f"{where} answered {error.code}") from error
        except (OSError, ValueError) as error:
            raise Failed(f"{where} cannot be reached ({type(error).__name__})") from error

    return post


def by_apprise(url: str) -> Notifier:
    """Mail, Slack, Teams and a hundred others. Raises SettingsError."""
    scheme = url.partition("://")[0]
    try:
        import apprise
    except ImportError:
        raise SettingsError(
            [f"The setting 'notify' with {scheme}:// needs: pip install 'rq-shipper[notify]'."]
        ) from None
    sender = apprise.Apprise()
    if not sender.add(url):
        raise SettingsError([f"The setting 'notify' has a {scheme}:// address that apprise does not accept."])

    def send(notice: Notice) -> None:
        kind = apprise.NotifyType.SUCCESS if notice["state"] == "closed" else apprise.NotifyType.WARNING
        if not sender.notify(body=notice["message"], title=title(notice), notify_type=kind):
            raise Failed(f"{scheme}:// did not take it")

    return send


_KINDS = ("log", "command:", "https://", "http://")


def build(spec: str) -> Notifier:
    """The notifier that an entry of the setting `notify` names. Raises SettingsError."""
    if spec == "log":
        return to_log
    if spec.startswith("command:"):
        return command(spec.removeprefix("command:"))
    if spec.startswith(("http://", "https://")):
        return webhook(spec)
    if "://" in spec:
        return by_apprise(spec)
    name = spec.partition(":")[0]
    kinds = [kind.rstrip(":/") for kind in _KINDS]
    hint = nearest(name, kinds, "Known are log, command:PROGRAM, and URLs.")
    raise SettingsError([f"The setting 'notify' has {name!r}, which is no notifier. {hint}"])


# --- delivery ---------------------------------------------------------------------------------------------


class Courier:
    """Delivers notices to one notifier, in their order, from a thread. Retries until GIVE_UP_AFTER_S."""

    def __init__(self, spec: str) -> None:
        """Raises SettingsError."""
        self._deliver = build(spec)
        self.name = hashlib.sha256(spec.encode()).hexdigest()[:12]
        """Identifies the notifier without telling its address."""
        self._waiting: deque[Notice] = deque(maxlen=KEPT)
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="notifier", daemon=True)
        self._thread.start()

    def put(self, notice: Notice) -> None:
        with self._changed:
            self._waiting.append(notice)
            self._changed.notify()

    def pending(self) -> list[Notice]:
        """The notices that were not taken yet."""
        with self._changed:
            return list(self._waiting)

    def stop(self, wait_s: float) -> None:
        """Deliver what can be delivered within `wait_s`."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(wait_s)

    def _run(self) -> None:
        while (notice := self._next()) is not None and self._insist(notice):
            with self._changed:
                if self._waiting and self._waiting[0] is notice:
                    self._waiting.popleft()

    def _next(self) -> Notice | None:
        with self._changed:
            while not self._waiting and not self._stopping:
                self._changed.wait()
            return self._waiting[0] if self._waiting else None

    def _insist(self, notice: Notice) -> bool:
        """Try until it is delivered or given up. False if it is still to be delivered, as this process ends."""
        pause_s, started = RETRY_FIRST_S, time.monotonic()
        while True:
            try:
                self._deliver(notice)
                return True
            except Exception as error:  # a notifier of apprise's may raise anything
                reason = str(error) if isinstance(error, Failed) else type(error).__name__
            if time.monotonic() - started > GIVE_UP_AFTER_S:
                log.error("A notice of the alarm %s is given up: %s.", notice["rule"], reason)
                return True
            if pause_s == RETRY_FIRST_S:
                log.warning("A notice of the alarm %s was not delivered: %s. It is retried.", notice["rule"], reason)
            until = time.monotonic() + pause_s
            with self._changed:
                while not self._stopping and (left := until - time.monotonic()) > 0:
                    self._changed.wait(left)
                if self._stopping:
                    return False
                if self._waiting and self._waiting[0] is not notice:
                    return True  # dropped, as too many wait
            pause_s = min(pause_s * 2, RETRY_LAST_S)
