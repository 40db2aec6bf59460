"""The policies that the golden tables speak of."""

from __future__ import annotations

from policy_facts import archive, delete, early, equals, exists, glob, metadata, soft, trim

from janitor.model import Hold, Kind
from janitor.policy import Policy
from janitor.policy.rules import AgeFrom, KeepLast, Selector

CHATKIT = Kind.CHATKIT_THREAD
ALL = Selector()
PLAIN = Policy("plain", metadata(plan="trial"), delete=delete(30))
KEPT = Policy("kept", metadata(plan="trial"), archive=archive(7), delete=delete(30))
UNDO = Policy("undo", metadata(plan="trial"), soft_delete=soft(20), delete=delete(30))
FULL = Policy("full", ALL, archive=archive(7), soft_delete=soft(20), delete=delete(30))
SLOW = Policy("slow", metadata(plan="trial"), delete=delete(60))
COPY = Policy("copy", ALL, archive=archive(7))
LAW = Policy("law", metadata(department="legal"), keep_forever=True)
NEVER = Policy("never", metadata(plan="trial"), delete=delete(None))
REST = Policy("rest", default=True, delete=delete(365))
BESIDE = Policy("beside", metadata(plan="trial"), archive=archive(7), beside_default=True)
EARLY = Policy("early", ALL, archive=early(2, items=50))
LONG = Policy("long", ALL, archive=early(items=50))
LAST = Policy("last", metadata(plan="trial"), delete=delete(30), keep_last=KeepLast(2))
PER = Policy("per", metadata(plan="trial"), delete=delete(30), keep_last=KeepLast(2, "user"))
BY_BIRTH = Policy("birth", ALL, age_from=AgeFrom.CREATED, delete=delete(30))
ITEMS = Policy("items", ALL, archive=archive(items=50), delete=delete(30))
EITHER = Policy("either", ALL, archive=archive(7, items=50), delete=delete(30))
WINDOW = Policy("window", ALL, trim=trim(50, 1))
EXCEPT = Policy("except", metadata(plan="trial"), metadata(pinned="true"), delete=delete(30))
ON_CHATKIT = Selector(kinds=frozenset({CHATKIT}))
UNLESS = Policy("unless", metadata(plan="trial"), ON_CHATKIT, delete=delete(1))
ABSENT = Policy(
    "absent", metadata(ticket=exists(found=False), plan=equals("a", "b")), delete=delete(1)
)
NO_TICKET = Policy(
    "ticket", metadata(ticket=exists(found=False), tenant=glob("acme-*")), delete=delete(1)
)
LEGAL = {"plan": "trial", "department": "legal"}
HOLD = Hold("matter", metadata={"plan": "trial"})
