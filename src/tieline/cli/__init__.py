"""The services from a shell, one module per subject.

In: words and files. Out: tables for people, exactly one JSON object with --json, sentences on stderr.
Law: exit 0 only when the goal holds, 1 when it does not, 2 for what cannot be done as asked.
"""

from tieline.cli.entry import main, run
from tieline.cli.tools import OpenSystem, RunWorker

__all__ = ["OpenSystem", "RunWorker", "main", "run"]
