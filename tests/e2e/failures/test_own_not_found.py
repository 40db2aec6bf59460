"""Servers whose 404 is not the API's: what a person's word settles, and what a canary proves."""

from __future__ import annotations

import pytest
from world import World

from janitor.emulator import Fault, How

REASON = "deleted through the application"
DETAIL: dict[str, object] = {"detail": "Conversation not found"}
HTML = "<html><body>nginx</body></html>"
ACCEPT = ("missing", "accept", "--actor", "ops", "--reason", REASON)


def unknown(one: str, body: object = DETAIL, **headers: str) -> Fault:
    """The server no longer knows a conversation, and says so in its own way."""
    return Fault(
        How.STATUS,
        path=f"/conversations/{one}*",
        status=404,
        body=body,  # type: ignore[arg-type]
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


def lost(world: World, one: str, answer: Fault) -> None:
    """A deletion that worked, whose answer was lost; from then on the server answers so."""
    reset = Fault(How.RESET, method="DELETE", path=f"/conversations/{one}", applied=True)
    with world.emulator.faulty(reset):
        assert world.run("sweep").code == 1
    assert not world.emulator.exists(one)
    assert world.states()[one] == "deleting"
    world.emulator.add_fault(answer)


def configured(world: World, form: str) -> None:
    """Say in the configuration in which form the server says 404."""
    text = world.config.read_text()
    world.config.write_text(
        text.replace("    concurrency:", f"    not_found: {form}\n    concurrency:")
    )


@pytest.fixture
def stuck(world: World) -> str:
    """A thread that no sweep can settle: gone, and the server's 404 is FastAPI's."""
    [one] = world.fill(1)
    world.fill(1, age=1)
    lost(world, one, unknown(one))
    for _ in range(2):
        done = world.run("sweep")
        assert done.code == 1
        assert f"janitor missing accept --id {one} --reason R" in done.err
        assert "projects.main.not_found: any_json" in done.err
        assert world.states()[one] == "deleting"
    return one


def test_a_persons_word_settles_what_no_answer_can(world: World, stuck: str) -> None:
    done = world.run(*ACCEPT, "--id", stuck)
    assert done.code == 0, done.err
    assert f"main conversation {stuck}: accepted" in done.out
    assert world.states()[stuck] == "deleted"
    document = world.run("--output", "json", "explain", stuck).document["threads"][0]
    last = document["history"][-1]
    assert (last["name"], last["outcome"]) == ("missing_accepted", "missing")
    assert last["reason"] == f"ops: {REASON}"
    assert document["run"] == last["run"], "no run of ours has deleted it"
    assert document["attempts"] == 0
    assert world.run("sweep").code == 0
    assert world.run("list", "--failed").code == 0


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (None, 1, "the server still has it"),
        (Fault(How.STATUS, status=500), 1, "HTTP 500"),
        (Fault(How.STATUS, status=503), 1, "HTTP 503"),
        (Fault(How.RESET), 1, "no answer"),
        (Fault(How.NULL), 1, "HTTP 200 without an object"),
        (Fault(How.STATUS, status=410, body=DETAIL), 1, "HTTP 410"),
        (Fault(How.STATUS, status=401), 3, "refused the credential"),
        (Fault(How.STATUS, status=403), 3, "refused the credential"),
    ],
)
def test_what_is_no_404_is_refused_and_leaves_the_row(
    world: World, stuck: str, answer: Fault | None, code: int, said: str
) -> None:
    before = world.run("--output", "json", "explain", stuck).document["threads"][0]
    world.emulator.clear_faults()
    if answer is None:
        world.emulator.add_conversation(id=stuck, items=1)
    else:
        world.emulator.add_fault(answer)
    done = world.run(*ACCEPT, "--id", stuck)
    assert done.code == code, done.err
    assert stuck in done.out
    assert said in done.out
    after = world.run("--output", "json", "explain", stuck).document["threads"][0]
    for name in ("state", "attempts", "last_error", "review_at", "history"):
        assert after[name] == before[name]


@pytest.mark.parametrize(
    "answer",
    [DETAIL, {}, "", HTML, {"error": "no"}, {"message": "no Route matched with those values"}],
)
def test_any_404_is_what_the_person_vouches_for(world: World, answer: object) -> None:
    [one] = world.fill(1)
    world.fill(1, age=1)
    lost(world, one, unknown(one, answer))
    assert world.run("sweep").code == 1
    done = world.run("--output", "json", *ACCEPT, "--id", one)
    assert done.code == 0, done.err
    assert [(one["said"], one["failed"]) for one in done.document["answers"]] == [
        ("accepted", False)
    ]


def test_what_a_hold_names_keeps_its_row(world: World, stuck: str) -> None:
    world.run("hold", "add", "court", "--reason", "r", "--id", stuck, "--no-copy")
    done = world.run(*ACCEPT, "--id", stuck)
    assert f"main conversation {stuck}: hold court keeps it" in done.out
    assert world.states()[stuck] == "deleting"


def test_without_naming_it_nothing_bare_is_accepted(world: World, stuck: str) -> None:
    scope = ("--project", "main", "--kind", "conversation", "--without-canary")
    done = world.run(*ACCEPT, *scope)
    assert done.code == 1
    assert f"{stuck}: " in done.out
    assert "a 404 that is not from the API" in done.out
    assert world.states()[stuck] == "deleting"


def test_nothing_done_says_why(world: World) -> None:
    world.fill(1, age=1)
    done = world.run(*ACCEPT)
    assert done.code == 0
    assert "No matching thread is missing" in done.out


def test_a_server_that_says_404_so_is_believed_beside_a_canary(world: World, stuck: str) -> None:
    configured(world, "any_json")
    done = world.run("sweep")
    assert done.code == 0, done.err
    assert world.states()[stuck] == "deleted"
    explained = world.run("--output", "json", "explain", stuck).document["threads"][0]
    assert explained["history"][-1]["reason"] == "recovered"


def test_without_a_canary_it_is_not(world: World) -> None:
    configured(world, "any_json")
    [one] = world.fill(1)
    lost(world, one, unknown(one))
    done = world.run("sweep")
    assert done.code == 1
    assert "no other conversation of project main answers" in done.err
    assert world.states()[one] == "deleting"


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (HTML, {"content_type": "text/html"}),
        ("", {}),
        ("404 page not found", {}),
        ({}, {}),
        ({"message": "no Route matched with those values"}, {}),
        ({"fault": {"faultstring": "Unable to identify proxy"}}, {}),
        ({"timestamp": "t", "path": "/v1", "status": 404, "error": "Not Found"}, {}),
        (DETAIL, {"content_type": "text/html"}),
    ],
)
def test_a_gateways_404_is_never_believed(
    world: World, body: object, headers: dict[str, str]
) -> None:
    configured(world, "any_json")
    [one] = world.fill(1)
    world.fill(1, age=1)
    lost(world, one, unknown(one, body, **headers))
    assert world.run("sweep").code == 1
    assert world.states()[one] == "deleting"


def test_a_server_that_goes_silent_amid_the_proof_proves_nothing(world: World) -> None:
    """A canary that no longer answers after the last look: all of it may be a gateway."""
    configured(world, "any_json")
    [one] = world.fill(1)
    [young] = world.fill(1, age=1)
    lost(world, one, unknown(one))
    gone = Fault(How.STATUS, path=f"/conversations/{young}*", status=404, body=DETAIL, skip=2)
    world.emulator.add_fault(gone)
    assert world.run("sweep").code == 1
    assert world.states()[one] == "deleting"


@pytest.mark.parametrize("form", ["openai", "any_json"])
def test_what_is_missing_there_is_believed_beside_a_canary_alone(world: World, form: str) -> None:
    configured(world, form)
    gone = world.fill(1)
    [here] = world.fill(1, age=20, plan="kept")
    world.emulator.add_fault(unknown(gone[0]))
    code = world.run("sweep").code
    if form == "openai":
        assert code == 1
        assert world.states()[gone[0]] == "active"
        return
    assert code == 0
    assert world.states()[gone[0]] == "missing"
    assert world.emulator.exists(here)


def test_the_form_is_told_by_validate(world: World) -> None:
    configured(world, "any_json")
    done = world.run("validate")
    assert done.code == 0
    assert "a 404 whose body is a JSON object counts as not found while another" in done.out
