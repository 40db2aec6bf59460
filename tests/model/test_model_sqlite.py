from __future__ import annotations

from model_machine import Model
from model_profile import PROFILE

TestModel = Model.TestCase
TestModel.settings = PROFILE
