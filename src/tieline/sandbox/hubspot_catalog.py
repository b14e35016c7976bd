"""What a HubSpot portal has besides objects: owners, its pipeline, definitions of properties."""

from __future__ import annotations

from tieline.sandbox.records import Record

_SINCE = "2021-03-01T09:00:00.000Z"
PIPELINE = "default"
WON = "closedwon"
LOST = "closedlost"
_STAGES = (
    ("appointmentscheduled", "Appointment scheduled", "0.2", False),
    ("qualifiedtobuy", "Qualified to buy", "0.4", False),
    ("presentationscheduled", "Presentation scheduled", "0.6", False),
    ("contractsent", "Contract sent", "0.9", False),
    (WON, "Closed won", "1.0", True),
    (LOST, "Closed lost", "0.0", True),
)
_FIELD_TYPES = {
    "number": "number",
    "date": "date",
    "datetime": "date",
    "bool": "booleancheckbox",
    "enumeration": "select",
    "phone_number": "phonenumber",
}


def pipeline_shown() -> Record:
    """Write the portal's one pipeline of deals."""
    return {
        "id": PIPELINE,
        "label": "Sales pipeline",
        "displayOrder": 0,
        "createdAt": _SINCE,
        "updatedAt": _SINCE,
        "archived": False,
        "stages": [_stage(number, *stage) for number, stage in enumerate(_STAGES)],
    }


def _stage(order: int, identity: str, label: str, probability: str, is_closed: bool) -> Record:
    return {
        "id": identity,
        "label": label,
        "displayOrder": order,
        "metadata": {"isClosed": str(is_closed).lower(), "probability": probability},
        "createdAt": _SINCE,
        "updatedAt": _SINCE,
        "archived": False,
        "writePermissions": "CRM_PERMISSIONS_ENFORCEMENT",
    }


def owner_shown(record: Record) -> Record:
    """Write an owner."""
    return {
        "id": str(record["id"]),
        "email": record["email"],
        "type": "PERSON",
        "firstName": record["firstName"],
        "lastName": record["lastName"],
        "userId": record["id"] - 30_000_000,
        "userIdIncludingInactive": record["id"] - 30_000_000,
        "createdAt": record["created_at"],
        "updatedAt": record["created_at"],
        "archived": False,
    }


def property_shown(
    name: str, form: str, *, hubspot_defined: bool = True, at: str = _SINCE
) -> Record:
    """Write the definition of a property."""
    return {
        "name": name,
        "label": name.removeprefix("tieline_").replace("_", " ").capitalize(),
        "type": form,
        "fieldType": _FIELD_TYPES.get(form, "text"),
        "description": "",
        "groupName": "information",
        "options": [],
        "createdAt": at,
        "updatedAt": at,
        "archived": False,
        "hubspotDefined": hubspot_defined,
        "hidden": False,
        "displayOrder": -1,
        "calculated": False,
        "externalOptions": False,
        "hasUniqueValue": False,
        "formField": False,
        "modificationMetadata": {
            "archivable": not hubspot_defined,
            "readOnlyDefinition": hubspot_defined,
            "readOnlyValue": False,
        },
    }
