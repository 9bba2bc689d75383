"""A client for the few of Kibana's APIs that the setup uses, and what its answers mean.

The API is Kibana's own: https://www.elastic.co/docs/api/doc/kibana (saved objects, alerting, spaces, status).
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import elastic_transport
from elastic_transport import HttpHeaders

from ..client import addresses_for_people, node_class, nodes
from ..diagnosis import unreachable
from ..errors import DestinationError, Refused, Unreachable
from ..settings import Settings

OLDEST = (8, 12)
"""The oldest Kibana that can import the objects: (major, minor)."""
REQUEST_TIMEOUT_S = 120.0  # the import takes a second or two, and longer if Kibana has just started

ID_PREFIX = "rqship-"
"""All ids of our objects begin with this, and nothing else in the file contains it."""
DEFAULT_SPACE = "default"


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response: the status, and the parsed body, None if it is not JSON."""

    status: int
    body: Any


class Kibana:
    """A client for one space of a Kibana. Its methods raise Unreachable or Refused, with advice in the message."""

    def __init__(self, settings: Settings) -> None:
        connection = _connection(settings)
        self.where = addresses_for_people(connection)
        self._public = settings.kibana_public_url or self.where
        self.space = settings.kibana_space or DEFAULT_SPACE
        self._headers = {"kbn-xsrf": "rq-shipper", "accept": "application/json"}
        self._node = node_class(connection)(*nodes(connection))

    def page(self, name: str) -> str:
        """The URL of a dashboard: `overview`."""
        default = self.space == DEFAULT_SPACE
        space, prefix = ("", ID_PREFIX) if default else (f"/s/{self.space}", f"{ID_PREFIX}{self.space}-")
        return f"{self._public}{space}/app/dashboards#/view/{prefix}dashboard-{name}"

    def close(self) -> None:
        self._node.close()

    def version(self) -> str:
        """Kibana's version, such as `9.4.3`. Raises Refused if it is too old or not Kibana."""
        answer = self._request("GET", "/api/status", everywhere=True)
        if answer.status == 404 or not isinstance(answer.body, dict) or "status" not in answer.body:
            raise Refused(
                f"What answers at {self.where} is not Kibana ({answer.status}). Check SHIPPER_KIBANA; where Kibana has "
                "a server.basePath, that is part of the URL.",
                answer.status,
            )
        number = answer.body.get("version", {}).get("number")
        if not number:  # with security, Kibana omits it for unauthenticated requests
            raise Refused(self._unauthorized(), answer.status)
        version = tuple(int(part) for part in re.findall(r"\d+", number)[:2])
        if version < OLDEST:
            raise Refused(
                f"Kibana at {self.where} is {number}; what is installed needs {'.'.join(map(str, OLDEST))} or newer."
            )
        return str(number)

    def check_space(self) -> None:
        """Raise Refused if the space does not exist."""
        if self.space == DEFAULT_SPACE:
            return
        answer = self._request("GET", f"/api/spaces/space/{self.space}", everywhere=True)
        if answer.status == 404:
            raise Refused(
                f"Kibana at {self.where} has no space {self.space!r}. Make it there (Stack Management, Spaces), or "
                "check --space.",
                answer.status,
            )
        self._expect_success(answer)

    def import_objects(self, lines: str) -> int:
        """Import saved objects (lines of NDJSON), overwriting existing ones. Returns their number.

        Raises Refused unless Kibana says that it took every one, and has every one when it is asked afterwards.
        """
        wanted = [(one["type"], one["id"]) for one in map(json.loads, lines.splitlines())]
        boundary = uuid.uuid4().hex
        body = (
            f"--{boundary}\r\n"
            # Kibana requires this extension.
            'Content-Disposition: form-data; name="file"; filename="rq-shipper.ndjson"\r\n'
            "Content-Type: application/ndjson\r\n\r\n"
            f"{lines}\r\n--{boundary}--\r\n"
        ).encode()
        answer = self._request(
            "POST",
            "/api/saved_objects/_import?overwrite=true",
            body=body,
            content_type=f"multipart/form-data; boundary={boundary}",
        )
        self._expect_success(answer)
        if not answer.body.get("success"):
            problems = [_problem(error) for error in answer.body.get("errors", [])]
            raise Refused(f"Kibana at {self.where} did not take all objects: {'; '.join(problems[:5])}.", answer.status)
        count = answer.body.get("successCount")
        if count != len(wanted):
            raise Refused(
                f"Kibana at {self.where} says that it took {count} of {len(wanted)} objects. Try again; its log says "
                "what became of the others.",
                answer.status,
            )
        self._check_presence(wanted)
        return len(wanted)

    def missing(self, wanted: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Those of the objects (type, id) that this space does not have. It reads them, and changes nothing."""
        answer = self._export(wanted)
        attributes = answer.body.get("attributes") if isinstance(answer.body, dict) else None
        if answer.status == 400 and isinstance(attributes, dict):
            failed = {(one["type"], one["id"]): one.get("error", {}) for one in attributes.get("objects", ())}
            if failed and all(error.get("statusCode", 404) == 404 for error in failed.values()):
                return [one for one in wanted if one in failed]
        return self._absent(wanted, answer)

    def _check_presence(self, wanted: Sequence[tuple[str, str]]) -> None:
        """Raise Refused unless Kibana has all these objects (type, id) in this space."""
        answer = self._export(wanted)
        if answer.status == 400:  # what it answers if one of them does not exist
            raise Refused(
                f"Kibana at {self.where} took the objects and does not have them in space {self.space}: "
                f"{_reason(answer.body)}.",
                answer.status,
            )
        if missing := [f"{kind} {one}" for kind, one in self._absent(wanted, answer)]:
            raise Refused(
                f"Kibana at {self.where} took the objects and does not have {len(missing)} of {len(wanted)} in space "
                f"{self.space}: {', '.join(missing[:5])}.",
                answer.status,
            )

    def _absent(self, wanted: Sequence[tuple[str, str]], answer: Response) -> list[tuple[str, str]]:
        """Those that an export does not have. Raises Refused if it is none."""
        if not 200 <= answer.status < 300 or not isinstance(answer.body, list):
            raise self._refusal(answer)
        there = {(one.get("type"), one.get("id")) for one in answer.body if isinstance(one, dict)}
        return [one for one in wanted if one not in there]

    def _export(self, wanted: Sequence[tuple[str, str]]) -> Response:
        """The objects (type, id), one on each line; 400 if one of them does not exist."""
        body = json.dumps({"objects": [{"type": kind, "id": one} for kind, one in wanted]}).encode()
        path = "/api/saved_objects/_export"
        return self._request("POST", path, body=body, content_type="application/json", is_ndjson=True)

    def create_rule(self, identifier: str, payload: dict[str, Any]) -> bool:
        """Create an alert rule. False if it exists; then it is not changed."""
        path = f"/api/alerting/rule/{identifier}"
        existing = self._request("GET", path)
        if existing.status != 404:
            self._expect_success(existing)
            return False
        body = json.dumps(payload).encode()
        self._expect_success(self._request("POST", path, body=body, content_type="application/json"))
        created = self._request("GET", path)
        self._expect_success(created)
        if created.body.get("id") != identifier:
            raise Refused(f"Kibana at {self.where} took the alert rule {payload['name']!r} and does not have it.")
        return True

    def _request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        content_type: str | None = None,
        everywhere: bool = False,
        is_ndjson: bool = False,
    ) -> Response:
        """Send one request, to this space unless `everywhere`. Raises Unreachable and, for 401, Refused.

        `is_ndjson`: the body of a success is lines of JSON, and becomes a list.
        """
        in_space = "" if everywhere or self.space == DEFAULT_SPACE else f"/s/{self.space}"
        headers = HttpHeaders(self._headers | ({"content-type": content_type} if content_type else {}))
        try:
            meta, raw = self._node.perform_request(
                method, in_space + path, body=body, headers=headers, request_timeout=REQUEST_TIMEOUT_S
            )
        except elastic_transport.TransportError as error:
            raise unreachable(self.where, error, "Kibana") from error
        try:
            is_list = is_ndjson and 200 <= meta.status < 300
            content = [json.loads(line) for line in raw.splitlines()] if is_list else json.loads(raw)
        except ValueError:
            content = None
        if meta.status == 401:
            raise Refused(self._unauthorized(), meta.status)
        if meta.status in (429, 502, 503, 504):
            raise Unreachable(f"Kibana at {self.where} is not ready ({meta.status}: {_reason(content)}).", meta.status)
        return Response(meta.status, content)

    def _expect_success(self, answer: Response) -> None:
        """Raise Refused unless it is a 2xx with a JSON object."""
        if 200 <= answer.status < 300 and isinstance(answer.body, dict):
            return
        raise self._refusal(answer)

    def _refusal(self, answer: Response) -> DestinationError:
        reason = _reason(answer.body)
        if answer.status == 403:
            return Refused(
                f"Kibana at {self.where} forbids this to the user or key that was given (403: {reason}). It takes "
                "the Kibana privileges Saved Objects Management and, for rules, Stack Rules.",
                answer.status,
            )
        if answer.status == 413:
            return Refused(
                f"Kibana at {self.where}, or something before it, takes no request of this size (413). Raise "
                "server.maxPayload.",
                answer.status,
            )
        return Refused(f"Kibana at {self.where} refused the request ({answer.status}: {reason}).", answer.status)

    def _unauthorized(self) -> str:
        return (
            f"Kibana at {self.where} does not accept the credentials (401). Set SHIPPER_KIBANA_API_KEY, or "
            "SHIPPER_KIBANA_USERNAME and SHIPPER_KIBANA_PASSWORD; without them Elasticsearch's are used."
        )


def _connection(settings: Settings) -> Settings:
    """The settings with Kibana's URL as `elasticsearch`, so that certificates and proxy are used in the same way.

    Kibana accepts Elasticsearch's credentials, so those are the default.
    """
    connection = replace(settings, elasticsearch=(settings.kibana or "",), cloud_id=None, fingerprint=None, gzip=False)
    if not (settings.kibana_api_key or settings.kibana_username):
        return connection
    return replace(
        connection,
        api_key=settings.kibana_api_key,
        username=settings.kibana_username,
        password=settings.kibana_password,
    )


def _problem(error: dict[str, Any]) -> str:
    """Why one object was not imported."""
    about = error.get("error", {})
    return f"{error.get('type')} {error.get('id')}: {about.get('type')} {about.get('message', '')}".strip()


def _reason(body: Any) -> str:
    """The reason in an error response, shortened."""
    return str(body.get("message") or body.get("error"))[:300] if isinstance(body, dict) else "no JSON"
