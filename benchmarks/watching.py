"""What `shipper watch` costs Redis: 1,000 queues with 1,000,000 jobs, sampled as the watch does each 15 s.

    python -m benchmarks.watching

A tenth of the queues has jobs at the front that are younger than those behind, so that their oldest job is searched
for. CPU time is Redis's own (INFO cpu), of SAMPLES samples; a share of 15 s for each.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import redis
from rq.job import Job
from rq.queue import Queue

from shipper.watch.sampling import Sampler, slot
from stack.redis import Redis

from .promises import Promise, show

QUEUES, JOBS = 1000, 1000  # queues, and jobs in each
SAMPLES = 5
EVERY_S = 15.0  # the default interval
MOST_PERCENT = 1.0

# Jobs as RQ stores them, pushed at the end, or in each tenth queue every other one at the front.
_FILL = """
for number = 1, tonumber(ARGV[1]) do
    local id = ARGV[2] .. '-' .. number
    redis.call('HSET', ARGV[3] .. id, 'created_at', ARGV[5], 'enqueued_at',
        string.format('2026-11-20T%02d:%02d:%02d.000000Z', number / 3600, number / 60 % 60, number % 60),
        'data', string.rep('x', 200), 'origin', ARGV[2], 'status', 'queued', 'timeout', 180,
        'description', "shop.jobs.charge_card(42)", 'started_at', '', 'ended_at', '', 'worker_name', '')
    if ARGV[4] == '1' and number % 2 == 0 then
        redis.call('LPUSH', KEYS[1], id)
    else
        redis.call('RPUSH', KEYS[1], id)
    end
end
"""


def fill(connection: redis.Redis) -> None:
    script = connection.register_script(_FILL)
    for number in range(QUEUES):
        name = f"queue-{number}"
        key = f"{Queue.redis_queue_namespace_prefix}{name}"
        connection.sadd(Queue.redis_queues_keys, key)
        at_front = "1" if number % 10 == 0 else "0"
        script(keys=[key], args=[JOBS, name, Job.redis_job_namespace_prefix, at_front, "2026-11-20T00:00:00.000000Z"])


def cpu_s(connection: redis.Redis) -> float:
    used = connection.info("cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])


def main() -> list[Promise]:
    with tempfile.TemporaryDirectory() as folder:
        server = Redis(Path(folder))
        try:
            with redis.Redis.from_url(server.url) as connection:
                fill(connection)
                return _measure(connection)
        finally:
            server.stop()


def _measure(connection: redis.Redis) -> list[Promise]:
    sampler = Sampler(connection)
    started, own = cpu_s(connection), time.process_time()
    for number in range(SAMPLES):
        found = sampler.take(slot(time.time() + number * EVERY_S, EVERY_S))
    spent, own = (cpu_s(connection) - started) / SAMPLES, (time.process_time() - own) / SAMPLES
    complete = sum(queue.depth == JOBS and queue.oldest is not None for queue in found.queues)
    print(f"{complete} queues of {JOBS} jobs: {1000 * spent:.0f} ms of Redis's CPU, {own:.2f} s of ours a sample")
    return [
        Promise("watch: queues with their depth and oldest job", complete, least=QUEUES, shown="{:,.0f}"),
        Promise("watch: Redis's CPU, 1,000 queues, 1 M jobs (% of a core)", 100 * spent / EVERY_S, most=MOST_PERCENT),
    ]


if __name__ == "__main__":
    sys.exit(not show(main()))
