"""HTTP for machines: /v1, with hashed keys, scopes, legal entities and problem documents.

In: requests with a key. Out: verdicts, cases, readiness, the way of one thing.
Law: a key sees its legal entities only; bad input is a problem document, never a stack trace.
"""

from tieline.api.application import create_api

__all__ = ["create_api"]
