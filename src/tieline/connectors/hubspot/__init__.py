"""HubSpot: the CRM where deals are won.

In: companies, contacts, deals with their lines, owners; webhooks as hints. Out: raw records.
Law: commercial terms come from named properties only; back go status values, nothing else.
"""

from tieline.connectors.hubspot.connector import MANIFEST, HubSpotConnector, build
from tieline.connectors.hubspot.webhook import verify_webhook

__all__ = ["MANIFEST", "HubSpotConnector", "build", "verify_webhook"]
