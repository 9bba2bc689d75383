"""A process with busy threads forks: no child waits for a lock that a thread held which is not there any more."""

from __future__ import annotations

import json

from tests.programs import LIMIT_S, Programs

PROGRAMS, ROUNDS, CHILDREN = 3, 8, 3

# One process forks a subject for each round: shipper is not loaded in it yet, as in a web server that has just begun.
# In the subject threads use shipper for the first time, and right then it forks, as such servers do.
STRESS = f"""
import os, random, signal, sys, threading, time
import orjson, redis, rq, rq.worker, rq.scheduler, rq.cron  # nothing of ours yet

def use(number):
    import shipper
    with shipper.log_context(user="ann"):
        shipper.audit.record("tried", ("thing", number))
    shipper.current_fields()
    shipper.instrument()
    shipper.progress(1)

def subject(seed):
    import shipper
    dice = random.Random(seed)
    gate = threading.Barrier(5)
    def busy(number):
        gate.wait()
        for again in range(40):
            use(number)
    for number in range(4):
        threading.Thread(target=busy, args=(number,), daemon=True).start()
    gate.wait()
    children = []
    for _ in range({CHILDREN}):
        time.sleep(dice.random() * 0.05)
        pid = os.fork()
        if pid == 0:
            use("child")
            os._exit(0)
        children.append(pid)
    os._exit(sum(map(hangs, children)))

def hangs(pid):
    until = time.monotonic() + {LIMIT_S}
    while time.monotonic() < until:
        if os.waitpid(pid, os.WNOHANG) != (0, 0):
            return False
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return True

hung = 0
for seed in range(int(sys.argv[1]) * {ROUNDS}, (int(sys.argv[1]) + 1) * {ROUNDS}):
    pid = os.fork()
    if pid == 0:
        subject(seed)
    hung += os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print(hung)
"""


def test_children_of_a_process_with_busy_threads_write_their_records(programs: Programs) -> None:
    for number in range(PROGRAMS):
        assert programs.run("python", "-c", STRESS, str(number)).stdout.strip() == "0"
    written = [record for record in programs.audit() if record["audit"]["resource"]["id"] == "child"]
    assert len(written) == PROGRAMS * ROUNDS * CHILDREN
    chains = [record["audit"]["chain"]["hash"] for record in programs.audit()]
    assert len(set(chains)) == len(chains)
    sequences = sorted(record["event"]["sequence"] for record in programs.audit())
    assert sequences == list(range(1, len(sequences) + 1)), json.dumps(sequences[:50])
