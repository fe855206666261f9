"""Haystack tells nobody of these tests."""

import os

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
