"""Which program on which machine writes: the fields that are the same on all of a process's records."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from types import MappingProxyType

from .records import ECS_VERSION
from .settings import Settings


class ServiceInfo:
    """The `ecs`, `service` and `host` of a process's records, and its `pid`.

    `services` gives the queues whose names begin with a prefix to a service of their own.
    """

    __slots__ = ("_others", "ecs", "host", "pid", "service")

    def __init__(
        self, *, service: str, version: str | None, environment: str | None, host: str, pid: int,
        services: Mapping[str, str] = MappingProxyType({}),
    ) -> None:  # fmt: skip
        named = {"name": service, "version": version, "environment": environment}
        self.service = {name: value for name, value in named.items() if value}
        self._others = sorted(services.items(), key=lambda one: -len(one[0]))
        self.ecs = {"version": ECS_VERSION}
        self.host = {"name": host}
        self.pid = pid

    @classmethod
    def here(cls, settings: Settings) -> ServiceInfo:
        """The origin of what this process writes."""
        return cls(
            service=settings.service, version=settings.version, environment=settings.environment,
            services=settings.services, host=socket.gethostname(), pid=os.getpid(),
        )  # fmt: skip

    def service_of(self, queue: str | None) -> dict[str, str]:
        """The `service` of a queue's jobs."""
        for prefix, name in self._others:
            if queue and queue.startswith(prefix):
                return {**self.service, "name": name}
        return self.service
