"""What the promises need to rehearse a mail server: that it speaks no HTTP."""

from __future__ import annotations

from tieline.sdk.promises import Rehearsal

REHEARSAL = Rehearsal(is_http=False, config={"from": "tieline@example.com", "login": "tieline"})
