"""The separate reader of real records refuses what it cannot be sure of."""

from __future__ import annotations

from pathlib import Path

import pytest

from tieline.sandbox.work_records import read_records

_DATES = "TaskNumber,StartedOn,CompletedOn\n7,01-Mar-10,02-Mar-10\n"
_HEAD = "TaskNumber,DeveloperID,ProjectCode,ProjectBreakdownCode,StatusCode,DeveloperHoursActual\n"


class TestReadRecords:
    def test_joins_the_date_of_a_task(self, tmp_path: Path) -> None:
        (tmp_path / "est-act-dates.csv").write_text(_DATES)
        (tmp_path / "sip-task-info.csv").write_text(_HEAD + "7,3,PC1,PBC1,FINISHED,0.33\n")

        (record,) = read_records(tmp_path)

        assert (record.seconds, str(record.done_on)) == (1188, "2010-03-02")

    @pytest.mark.parametrize("last", ["7,3,PC1", "7,3,PC1,PBC1,FINISHED,1,2"])
    def test_names_the_line_of_a_truncated_file(self, tmp_path: Path, last: str) -> None:
        (tmp_path / "est-act-dates.csv").write_text(_DATES)
        (tmp_path / "sip-task-info.csv").write_text(_HEAD + last)

        with pytest.raises(ValueError, match=r"line 2 of sip-task-info\.csv"):
            read_records(tmp_path)
