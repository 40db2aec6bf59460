"""Games on a registry in a file; four, so that they are played side by side."""

from __future__ import annotations

import pytest
from model_machine import Model
from model_profile import played


class First(Model):
    pass


class Second(Model):
    pass


class Third(Model):
    pass


class Fourth(Model):
    pass


TestFirst = pytest.mark.timeout(0)(First.TestCase)
TestSecond = pytest.mark.timeout(0)(Second.TestCase)
TestThird = pytest.mark.timeout(0)(Third.TestCase)
TestFourth = pytest.mark.timeout(0)(Fourth.TestCase)
# Not in a loop: its variable would be one more name of the last, and that be played twice.
TestFirst.settings = TestSecond.settings = TestThird.settings = TestFourth.settings = played(10)
