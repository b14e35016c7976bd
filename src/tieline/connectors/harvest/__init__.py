"""Harvest: time capture.

In: users, clients, projects, tasks, assignments and hours; commands for the same but hours.
Out: raw records as sent, receipts. Law: approval is only what ``is_locked`` and its reason say.
"""

from tieline.connectors.harvest.connector import MANIFEST, HarvestConnector, build

__all__ = ["MANIFEST", "HarvestConnector", "build"]
