"""Elasticsearch: what it is, what its key may do, its templates, disks, shards, and what its records say."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import elasticsearch
from elasticsearch import Elasticsearch

from ... import client
from ...client import translated_errors
from ...errors import Refused
from ...index import conformity, setup
from ...index import retention as index_retention
from ...live.server import ahead_s
from ...records import EPOCH, PERIODS, alias, indices
from ...settings import Settings
from ...state import index_name as state_index_name
from ..subjects.context import ContextFacts, FunctionContext
from ..subjects.elasticsearch import Disk, ElasticsearchFacts, Watermark
from ..subjects.privileges import NEEDED_CLUSTER, NEEDED_RECORDS, NEEDED_STATES, TOO_MUCH, PrivilegeFacts
from ..subjects.retention import RetentionFacts
from ..subjects.settings import is_local
from ..subjects.templates import TemplateFacts

DAYS = 7  # of records that are looked at
FUNCTIONS = 50
PATIENCE = timedelta(days=2)  # indices are deleted once a day
_BLOCKS = ("write", "read_only", "read_only_allow_delete")
_DISK = "cluster.routing.allocation.disk"


class Cluster:
    """An Elasticsearch that answers. Its methods raise DestinationError."""

    def __init__(self, search: Elasticsearch, config: Settings) -> None:
        """Asks it who it is. Raises DestinationError."""
        self._search, self._config = search, config
        asked_at = time.time()
        with translated_errors(config):
            answer = self._search.info()
        self._asked = asked_at, time.time()
        self._date = answer.meta.headers.get("date")
        self._info: Mapping[str, Any] = answer.body
        self._nodes: Mapping[str, Any] | None = None

    @property
    def flavor(self) -> str:
        return str(self._info["version"].get("build_flavor", ""))

    def clocks(self) -> dict[str, float]:
        """Whose clock → seconds that it is ahead of ours: by the Date header of a proxy, else by the nodes."""
        if self._date:
            # The header has whole seconds: on average it is half a second behind.
            theirs = parsedate_to_datetime(self._date).timestamp() + 0.5
            return {f"Elasticsearch at {client.addresses_for_people(self._config)}": ahead_s(theirs, *self._asked)}
        if self.flavor == setup.SERVERLESS:
            return {}
        asked_at = time.time()
        nodes = self._node_stats()
        answered_at = time.time()
        return {
            f"the node {node['name']} of Elasticsearch": ahead_s(node["timestamp"] / 1000, asked_at, answered_at)
            for node in nodes["nodes"].values()
            if "timestamp" in node
        }

    def facts(self) -> ElasticsearchFacts:
        """Its version, security, shards and disks."""
        version = str(self._info["version"]["number"])
        common: dict[str, Any] = {
            "version": version,
            "flavor": self.flavor,
            "client": elasticsearch.__version__[0],
            "is_local": not self._config.cloud_id and all(map(is_local, self._config.elasticsearch)),
        }
        if self.flavor == setup.SERVERLESS:
            return ElasticsearchFacts(security=True, **common)
        with translated_errors(self._config):
            whole = self._search.cluster.health(filter_path="active_shards,unassigned_shards,number_of_data_nodes")
            limits = self._search.cluster.get_settings(include_defaults=True, flat_settings=True)
        limit = {**limits.get("defaults", {}), **limits.get("persistent", {}), **limits.get("transient", {})}
        shards = int(whole.get("active_shards", 0)) + int(whole.get("unassigned_shards", 0))
        nodes = int(whole.get("number_of_data_nodes", 1))
        return ElasticsearchFacts(
            security=self._security(),
            health=self._health(),
            nodes=nodes,
            shards=shards,
            max_shards=int(limit.get("cluster.max_shards_per_node", 0)) * nodes,
            disks=self._disks(),
            low=_watermark(limit, "low"),
            high=_watermark(limit, "high"),
            flood=_watermark(limit, "flood_stage"),
            blocked=self._blocked(),
            **common,
        )

    def templates(self) -> TemplateFacts:
        """What `shipper setup` would change, and indices that differ. Of those None if they may not be looked at."""
        with client.connect(self._config) as cluster:
            changes = setup.plan(cluster, self._config, pipeline=self._config.format == "legacy")
            try:
                deviations = conformity.deviations_by(cluster, self._config)
            except Refused:
                return TemplateFacts(changes=changes)
        return TemplateFacts(changes=changes, deviations=deviations)

    def retention(self) -> RetentionFacts:
        """What deletes indices, and which ones it should have deleted."""
        config = self._config
        with client.connect(config) as cluster:
            policies = index_retention.has_policy(cluster, config)
            return RetentionFacts(
                lifecycle=config.lifecycle,
                prunes=config.prune,
                managed=sorted(name for name, is_managed in policies.items() if is_managed),
                unmanaged=sorted(name for name, is_managed in policies.items() if not is_managed),
                past=index_retention.expired(policies, config, datetime.now(UTC) - PATIENCE),
                doubled=setup.doubled(cluster, config),
            )

    def privileges(self) -> PrivilegeFacts | None:
        """What the credentials may do. None if its security is off."""
        if self._security() is False:
            return None
        namespace = self._config.namespace
        # Names as indices have them: a wildcard is held only if all that it matches is.
        names = {dataset: f"{alias(dataset)}-{namespace}-{EPOCH:{period}}" for dataset, period in PERIODS.items()}
        states = state_index_name(namespace)
        asked = [
            {"names": list(names.values()), "privileges": [*NEEDED_RECORDS, "read", *TOO_MUCH]},
            {"names": [states], "privileges": list(NEEDED_STATES)},
        ]
        with translated_errors(self._config):
            answer = self._search.security.has_privileges(cluster=list(NEEDED_CLUSTER), index=asked)
        held = answer["index"]
        return PrivilegeFacts(
            user=str(answer["username"]),
            cluster=answer["cluster"],
            records={f"{alias(dataset)}-{namespace}-*": held[name] for dataset, name in names.items()},
            states=held[states],
            audit=f"{alias('rq.audit')}-{namespace}-*",
            is_states=self._config.states,
            prunes=self._config.prune,
        )

    def services(self) -> dict[str, dict[str, int]]:
        """Queue → service.name → executions that it started in the last days."""
        found = self._count_by(("messaging.destination.name", "service.name"), [_STARTED, _recent()])
        return {queue: {name: count for name, (count, _) in inner.items()} for queue, (_, inner) in found.items()}

    def recorded(self, workers: Iterable[str]) -> dict[str, int]:
        """Worker → executions that it recorded, ever."""
        names = list(workers)
        if not names:
            return {}
        found = self._count_by(("messaging.client.id",), [_STARTED, {"terms": {"messaging.client.id": names}}])
        return {name: count for name, (count, _) in found.items()}

    def context(self) -> ContextFacts:
        """The functions of the last days, and how many of their jobs have no user or customer."""
        with translated_errors(self._config):
            answer = self._search.search(
                index=indices("rq.job", self._config.namespace),
                ignore_unavailable=True,
                size=0,
                query={
                    "bool": {
                        "filter": [{"term": {"event.action": "job-enqueued"}}, _recent()],
                        # Nobody asked for these, or they repeat what is counted already.
                        "must_not": [{"terms": {"rq.cause": ["cron", "retry", "repeat", "requeue", "scheduler"]}}],
                    }
                },
                aggs={
                    "functions": {
                        "terms": {"field": "code.function.name", "size": FUNCTIONS},
                        "aggs": {
                            "user": {"missing": {"field": "user.id"}},
                            "customer": {"missing": {"field": "organization.id"}},
                        },
                    }
                },
            )
        buckets = answer.get("aggregations", {}).get("functions", {}).get("buckets", [])
        return ContextFacts(
            functions=tuple(
                FunctionContext(one["key"], one["doc_count"], one["user"]["doc_count"], one["customer"]["doc_count"])
                for one in buckets
            ),
            days=DAYS,
        )

    def _count_by(self, fields: tuple[str, ...], filters: list[Any]) -> dict[str, Any]:
        """Value of the first field → (count, the same of the rest of the fields)."""
        aggs: dict[str, Any] = {}
        for field in reversed(fields):
            aggs = {"by": {"terms": {"field": field, "size": 500}, **({"aggs": aggs} if aggs else {})}}
        with translated_errors(self._config):
            answer = self._search.search(
                index=indices("rq.job", self._config.namespace),
                ignore_unavailable=True,
                size=0,
                query={"bool": {"filter": filters}},
                aggs=aggs,
            )
        return _counts(answer.get("aggregations", {}))

    def _ours(self) -> list[str]:
        return [
            *(indices(dataset, self._config.namespace) for dataset in PERIODS),
            state_index_name(self._config.namespace),
        ]

    def _health(self) -> str | None:
        """The worst status among our indices; None without any."""
        records = [indices(dataset, self._config.namespace) for dataset in PERIODS]
        # Of a name without a wildcard it waits until there is such an index: 408.
        waiting = self._search.options(ignore_status=408)
        with translated_errors(self._config):
            answers = [
                self._search.cluster.health(index=records, expand_wildcards="open"),
                waiting.cluster.health(index=state_index_name(self._config.namespace), timeout="0s"),
            ]
        found = {
            str(one["status"])
            for one in answers
            if not one.get("timed_out") and one["active_primary_shards"] + one["unassigned_shards"]
        }
        return next((status for status in ("red", "yellow", "green") if status in found), None)

    def _security(self) -> bool | None:
        """Whether security is on; None if it does not say."""
        try:
            self._search.security.authenticate()
        except elasticsearch.ApiError as answer:
            # Without security there is no such path (400, 405 or 500, by release).
            return None if answer.status_code in (401, 403) else False
        return True

    def _node_stats(self) -> Mapping[str, Any]:
        if self._nodes is None:
            with translated_errors(self._config):
                self._nodes = self._search.nodes.stats(
                    metric="fs", filter_path="nodes.*.name,nodes.*.roles,nodes.*.timestamp,nodes.*.fs.total"
                ).body
        return self._nodes

    def _disks(self) -> list[Disk]:
        return [
            Disk(str(node["name"]), int(total["total_in_bytes"]), int(total["available_in_bytes"]))
            for node in self._node_stats().get("nodes", {}).values()
            if (total := node.get("fs", {}).get("total", {})).get("total_in_bytes")
            and any(str(role).startswith("data") for role in node.get("roles", ["data"]))
        ]

    def _blocked(self) -> list[str]:
        """Our indices with a block. Empty if the key may not look at them."""
        try:
            answer = self._search.indices.get_settings(
                index=self._ours(), name="index.blocks.*", flat_settings=True, ignore_unavailable=True
            )
        except elasticsearch.ApiError:
            return []
        return sorted(
            name
            for name, there in answer.body.items()
            if any(str(there["settings"].get(f"index.blocks.{block}")) == "true" for block in _BLOCKS)
        )


_STARTED = {"term": {"event.action": "job-started"}}


def _recent() -> dict[str, Any]:
    return {"range": {"@timestamp": {"gte": f"now-{DAYS}d"}}}


def _counts(aggregations: Mapping[str, Any]) -> dict[str, Any]:
    return {one["key"]: (one["doc_count"], _counts(one)) for one in aggregations.get("by", {}).get("buckets", [])}


def _watermark(limits: Mapping[str, Any], name: str) -> Watermark | None:
    limit = limits.get(f"{_DISK}.watermark.{name}")
    if not limit or limits.get(f"{_DISK}.threshold_enabled") == "false":
        return None
    return Watermark(str(limit), str(limits.get(f"{_DISK}.watermark.{name}.max_headroom", "-1")))
