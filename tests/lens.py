"""What Kibana would ask for a Lens panel: its state → an Elasticsearch search. And KQL → a query.

Written from what Kibana does with the same state (formBased's toEsAggsFn, kbn-es-query), for the operations that our
panels use; an operation or a form of KQL that it does not know is an error, so no panel goes untested.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

State = Mapping[str, Any]
PER_MINUTE_MS = 60_000


# --- KQL ---

_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|<=|>=|[():<>*]|[^\s():<>*"]+)')


def query_of(kql: str) -> dict[str, Any]:
    """The query that a KQL text means."""
    tokens = _tokens(kql)
    if not tokens:
        return {"match_all": {}}
    query = _either(tokens)
    assert not tokens, f"{kql!r} goes on after its end: {tokens}"
    return query


def fields_of(kql: str) -> set[str]:
    """The fields that a KQL text names."""
    tokens = _tokens(kql)
    follows = tokens[1:] + [""] * bool(tokens)
    return {_bare(token) for token, after in zip(tokens, follows, strict=True) if after in (":", "<", ">", "<=", ">=")}


def _tokens(kql: str) -> list[str]:
    found, at = [], 0
    text = kql.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        assert match, f"not KQL: {text[at:]!r} of {kql!r}"
        found.append(match[1])
        at = match.end()
    return found


def _bare(token: str) -> str:
    return token[1:-1] if token.startswith('"') else token


def _either(tokens: list[str]) -> dict[str, Any]:
    parts = [_all(tokens)]
    while tokens and tokens[0] == "or":
        tokens.pop(0)
        parts.append(_all(tokens))
    return parts[0] if len(parts) == 1 else {"bool": {"should": parts, "minimum_should_match": 1}}


def _all(tokens: list[str]) -> dict[str, Any]:
    parts = [_one(tokens)]
    while tokens and tokens[0] == "and":
        tokens.pop(0)
        parts.append(_one(tokens))
    return parts[0] if len(parts) == 1 else {"bool": {"filter": parts}}


def _one(tokens: list[str]) -> dict[str, Any]:
    word = tokens.pop(0)
    if word == "not":
        return {"bool": {"must_not": [_one(tokens)]}}
    if word == "(":
        inner = _either(tokens)
        assert tokens.pop(0) == ")"
        return inner
    field, operator = _bare(word), tokens.pop(0)
    if operator != ":":
        bound = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}[operator]
        return {"range": {field: {bound: _bare(tokens.pop(0))}}}
    if tokens[0] == "*":
        tokens.pop(0)
        return {"exists": {"field": field}}
    if tokens[0] != "(":
        return {"match_phrase": {field: _bare(tokens.pop(0))}}
    tokens.pop(0)
    values = [{"match_phrase": {field: _bare(tokens.pop(0))}}]
    while tokens[0] == "or":
        tokens.pop(0)
        values.append({"match_phrase": {field: _bare(tokens.pop(0))}})
    assert tokens.pop(0) == ")"
    return {"bool": {"should": values, "minimum_should_match": 1}}


def dated(part: Any, now: datetime) -> Any:
    """A query in which `now-5m` is a time, so that what it finds does not depend on when it is asked."""
    if isinstance(part, Mapping):
        return {name: dated(one, now) for name, one in part.items()}
    if isinstance(part, list):
        return [dated(one, now) for one in part]
    if isinstance(part, str) and (ago := re.fullmatch(r"now-(\d+)([mhd])", part)):
        unit = {"m": "minutes", "h": "hours", "d": "days"}[ago[2]]
        return (now - timedelta(**{unit: int(ago[1])})).isoformat()
    return part


# --- a layer ---

GROUPS = {"terms", "date_histogram"}
PIPES = {"formula", "math", "static_value"}


def groups_of(layer: State) -> list[str]:
    return [name for name in layer["columnOrder"] if layer["columns"][name]["isBucketed"]]


def figures_of(layer: State) -> list[str]:
    """The columns that a panel may show: a formula's parts are not among them."""
    columns = layer["columns"]
    hidden = {name for column in columns.values() for name in column.get("references", [])}
    hidden |= {name for inner in hidden for name in columns[inner].get("references", [])}
    return [name for name in layer["columnOrder"] if not columns[name]["isBucketed"] and name not in hidden]


def search_of(
    attributes: State, layer: State, interval: str, computed: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The body of the search for a layer. `interval` is what `auto` comes out as, such as `5m`.

    `computed`: the fields that the layer's data view computes, as Elasticsearch's `runtime_mappings`.
    """
    columns = layer["columns"]
    figures = {
        name: _filtered(column, _figure(column))
        for name, column in columns.items()
        if not column["isBucketed"] and column["operationType"] not in PIPES
    }
    aggregations = figures
    for name in reversed(groups_of(layer)):  # each level has the figures, too: its groups are ordered by them
        order = columns[name]["params"].get("orderAgg")
        assert "filter" not in (order or {}), "Lens passes over it"
        extra = {f"{name}-order": _filtered(order, _figure(order))} if order else {}
        inside = {**aggregations, **extra}
        aggregations = {**figures, name: {**_group(name, columns, interval), "aggs": inside}}
    return {
        **({"runtime_mappings": dict(computed)} if computed else {}),
        "size": 0,
        "track_total_hits": True,
        "query": query_of(attributes["state"]["query"]["query"]),
        "aggs": aggregations,
    }


def _filtered(column: State, figure: dict[str, Any]) -> dict[str, Any]:
    """A figure of those records only that its column's own KQL matches; the whole is asked as a filter, too."""
    where = query_of(column["filter"]["query"]) if "filter" in column else {"match_all": {}}
    return {"filter": where, "aggs": {"figure": figure} if figure else {}}


def _figure(column: State) -> dict[str, Any]:
    operation, field = column["operationType"], column.get("sourceField")
    match operation:
        case "count":
            assert field == "___records___"
            return {}
        case "sum" | "max" | "min":
            return {operation: {"field": field}}
        case "average":
            return {"avg": {"field": field}}
        case "percentile":
            return {"percentiles": {"field": field, "percents": [column["params"]["percentile"]]}}
        case "unique_count":
            return {"cardinality": {"field": field}}
        case "last_value":
            newest = [{column["params"]["sortField"]: "desc"}]
            return {"top_hits": {"size": 1, "sort": newest, "_source": False, "docvalue_fields": [field]}}
    raise AssertionError(f"no translation of {operation}")


def _group(name: str, columns: Mapping[str, State], interval: str) -> dict[str, Any]:
    column = columns[name]
    params, field = column["params"], column["sourceField"]
    if column["operationType"] == "date_histogram":
        return {"date_histogram": {"field": field, "fixed_interval": interval, "min_doc_count": 0}}
    if column["operationType"] == "range":
        ranges = [{edge: one[edge] for edge in ("from", "to") if one[edge] is not None} for one in params["ranges"]]
        return {"range": {"field": field, "ranges": ranges}}
    assert column["operationType"] == "terms", column
    assert not params["missingBucket"], "Kibana calls it (missing value)"
    return {"terms": {"field": field, "size": params["size"], "order": _order(name, params, columns)}}


def _order(group: str, params: State, columns: Mapping[str, State]) -> dict[str, str]:
    direction = params["orderDirection"]
    match params["orderBy"]["type"]:
        case "alphabetical":
            return {"_key": direction}
        case "custom":
            name, column = f"{group}-order", params["orderAgg"]
        case _:
            name = params["orderBy"]["columnId"]
            column = columns[name]
    operation = column["operationType"]
    if operation == "count":
        return {name: direction}  # a filter with one count in it
    tail = f".{column['params']['percentile']}" if operation == "percentile" else ""
    return {f"{name}>figure{tail}": direction}


# --- an answer ---


def rows_of(layer: State, answer: State, interval_ms: int) -> list[dict[str, Any]]:
    """The table that a panel is drawn from: a row for each group, with the groups' values and the figures."""
    return list(_rows(layer, groups_of(layer), answer["aggregations"], {}, interval_ms))


def _rows(layer: State, groups: list[str], found: State, keys: dict[str, Any], interval_ms: int) -> Any:
    if not groups:
        yield keys | {name: _value(layer["columns"], name, found, interval_ms) for name in figures_of(layer)}
        return
    for bucket in found[groups[0]]["buckets"]:
        yield from _rows(
            layer, groups[1:], bucket, keys | {groups[0]: _key(layer["columns"][groups[0]], bucket)}, interval_ms
        )


def _key(column: State, bucket: State) -> Any:
    """A group's value; of a range its label."""
    if column["operationType"] != "range":
        return bucket["key"]
    (label,) = [one["label"] for one in column["params"]["ranges"] if one["from"] == bucket.get("from")]
    return label


def _value(columns: Mapping[str, State], name: str, found: State, interval_ms: int) -> Any:
    column = columns[name]
    operation = column["operationType"]
    if operation == "formula":
        return _value(columns, column["references"][0], found, interval_ms)
    if operation == "math":
        return _computed(column["params"]["tinymathAst"], columns, found, interval_ms)
    if operation == "static_value":
        return float(column["params"]["value"])
    inner = found[name]
    if operation == "count":
        scale = PER_MINUTE_MS / interval_ms if column.get("timeScale") == "m" else 1
        return inner["doc_count"] * scale
    if operation == "percentile":
        (value,) = inner["figure"]["values"].values()
        return value
    if operation == "last_value":
        hits = inner["figure"]["hits"]["hits"]
        return hits[0]["fields"][column["sourceField"]][0] if hits else None
    return inner["figure"]["value"]


def _computed(tree: Any, columns: Mapping[str, State], found: State, interval_ms: int) -> Any:
    """A formula's value; none where an operand has none, or where it would divide by nothing."""
    if isinstance(tree, str):
        return _value(columns, tree, found, interval_ms)
    if not isinstance(tree, Mapping):
        return tree
    left, right = (_computed(one, columns, found, interval_ms) for one in tree["args"])
    if left is None or right is None or (tree["name"] == "divide" and not right):
        return None
    match tree["name"]:
        case "add":
            return left + right
        case "subtract":
            return left - right
        case "multiply":
            return left * right
        case "divide":
            return left / right
    raise AssertionError(f"no translation of {tree['name']}")
