from __future__ import annotations

from dataclasses import replace

from policy_facts import delete, metadata, policies, thread

from janitor.model import Hold, Kind
from janitor.policy import Policy, RuleCoverage
from janitor.policy.rules import Selector

TRIAL = Policy("trial", metadata(plan="trial"), metadata(pinned="true"), delete=delete(1))
LAW = Policy("law", metadata(department="legal"), keep_forever=True)
REST = Policy("rest", default=True, delete=delete(9))
HOLDS = (Hold("matter", metadata={"matter": "7"}), Hold("one", ids=frozenset({"t"})))


def silent(coverage: RuleCoverage) -> list[str]:
    return list(coverage.silent)


def test_nothing_seen_nothing_matched() -> None:
    coverage = RuleCoverage(policies(TRIAL, LAW, REST), HOLDS)
    assert silent(coverage) == [
        "except:trial",
        "hold:matter",
        "hold:one",
        "policy:law",
        "policy:rest",
        "policy:trial",
    ]


def test_what_matches_is_silent_no_more() -> None:
    coverage = RuleCoverage(policies(TRIAL, LAW, REST), HOLDS)
    coverage.see(thread(upstream={"department": "sales"}))
    assert silent(coverage) == ["except:trial", "hold:matter", "policy:law"]
    coverage.see(thread(upstream={"department": "legal"}, reported={"department": "sales"}))
    assert silent(coverage) == ["except:trial", "hold:matter"]
    coverage.see(thread(upstream={"pinned": "true"}))
    assert silent(coverage) == ["hold:matter"]
    coverage.see(thread(reported={"matter": "7"}))
    assert silent(coverage) == []
    coverage.see(thread())
    assert silent(coverage) == []


def test_an_except_counts_where_its_policy_would_match() -> None:
    coverage = RuleCoverage(policies(TRIAL), ())
    coverage.see(thread(reported={"pinned": "true"}))
    assert silent(coverage) == ["except:trial", "policy:trial"]
    coverage.see(thread(upstream={"pinned": "true"}))
    assert silent(coverage) == ["policy:trial"]


def test_unread_metadata_has_matched_nothing() -> None:
    coverage = RuleCoverage(policies(TRIAL, LAW), HOLDS)
    coverage.see(thread(reported=None))
    assert silent(coverage) == ["except:trial", "hold:matter", "policy:law", "policy:trial"]


def test_what_may_match_unread_metadata_is_in_doubt() -> None:
    coverage = RuleCoverage(policies(TRIAL, LAW, REST), HOLDS)
    doubtful = coverage.doubtful(thread(reported=None, id="other"))
    assert doubtful == {"except:trial", "hold:matter", "policy:law", "policy:trial"}
    assert coverage.doubtful(thread(reported={"plan": "trial"}, id="other")) == frozenset()


def test_kind_and_project_are_never_in_doubt() -> None:
    elsewhere = Selector(projects=frozenset({"b"}), metadata=LAW.match.metadata)
    law = replace(LAW, match=elsewhere)
    trial = replace(TRIAL, excepts=replace(elsewhere, kinds=frozenset({Kind.CHATKIT_THREAD})))
    coverage = RuleCoverage(policies(trial, law), ())
    assert coverage.doubtful(thread(reported=None)) == {"policy:trial"}


def test_an_except_may_match_unread_metadata_where_its_policy_matches_by_kind() -> None:
    chats = Policy("chats", Selector(kinds=frozenset({Kind.THREAD})), metadata(pinned="true"))
    coverage = RuleCoverage(policies(chats), ())
    assert "except:chats" in coverage.doubtful(thread(reported=None, kind=Kind.THREAD))
    assert coverage.doubtful(thread(reported=None)) == frozenset()


def test_a_protecting_rule_matches_one_side() -> None:
    coverage = RuleCoverage(policies(LAW), ())
    coverage.see(thread(reported={"department": "legal"}, upstream={"department": "sales"}))
    assert silent(coverage) == []


def test_kind_and_sides_count() -> None:
    chatkit = Selector(kinds=frozenset({Kind.CHATKIT_THREAD}))
    law = replace(LAW, match=chatkit, excepts=replace(chatkit, projects=frozenset({"b"})))
    coverage = RuleCoverage(policies(law), ())
    coverage.see(thread())
    coverage.see(thread(project="b"))
    assert silent(coverage) == ["except:law", "policy:law"]
    coverage.see(thread(project="b", kind=Kind.CHATKIT_THREAD))
    assert silent(coverage) == ["policy:law"]


def test_an_except_of_one_side_counts() -> None:
    rule = replace(LAW, excepts=metadata(closed="yes"))
    coverage = RuleCoverage(policies(rule), ())
    coverage.see(
        thread(
            reported={"department": "legal", "closed": "yes"},
            upstream={"department": "sales", "closed": "no"},
        )
    )
    assert silent(coverage) == []


def test_each_alternative_is_a_rule_of_its_own() -> None:
    several = Selector(any_of=(metadata(pinned="true"), metadata(pined="true")))
    law = Selector(any_of=(metadata(department="legal"), metadata(departmnt="hr")))
    rules = (replace(TRIAL, excepts=several), replace(LAW, match=law))
    coverage = RuleCoverage(policies(*rules), ())
    assert silent(coverage) == [
        "except[0]:trial",
        "except[1]:trial",
        "match[0]:law",
        "match[1]:law",
        "policy:law",
        "policy:trial",
    ]
    coverage.see(thread(reported={"plan": "trial", "pinned": "true", "department": "legal"}))
    assert silent(coverage) == ["except[1]:trial", "match[1]:law", "policy:trial"]
    assert coverage.doubtful(thread(reported=None)) == {
        *("except[0]:trial", "except[1]:trial", "policy:trial"),
        *("match[0]:law", "match[1]:law", "policy:law"),
    }
