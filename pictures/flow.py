"""The way of a record, from an application to the answers, as one SVG file."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 960, 330
INK, MUTED, PAPER = "#1f2937", "#5b6472", "#ffffff"
OURS, THEIRS = "#dbeafe", "#f1f5f9"
FONT = "-apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"


@dataclass(frozen=True)
class Box:
    """`x`, `y`, `width`, `height` in pixels. `lines`: the first is the title."""

    x: int
    y: int
    width: int
    height: int
    lines: tuple[str, ...]
    fill: str = THEIRS


BOXES = {
    "application": Box(20, 40, 150, 62, ("your application", "enqueues, audits"), THEIRS),
    "workers": Box(20, 132, 150, 62, ("RQ's workers", "start, end, fail, die"), THEIRS),
    "redis": Box(20, 244, 150, 62, ("Redis", "queues, workers, cron"), THEIRS),
    "watch": Box(215, 244, 150, 62, ("shipper watch", "gauges, alarms"), OURS),
    "file": Box(215, 86, 150, 62, ("records.jsonl", "one line an event"), OURS),
    "run": Box(410, 86, 150, 62, ("shipper run", "exactly once"), OURS),
    "import": Box(410, 244, 150, 62, ("shipper import", "RQ's old text logs"), OURS),
    "elasticsearch": Box(605, 86, 150, 62, ("Elasticsearch", "records, job states"), THEIRS),
    "ask": Box(796, 20, 148, 62, ("shipper timeline", "job, top, audit"), OURS),
    "kibana": Box(796, 92, 148, 62, ("Kibana", "dashboards, alerts"), THEIRS),
    "html": Box(796, 164, 148, 62, ("an HTML page", "to hand over"), OURS),
}
# Each arrow is a line through points.
ARROWS = (
    ((170, 71), (192, 71), (192, 110), (213, 110)),
    ((170, 163), (192, 163), (192, 124), (213, 124)),
    ((170, 275), (213, 275)),
    ((290, 244), (290, 150)),
    ((365, 117), (408, 117)),
    ((560, 117), (603, 117)),
    ((560, 275), (680, 275), (680, 150)),
    ((755, 117), (794, 117)),
    ((777, 117), (777, 51), (794, 51)),
    ((777, 117), (777, 195), (794, 195)),
)


def svg() -> str:
    """The picture. The same each time."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" font-family="{FONT}">',
        "<title>Applications and workers append JSON lines to a file; shipper run indexes each line once in "
        "Elasticsearch; the command line, Kibana and an HTML page answer questions.</title>",
        '<defs><marker id="head" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
        f'<path d="M0,0 L8,4 L0,8 z" fill="{MUTED}"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="10" fill="{PAPER}"/>',
    ]
    parts += [_arrow(points) for points in ARROWS]
    parts += [_box(box) for box in BOXES.values()]
    return "\n".join((*parts, "</svg>", ""))


def _arrow(points: tuple[tuple[int, int], ...]) -> str:
    line = " ".join(f"{x},{y}" for x, y in points)
    return f'<polyline points="{line}" fill="none" stroke="{MUTED}" stroke-width="1.6" marker-end="url(#head)"/>'


def _box(box: Box) -> str:
    middle = box.x + box.width / 2
    top = box.y + box.height / 2 - 9 * (len(box.lines) - 1) + 5
    texts = [
        f'<text x="{middle:g}" y="{top + 18 * number:g}" text-anchor="middle" '
        + (f'font-size="14.5" font-weight="600" fill="{INK}"' if number == 0 else f'font-size="12.5" fill="{MUTED}"')
        + f">{escape(line)}</text>"
        for number, line in enumerate(box.lines)
    ]
    frame = (
        f'<rect x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="8" fill="{box.fill}" '
        f'stroke="{MUTED}" stroke-width="1"/>'
    )
    return "\n".join((frame, *texts))
