"""What a wrong call gets: a sentence or two, what to do, and an exit status."""

from __future__ import annotations

import pytest

from tests.programs import Programs


@pytest.mark.parametrize(
    ("command", "variables", "status", "said"),
    [
        (["run", "--flies", "x"], {}, 2, "Did you mean '--files'?"),
        (["rum"], {}, 2, "No such command 'rum'"),
        (["setup"], {"SHIPPER_ELASTICSERCH": "http://x"}, 2, "Did you mean SHIPPER_ELASTICSEARCH?"),
        (["setup"], {"SHIPPER_ELASTICSEARCH": "nonsense"}, 2, "must be URLs such as"),
        (["setup", "--elasticsearch", "http://127.0.0.1:1"], {}, 1, "cannot be reached"),
        (["prune", "--elasticsearch", "http://127.0.0.1:1"], {}, 1, "cannot be reached"),
        (["timeline", "--elasticsearch", "http://127.0.0.1:1"], {}, 1, "cannot be reached"),
        (["top", "--elasticsearch", "http://127.0.0.1:1"], {}, 1, "cannot be reached"),
        (["timeline", "--since", "soon"], {}, 1, "'soon' is not a time"),
        (["timeline", "--since", "1h", "--until", "2h"], {}, 1, "wrong way round"),
        (["run", "--once", "--files", "/nowhere/x"], {}, 1, "The folder /nowhere does not exist"),
        (["run", "--once", "--state", "/dev/null/x"], {}, 1, "The state folder /dev/null/x cannot be used"),
        (["run", "--once", "--stdin"], {}, 2, "exclude each other"),
        (["run"], {"SHIPPER_CONFIG": "/nowhere/shipper.toml"}, 2, "/nowhere/shipper.toml cannot be read"),
    ],
)
def test_a_wrong_call_is_told_what_is_wrong(
    programs: Programs, command: list[str], variables: dict[str, str], status: int, said: str
) -> None:
    done = programs.run("shipper", *command, check=False, **variables)
    assert said in done.stderr
    assert done.returncode == status
    assert "Traceback" not in done.stderr


def test_a_server_that_is_no_elasticsearch_is_told_apart(programs: Programs, redis_url: str) -> None:
    port = redis_url.rsplit(":", 1)[1].split("/", maxsplit=1)[0]
    done = programs.run("shipper", "setup", "--elasticsearch", f"http://127.0.0.1:{port}", check=False)
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr


def test_a_password_in_a_url_is_not_shown(programs: Programs) -> None:
    done = programs.run("shipper", "setup", "--elasticsearch", "http://bob:s3cret@127.0.0.1:1", check=False)
    assert "s3cret" not in done.stderr


def test_help_needs_no_server_and_names_every_command(programs: Programs) -> None:
    said = programs.run("shipper", "--help").stdout
    for command in ("run", "setup", "prune", "timeline", "top"):
        assert f"  {command} " in said
