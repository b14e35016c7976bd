"""The nouns that all systems share, which of their fields are material, and commands to targets.

In: what a connector translated. Out: frozen values, hashes of material fields.
Law: no I/O, no defaults for business fields; a missing approval is not "not approved".
"""

from tieline.canonical.commands import (
    BILLED_BY_SCHEDULE,
    COST_PLUS,
    AssignmentCommand,
    ClientCommand,
    Command,
    Content,
    ContractCommand,
    EmployeeCommand,
    FieldCommand,
    ProjectCommand,
    StatusCommand,
    TaskCommand,
    TimeLineCommand,
)
from tieline.canonical.nouns import (
    Approval,
    Client,
    Contact,
    CostRate,
    Opportunity,
    OpportunityLine,
    Person,
    StaffingFact,
    TimeEntry,
    WorkItem,
)

__all__ = [
    "BILLED_BY_SCHEDULE",
    "COST_PLUS",
    "Approval",
    "AssignmentCommand",
    "Client",
    "ClientCommand",
    "Command",
    "Contact",
    "CostRate",
    "Content",
    "ContractCommand",
    "EmployeeCommand",
    "FieldCommand",
    "Opportunity",
    "OpportunityLine",
    "Person",
    "ProjectCommand",
    "StaffingFact",
    "StatusCommand",
    "TaskCommand",
    "TimeEntry",
    "TimeLineCommand",
    "WorkItem",
]
