from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from janitor.model import Key, Kind, Thread
from janitor.policy.matching import Match, Matcher, views_of
from janitor.policy.rules import KeepLast, Policies, Policy, Selector
from janitor.policy.rules import Test as Asked
from janitor.policy.stored_metadata import HASHED, MetadataFilter

KEYS = st.sampled_from(["plan", "user_id", "tenant", "janitor_keep_until"])
VALUES = st.text(max_size=20) | st.sampled_from(["u1", "hmac:", "hmac:" + "0" * 32])
MAPS = st.dictionaries(KEYS, VALUES, max_size=4)
SCREENS = st.builds(
    MetadataFilter,
    st.none() | st.frozensets(KEYS, max_size=3),
    st.frozensets(KEYS, max_size=3),
    st.binary(min_size=32, max_size=40),
)
HIDING = MetadataFilter(frozenset({"plan", "user_id"}), frozenset({"user_id"}), b"s" * 32)


@given(SCREENS, MAPS)
def test_what_went_through_goes_through_again_unchanged(
    screen: MetadataFilter, said: dict[str, str]
) -> None:
    once = screen.metadata(said)
    assert screen.metadata(once) == once


@given(SCREENS, MAPS)
def test_nothing_else_is_stored_and_nothing_hidden_is_readable(
    screen: MetadataFilter, said: dict[str, str]
) -> None:
    for key, value in screen.metadata(said).items():
        own = key.startswith("janitor_")
        assert own or screen.keys is None or key in screen.keys
        if key in screen.hashed and not own:
            assert HASHED.fullmatch(value)
        else:
            assert value == said[key]


@given(SCREENS, MAPS, KEYS, VALUES)
def test_equal_values_stay_equal_and_others_others(
    screen: MetadataFilter, said: dict[str, str], key: str, wanted: str
) -> None:
    if screen.keeps(key) and key in said and not HASHED.fullmatch(wanted + said[key]):
        stored = screen.metadata(said)[key]
        assert (stored == screen.value(key, wanted)) is (said[key] == wanted) or (
            HASHED.fullmatch(said[key]) or HASHED.fullmatch(wanted)
        )


@given(MAPS)
def test_an_open_screen_lets_everything_through(said: dict[str, str]) -> None:
    assert MetadataFilter().metadata(said) == said
    assert MetadataFilter().fingerprint == ""


def test_a_hash_depends_on_key_and_secret_and_shows_neither() -> None:
    other = replace(HIDING, secret=b"t" * 32)
    both = MetadataFilter(None, frozenset({"user_id", "owner"}), HIDING.secret)
    assert HIDING.value("user_id", "u1") != other.value("user_id", "u1")
    assert both.value("user_id", "u1") != both.value("owner", "u1")
    assert HIDING.fingerprint != other.fingerprint
    assert "sss" not in repr(HIDING)


def policies(match: dict[str, Asked], per: str | None = None) -> Policies:
    last = KeepLast(1, per)
    return Policies(
        (Policy("p", Selector(metadata=match), Selector(metadata=match), keep_last=last),)
    )


@given(MAPS, KEYS.filter(HIDING.keeps), st.frozensets(VALUES, max_size=2), st.booleans())
def test_a_screened_rule_matches_the_same_threads_screened(
    said: dict[str, str], key: str, any_of: frozenset[str], exists: bool
) -> None:
    said = {k: v for k, v in said.items() if not HASHED.fullmatch(v)}
    any_of = frozenset(one for one in any_of if not HASHED.fullmatch(one))
    thread = Thread(Key("main", Kind.CONVERSATION, "c"), upstream=said)
    stored = replace(thread, upstream=HIDING.metadata(said))
    for test in (Asked(any_of=any_of), Asked(exists=exists)):
        rule = policies({key: test})
        assert HIDING.policies(among_others(rule)) == among_others(HIDING.policies(rule))
        as_stored = HIDING.policies(rule)
        assert found(as_stored, stored) is found(rule, thread)
        assert HIDING.policies(as_stored) == as_stored


def among_others(said: Policies) -> Policies:
    """The same policy, whose selectors stand in an `any`."""
    (rule,) = said.rules
    match = Selector(any_of=(Selector(), rule.match))
    return Policies((replace(rule, match=match, excepts=match),))


def found(said: Policies, thread: Thread) -> Match:
    matcher = Matcher.of(said.rules[0].match)
    return matcher.match(thread.key, views_of(thread), protecting=True)


def test_what_can_no_longer_be_judged_is_told() -> None:
    def blind(match: dict[str, Asked], per: str | None = None) -> set[str]:
        return set(HIDING.unanswerable(policies(match, per)))

    assert blind({"tenant": Asked(any_of=frozenset({"a"}))}) == {"p: tenant"}
    assert blind({"tenant": Asked(exists=False)}) == {"p: tenant"}
    assert blind({"user_id": Asked(glob="u*")}) == {"p: user_id"}
    assert blind({}, per="tenant") == {"p: tenant"}
    tenant = policies({"tenant": Asked(exists=True)})
    assert set(HIDING.unanswerable(among_others(tenant))) == {"p: tenant"}
    kept = {"user_id": Asked(exists=True), "plan": Asked(glob="t*")}
    assert blind(kept, per="user_id") == set()


def test_no_value_stays_in_a_rule_that_the_screen_hides() -> None:
    asked = {
        "tenant": Asked(any_of=frozenset({"raw"})),
        "user_id": Asked(glob="raw*"),
        "plan": Asked(any_of=frozenset({"shown"})),
    }
    said = repr(HIDING.policies(policies(asked)))
    assert "raw" not in said
    assert "shown" in said
