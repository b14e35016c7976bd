"""What the promises need to rehearse a file drop: a mapping for each of its streams."""

from __future__ import annotations

from tieline.sdk.promises import Rehearsal

REHEARSAL = Rehearsal(
    is_http=False,
    config={
        "directory": "/nowhere",
        "files": {
            "time_entries": {
                "pattern": "time*.csv",
                "key": ["id"],
                "fields": {
                    "person_ref": "person",
                    "project_ref": "project",
                    "task_ref": "task",
                    "work_date": "day",
                    "hours": "hours",
                    "approval": "state",
                    "narrative": "note",
                },
                "values": {"approval": {"approved": ["APPROVED"], "not_approved": ["OPEN"]}},
                "constants": {"quantum_seconds": 36},
            },
            "staffing": {
                "pattern": "staffing*.csv",
                "key": ["fact", "email", "project", "from"],
                "fields": {
                    "fact": "fact",
                    "person_email": "email",
                    "entity_code": "entity",
                    "project_code": "project",
                    "starts_on": "from",
                    "ends_on": "to",
                },
            },
            "people": {
                "pattern": "people*.csv",
                "key": ["code"],
                "fields": {
                    "name": "name",
                    "email": "email",
                    "employee_code": "code",
                    "employed_from": "from",
                },
            },
        },
    },
)
