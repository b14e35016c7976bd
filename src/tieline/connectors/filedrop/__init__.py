"""File drop: CSV files that appear in a directory.

In: a directory and a declared mapping with a key. Out: one raw record per row, with its line.
Law: one file is one batch with control totals; a row that cannot be read is a case, not a gap.
"""

from tieline.connectors.filedrop.connector import MANIFEST, FileDropConnector, build
from tieline.connectors.filedrop.mapping import FileMapping, parse_mapping

__all__ = ["MANIFEST", "FileDropConnector", "FileMapping", "build", "parse_mapping"]
