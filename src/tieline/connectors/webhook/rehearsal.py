"""What the promises need to rehearse a receiver: a secret that it would be signed with."""

from __future__ import annotations

import base64

from tieline.sdk.promises import Rehearsal

REHEARSAL = Rehearsal(
    secrets={"signing_secret": "whsec_" + base64.b64encode(b"a key of a rehearsal only").decode()}
)
