"""Webhook: any system that wants to hear what happened in the business, or brings messages to people.

In: one event or notice, sent as a CloudEvent. Out: one signed POST, answered with a status of the 200s or not heard.
Law: either may come twice, under one id; the receiver keeps an inbox.
"""

from tieline.connectors.webhook.connector import MANIFEST, WebhookConnector, build
from tieline.connectors.webhook.signing import sign

__all__ = ["MANIFEST", "WebhookConnector", "build", "sign"]
