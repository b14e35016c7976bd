"""Record what translators make of the corpus: python -m tests.promises.connectors.corpus [SYSTEM]..."""

from __future__ import annotations

import sys

from tests.promises.connectors.corpus import SYSTEMS, record

for system in sys.argv[1:] or SYSTEMS:
    print(record(system))
