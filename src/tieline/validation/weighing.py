"""How much what was violated weighs, and what comes of it: one text for what is stored, asked, tried and explained."""

from __future__ import annotations

from tieline.runtime.sql import load

EVERY_WEIGHT = load(__package__, "weigh")
# What the policy ignores is no reason.
WEIGHTS = f"SELECT entry_id, code, severity FROM ({EVERY_WEIGHT}) w WHERE severity <> 'ignore'"
WEIGHED = f"CREATE TEMP TABLE weighed ON COMMIT DROP AS\n{WEIGHTS}"
DECIDE = load(__package__, "decide")
# Where nothing is stored: what stands in the braces is judged, and what is put behind this reads ``decided``.
DECIDED = (
    "WITH judged AS MATERIALIZED ({}), weighed AS MATERIALIZED ("
    + WEIGHTS
    + "), "
    + DECIDE.replace("{}", "{{}}")
)
