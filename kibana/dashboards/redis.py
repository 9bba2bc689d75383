"""RQ's Redis: how full it is, when it will be full, and what fills it."""

from __future__ import annotations

from shipper.index.name_colours import NAMED

from ..colours import ANY_IS_BAD, MEMORY_BANDS, MEMORY_LIMIT_PERCENT
from ..drawings.fattest import FATTEST
from ..lens import by, chart, figure, largest, latest, lines, mean, smallest, table
from ..objects import Control, Dashboard, Row, Text
from ..words import DATASET, KINDS_OF_KEYS, SAMPLED_NOW, SERVICE
from .said import FROM_WATCH, SAMPLED

OF_REDIS = f'{DATASET} : "rq.redis"'
_ADDRESS = "rq.redis.address"
_SINCE_START = "in the time range: since Redis's start"
_OF_SEVERAL = "Of several Redis: the worst value of the last 6 minutes."

REDIS = Dashboard(
    name="redis",
    title="RQ: Redis",
    label="Redis",
    description="How full RQ's Redis is, when it will be full at the present rate, which functions fill it, and what "
    "it refused. From the gauges of `shipper watch`.",
    controls=(
        Control(field=SERVICE, title="Service", view="gauges"),
        Control(field=_ADDRESS, title="Redis", view="gauges"),
    ),
    rows=(
        Row(height=6, panels=(
            (8, figure("gauges", largest("Used of its limit (maxmemory), %", "rq.redis.used_percent", where=SAMPLED_NOW,
                                         bands=MEMORY_BANDS), subtitle=SAMPLED)),
            (8, figure("gauges", smallest("Full in (at the present rate)", "rq.redis.time_to_limit_s",
                                          where=SAMPLED_NOW), subtitle=SAMPLED, description=_OF_SEVERAL)),
            (8, figure("gauges", largest("Grows by, a second", "rq.redis.bytes_per_s", where=SAMPLED_NOW),
                       subtitle=SAMPLED, description=_OF_SEVERAL)),
            (8, figure("gauges", largest("Refused commands", "rq.redis.rejected_commands", bands=ANY_IS_BAD),
                       subtitle=_SINCE_START)),
            (8, figure("gauges", largest("Evicted keys", "rq.redis.evicted_keys", bands=ANY_IS_BAD),
                       subtitle=_SINCE_START)),
            (8, figure("gauges", largest("Clients", "rq.redis.clients", where=SAMPLED_NOW), subtitle=SAMPLED,
                       description=_OF_SEVERAL)),
        )),
        Row(height=13, panels=(
            (28, lines("Used of its limit (%), and where the alarm opens", "gauges",
                       [largest("used", "rq.redis.used_percent")], where=OF_REDIS,
                       line_at=("alarm", MEMORY_LIMIT_PERCENT))),
            (20, FATTEST),
        )),
        Row(height=12, panels=(
            (24, chart("What fills it? (estimated from a sample of keys)", "gauges",
                       [mean(kind, f"rq.redis.bytes_by_kind.{kind}", colour=colour)
                        for kind, colour in zip(KINDS_OF_KEYS, NAMED, strict=False)],
                       series="area_stacked", where=OF_REDIS)),
            (24, lines("Used, and its limit", "gauges",
                       [largest("used", "rq.redis.used_bytes", colour=NAMED[0]),
                        largest("limit", "rq.redis.maxmemory_bytes", colour=NAMED[8])], where=OF_REDIS)),
        )),
        Row(height=9, panels=(
            (48, table("Each Redis now", "gauges", [by(_ADDRESS, "redis")],
                       [latest("share used, %", "rq.redis.used_percent", where=SAMPLED_NOW, bands=MEMORY_BANDS),
                        latest("used", "rq.redis.used_bytes", where=SAMPLED_NOW),
                        latest("limit", "rq.redis.maxmemory_bytes", where=SAMPLED_NOW),
                        latest("full in", "rq.redis.time_to_limit_s", where=SAMPLED_NOW),
                        latest("policy", "rq.redis.policy", type="string", where=SAMPLED_NOW),
                        latest("clients", "rq.redis.clients", where=SAMPLED_NOW),
                        latest("version", "rq.redis.version", type="string", where=SAMPLED_NOW)], where=OF_REDIS)),
        )),
        Row(height=3, panels=((48, Text(markdown=FROM_WATCH)),)),
    ),
)  # fmt: skip
