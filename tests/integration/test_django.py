"""A real Django project with nothing but `shipper.django` in INSTALLED_APPS: its commands, its server, its workers."""

from __future__ import annotations

import http.client
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from stack.processes import free_port
from tests.django_shop import FOLDER, SETTINGS
from tests.programs import LIMIT_S, Programs, wait_for
from tests.trail import follow

RECORDS = ["job-enqueued", "job-started", "job-finished"]
SET_UP = "import django; django.setup()\n"
MAKE_TABLES = f"{SET_UP}from tests import django_shop; django_shop.make_tables()\n"


class Project(Programs):
    """The shop's programs. Its log is the one that its own settings name."""

    @property
    def log(self) -> Path:
        return self.folder / "records.jsonl"

    def settings(self, **changed: Any) -> dict[str, str]:
        """What makes Django's settings others for one program."""
        return {"SHOP_SETTINGS": json.dumps(changed)}

    def python(self, code: str, **environment: str) -> str:
        return self.run("python", "-c", SET_UP + code, **environment).stdout

    def manage(self, *command: str, **environment: str) -> str:
        done = self.run("python", "-m", "django", *command, **environment)
        return done.stdout + done.stderr

    def rqworker(self, *flags: str, command: str = "rqworker", **environment: str) -> str:
        return self.manage(command, "letters", "--burst", *flags, **environment)


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """With their tables, which take longer to be made than most of what is done with them."""
    folder = tmp_path_factory.mktemp("databases")
    Programs({FOLDER: str(folder), "DJANGO_SETTINGS_MODULE": SETTINGS}, folder).run("python", "-c", MAKE_TABLES)
    return list(folder.glob("*.sqlite3"))


@pytest.fixture
def project(redis_url: str, connection: redis.Redis, databases: list[Path], tmp_path: Path) -> Iterator[Project]:
    environment = {"SHIPPER_REDIS": redis_url, FOLDER: str(tmp_path), "DJANGO_SETTINGS_MODULE": SETTINGS}
    started = Project(environment, tmp_path)
    for database in databases:
        shutil.copy(database, tmp_path)
    yield started
    started.stop()


def enqueue(function: str, *args: object) -> str:
    return f"import django_rq; django_rq.get_queue('letters').enqueue({function!r}, *{args!r})\n"


@pytest.mark.parametrize("command", ["rqworker", "rqworker-pool"])
def test_django_rq_s_workers_record_everything_as_they_come(project: Project, command: str) -> None:
    project.python(enqueue("tests.work.add", 1, 2))
    project.rqworker(command=command)
    assert project.actions() == RECORDS
    assert {record["service"]["name"] for record in project.records()} == {"shop"}


@pytest.mark.parametrize("worker", ["rq.worker.SimpleWorker", "rq.worker.SpawnWorker"])
def test_other_workers_record_the_same_to_the_same_log(project: Project, worker: str) -> None:
    project.python("from tests.django_shop.models import Customer\nCustomer.objects.create(pk=1, name='Ann')\n")
    project.python(enqueue("tests.django_shop.work.change_customer", 1, "Bonn"))
    project.rqworker("--worker-class", worker)
    assert project.actions() == RECORDS
    assert [record["event"]["action"] for record in project.audit()] == [
        "shop.customer-created",
        "shop.customer-changed",
    ]


def test_what_a_job_changes_is_the_job_s_and_whose_it_is_for(project: Project) -> None:
    project.python("from tests.django_shop.models import Customer\nCustomer.objects.create(pk=1, name='Ann')\n")
    code = "import shipper\nwith shipper.actor(id='bob'):\n    "
    project.python(code + enqueue("tests.django_shop.work.change_customer", 1, "Bonn"))
    project.rqworker()
    _, changed = project.audit()
    assert changed["audit"]["actor"] == {"type": "job", "requester": "user"}
    assert changed["user"] == {"id": "bob"}
    assert changed["messaging"]["message"]["id"] == project.records()[0]["messaging"]["message"]["id"]
    follow(project.trail())


def test_a_wrong_setting_is_told_and_keeps_no_job_from_running(project: Project) -> None:
    wrong = project.settings(SHIPPER={"log": str(project.log), "sevice": "shop", "retention": "many"})
    project.python(enqueue("tests.work.add", 1, 2), **wrong)
    said = project.rqworker(**wrong)
    assert "shipper.W001" in said
    assert "Did you mean service?" in said
    assert project.actions() == RECORDS
    assert "no issues" not in project.manage("check", **wrong)
    assert project.run("python", "-m", "django", "check", "--fail-level", "WARNING", check=False, **wrong).returncode


IN_ATOMIC = """
import shipper
from django.db import transaction
with transaction.atomic():
    with shipper.actor(id="bob"), shipper.log_context(customer="42"):
        {enqueue}
    print(django_rq.get_queue("letters").count)
"""


@pytest.mark.parametrize("mode", ["on_db_commit", "auto"])
def test_a_job_carries_the_context_of_the_call_through_the_commit(project: Project, mode: str) -> None:
    code = IN_ATOMIC.format(enqueue=enqueue("tests.django_shop.work.pack", 7).strip())
    waiting = project.python(code, **project.settings(RQ={"COMMIT_MODE": mode}))
    assert waiting.strip() == ("0" if mode == "on_db_commit" else "1")
    project.rqworker()
    assert {record["user"]["id"] for record in project.records()} == {"bob"}
    assert {record["organization"]["id"] for record in project.records()} == {"42"}
    assert project.audit()[0]["audit"]["actor"] == {"type": "job", "requester": "user"}


def test_a_job_given_to_on_commit_carries_the_context_of_the_call(project: Project) -> None:
    push = "import django_rq\n        transaction.on_commit(lambda: queue.enqueue('tests.work.add', 1, 2))"
    queue = "import django_rq\nqueue = django_rq.get_queue('letters')"
    project.python(queue + IN_ATOMIC.format(enqueue=push))
    (record,) = project.records()
    assert (record["user"]["id"], record["organization"]["id"]) == ("bob", "42")


Ask = Callable[..., int]


@pytest.fixture(params=["wsgi", "asgi"])
def serve(request: pytest.FixtureRequest, project: Project) -> Callable[..., Ask]:
    """Starts a real server, and gives back what puts a request to it."""

    def start(**changed: Any) -> Ask:
        port = free_port()
        given = project.settings(**changed)
        server = project.start("python", "-m", "tests.django_shop.serve", request.param, str(port), **given)

        def ask(path: str, **headers: str) -> int:
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
            try:
                client.request("GET", path, headers={name.replace("_", "-"): text for name, text in headers.items()})
                answer = client.getresponse()
                answer.read()
                return answer.status
            finally:
                client.close()

        def answers() -> bool:
            assert server.poll() is None, (project.folder / "python.log").read_text()
            try:
                return ask("/nothing") == 200
            except OSError:
                return False

        wait_for(answers, "the shop")
        return ask

    return start


def session_of(project: Project, name: str) -> str:
    """The cookie of somebody who has signed in."""
    return project.python(
        "from django.contrib.auth.models import User\nfrom django.test import Client\n"
        f"client = Client(); client.force_login(User.objects.create(username={name!r}))\n"
        "print(client.cookies['sessionid'].value)\n"
    ).strip()


def test_who_asks_goes_onto_records_and_into_jobs(serve: Callable[..., Ask], project: Project) -> None:
    cookie = session_of(project, "ann")
    ask = serve()
    assert ask("/order/7", Cookie=f"sessionid={cookie}", X_Request_Id="r-1", X_Forwarded_For="198.51.100.9") == 200
    assert ask("/record-async", Cookie=f"sessionid={cookie}") == 200
    project.rqworker()
    looked, packed = project.audit()[-2:]
    assert looked["user"]["name"] == "ann"
    assert packed["user"] == looked["user"]
    assert packed["http"]["request"]["id"] == "r-1"
    assert packed["organization"]["id"] == "42"
    assert {record["user"]["id"] for record in project.records()} == {looked["user"]["id"]}


def test_a_job_that_waits_for_the_end_of_the_request_carries_it(serve: Callable[..., Ask], project: Project) -> None:
    cookie = session_of(project, "ann")
    ask = serve(RQ={"COMMIT_MODE": "request_finished"})
    assert ask("/order/7", Cookie=f"sessionid={cookie}") == 200
    wait_for(project.records, "the job")
    (record,) = project.records()
    assert record["user"]["id"] == "1"
    assert record["organization"]["id"] == "42"


WITH_PAGES = {
    "ROOT_URLCONF": "tests.django_shop.dashboard_urls",
    "MORE_APPS": ["django.contrib.messages"],
    "MORE_MIDDLEWARE": ["django.contrib.messages.middleware.MessageMiddleware"],
}
FAILED = [f"failed-{number}" for number in range(5)]
MAKE_JOBS = f"""
import django_rq
queue = django_rq.get_queue("letters")
for name in {FAILED!r}:
    queue.enqueue("tests.work.fail", job_id=name)
queue.enqueue("tests.work.add", 1, 2, job_id="finished")
queue.enqueue("tests.work.add", 1, 2, job_id="deferred", depends_on="failed-0")
"""
USE_PAGES = """
from django.contrib.auth.models import User
from django.test import Client
client = Client()
client.force_login(User.objects.create(username="olga", is_staff=True))
def post(page, **form):
    answer = client.post(f"/rq/queues/{page}", form)
    assert answer.status_code == 302, (page, answer.status_code, answer.content)
    assert "login" not in answer.url, answer.url
post("0/failed-0/requeue/")
post("0/failed-1/delete/")
post("actions/0/", action="requeue", job_ids=["failed-2", "finished"])
post("actions/0/", action="delete", job_ids=["failed-3"])
post("0/deferred/enqueue/")
post("0/requeue-all/")
post("0/empty/")
"""


def test_what_is_done_on_django_rq_s_pages_is_done_by_who_has_signed_in(project: Project) -> None:
    project.python(MAKE_JOBS, **project.settings(**WITH_PAGES))
    project.rqworker()
    before = len(project.records())
    project.python(USE_PAGES, **project.settings(**WITH_PAGES))
    done = [record for record in project.audit() if record["audit"]["resource"]["type"] in ("job", "queue")]
    emptied = [("job-deleted", name) for name in ("failed-0", "failed-2", "finished", "deferred", "failed-4")]
    assert [(record["event"]["action"], record["audit"]["resource"]["id"]) for record in done] == [
        ("job-requeued", "failed-0"),
        ("job-deleted", "failed-1"),
        ("job-requeued", "failed-2"),
        ("job-requeued", "finished"),
        ("job-deleted", "failed-3"),
        ("job-requeued", "deferred"),
        ("job-requeued", "failed-4"),
        *emptied,
        ("queue-emptied", "letters"),
    ]
    assert {(record["user"]["name"], record["audit"]["actor"]["type"]) for record in done} == {("olga", "user")}
    pushed = [record for record in project.records()[before:] if record["event"]["action"] == "job-enqueued"]
    assert {record["rq"]["cause"] for record in pushed} == {"requeue"}
    assert {record["messaging"]["message"]["id"] for record in pushed} == {
        "failed-0",
        "failed-2",
        "finished",
        "deferred",
        "failed-4",
    }
    assert {record["url"]["path"] for record in done} >= {"/rq/queues/actions/0/", "/rq/queues/0/empty/"}
    follow(project.trail())
