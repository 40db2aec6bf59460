"""The page of metrics says what is declared, and the operator's page knows every one of them."""

from __future__ import annotations

import re

from figures import ROOT
from metrics_page import page

DOCS = ROOT / "docs"


def names(text: str) -> set[str]:
    return set(re.findall(r"\bjanitor_[a-z_]+", text))


def test_the_page_is_what_the_program_declares() -> None:
    written = (DOCS / "metrics.md").read_text(encoding="utf-8")
    assert written == page(), "python tests/unit/house/metrics_page.py > docs/metrics.md"


def test_the_operators_page_speaks_of_metrics_that_exist_and_of_all_of_them() -> None:
    operations = (DOCS / "operations.md").read_text(encoding="utf-8")
    declared = names(page())
    spoken = {re.sub(r"_(bucket|count|sum)$", "", name) for name in names(operations)}
    assert spoken - declared == set(), "a metric that does not exist"
    assert declared - spoken == set(), "a metric that nobody is told what to do about"
