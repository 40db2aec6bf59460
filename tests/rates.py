"""Rates for tests that are about something else."""

from __future__ import annotations

from collections.abc import Mapping

from janitor.rate_limit import Allowance, Verb

UNLIMITED: Mapping[Verb, Allowance] = dict.fromkeys(Verb, "unlimited")
