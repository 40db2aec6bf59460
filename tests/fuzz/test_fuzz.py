"""A few rounds of the fuzz, always the same; `make fuzz MINUTES=60` plays for an hour."""

from __future__ import annotations

from fuzz_round import Count, ground, play
from postgres import Server

SEED, ROUNDS = "a", 3


def test_nothing_that_enters_ends_a_sweep_for_others(postgres: Server) -> None:
    played = Count()
    with ground(postgres) as shared:
        for number in range(ROUNDS):
            played += play(shared, SEED, number)
    assert played.rounds == ROUNDS
    assert min(played.inbox, played.source, played.answers) > 0
