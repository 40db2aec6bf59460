"""Two projects of one account: everybody is told, and nothing is removed for one alone."""

from __future__ import annotations

from world import World

POLICIES = """\
  - name: legal
    match: {project: [legal]}
    keep: forever
  - name: chats
    match: {project: [main]}
    delete: {after: 30d}
"""
SECOND = """\
  legal:
    api_key: {key}
    base_url: "{url}"
"""


def add_project(world: World, key: str, url: str) -> int:
    """Configure a second project, and give the line that names it."""
    world.configure(POLICIES)
    text = world.config.read_text()
    second = SECOND.replace("{key}", key).replace("{url}", url)
    world.config.write_text(text.replace("archive:", second + "archive:", 1))
    return text[: text.index("archive:")].count("\n") + 1


def test_what_one_project_keeps_is_not_removed_for_the_other(world: World) -> None:
    line = add_project(world, "{env: JANITOR_WORLD_KEY}", f"{world.base_url}/")
    [one] = world.fill(1)
    assert (
        world.run("import", "--id", one, "--kind", "conversation", "--project", "legal").code == 0
    )
    world.run("import", "--id", one, "--kind", "conversation", "--project", "main")

    said = world.run("validate").out
    assert f"projects legal (line {line}) and main (line 5) reach the same containers" in said
    assert "projects legal and main reach the same containers" in world.run("doctor").out

    swept = world.run("sweep")
    assert swept.code == 0
    assert "projects legal and main reach the same containers" in swept.err
    assert "other_project legal: keep_forever 1" in swept.out
    assert world.changes == []
    assert world.emulator.exists(one)
    assert "other_project legal: keep_forever" in world.run("explain", one).out
    document = world.run("--output", "json", "sweep").document
    assert document["same_containers"] == [["legal", "main"]]


def test_another_key_at_the_same_address_is_another_tenant(world: World) -> None:
    world.environment["JANITOR_SECOND_KEY"] = "sk-second"
    add_project(world, "{env: JANITOR_SECOND_KEY}", world.base_url)
    assert "same containers" not in world.run("validate").out
    assert "same containers" not in world.run("doctor").out


def test_a_value_that_is_the_same_is_seen_by_doctor_and_sweep_alone(world: World) -> None:
    world.environment["JANITOR_SECOND_KEY"] = world.environment["JANITOR_WORLD_KEY"]
    add_project(world, "{env: JANITOR_SECOND_KEY}", world.base_url)
    assert "same containers" not in world.run("validate").out
    assert "same containers" in world.run("doctor").out
    assert "same containers" in world.run("sweep").err
