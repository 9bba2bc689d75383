"""What Kibana and Vega make of a Vega panel: its searches asked of Elasticsearch, and the picture that Vega draws.

Kibana puts what is chosen above the page and the time range into each search, and the answer in the place of the
search (vis_types/vega, es_query_parser). Vega itself then draws (vl-convert holds it), and each mark's description
stands in the picture, where a screen reader finds it.
"""

from __future__ import annotations

import copy
import html
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import vl_convert

SIZE = (1200, 400)
Ask = Callable[[str, dict[str, Any]], dict[str, Any]]


def filled(
    spec: Mapping[str, Any], ask: Ask, since: datetime, until: datetime, chosen: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """The specification with the answers in it. `ask(index, body)` searches; `chosen` are the filters of the page."""
    done = copy.deepcopy(dict(spec))
    for source in done["data"]:
        url = source.pop("url", None)
        if url is None:
            continue
        known = {"index", "ignore_unavailable", "body"}
        assert set(url) <= known, f"Kibana would send {set(url) - known} to Elasticsearch"
        body = _put(url["body"], (since, until), chosen)
        source["values"] = ask(url["index"], body)
    done["config"].pop("kibana")
    # What a click does is Kibana's: Vega alone does not know these functions.
    done["signals"] = [one for one in done["signals"] if "kibana" not in str(one.get("on", ""))]
    return done


def _put(part: Any, times: tuple[datetime, datetime], chosen: Sequence[Mapping[str, Any]]) -> Any:
    if isinstance(part, list):
        kept = [_put(one, times, chosen) for one in part if not _is_clause(one)]
        return kept + [dict(one) for one in chosen if "%dashboard_context-filter_clause%" in part]
    if not isinstance(part, dict):
        return part
    if "%timefilter%" in part:
        return _time(part, *times)
    if part.get("interval") == {"%autointerval%": True}:
        rest = {name: inner for name, inner in part.items() if name != "interval"}
        return {"fixed_interval": "30m", **_put(rest, times, chosen)}
    return {name: _put(inner, times, chosen) for name, inner in part.items()}


def _time(part: Mapping[str, Any], since: datetime, until: datetime) -> Any:
    """The page's range, or one end of it in milliseconds, shifted by days."""
    match part["%timefilter%"]:
        case True:
            return {"gte": since.isoformat(), "lte": until.isoformat(), "format": "strict_date_optional_time"}
        case bound:
            assert part.get("unit", "day") == "day"
            at = {"min": since, "max": until}[bound] + timedelta(days=part.get("shift", 0))
            return int(at.timestamp() * 1000)


def _is_clause(part: Any) -> bool:
    return isinstance(part, str) and part.startswith("%dashboard_context-")


def picture(spec: Mapping[str, Any], size: tuple[int, int] = SIZE) -> str:
    """The panel as SVG."""
    width, height = size
    return str(vl_convert.vega_to_svg({**spec, "width": width, "height": height}))


def described(svg: str) -> list[str]:
    """What the marks say of themselves, in the order in which they are drawn."""
    return [html.unescape(one) for one in re.findall(r'<(?:path|text|g)\b[^>]*? aria-label="([^"]*)"', svg)]
