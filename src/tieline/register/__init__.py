"""Keep master data on two time axes, and know which record of which system is which of ours.

In: what connections say of clients and people, links, decisions. Out: rows as of an instant, links.
Law: rows are closed, never overwritten; a field's owner writes it; a name alone never links.
"""

from tieline.register.crosswalk import (
    Link,
    Linked,
    LinkTaken,
    all_links,
    find_ours,
    find_theirs,
    link,
    unlink,
)
from tieline.register.matching import (
    Candidate,
    Known,
    Likeness,
    candidates,
    exact_matches,
)
from tieline.register.names import email_key, name_key, vat_key
from tieline.register.owners import (
    CLIENT_OWNERS,
    EMPLOYMENT_OWNERS,
    Drift,
    record_drift,
    settle,
)
from tieline.register.people import Roster, create_person, load_roster, matches, rename_person
from tieline.register.sources import (
    Source,
    as_client,
    as_opportunity,
    as_person,
    as_staffing_fact,
    find_newest,
    newest,
)
from tieline.register.versions import (
    AGREEMENT,
    ASSIGNMENT,
    CLIENT,
    CONTRACT,
    CONTRACT_LINE,
    EMPLOYMENT,
    LEAVE,
    PROJECT,
    VersionedTable,
    as_of,
    close,
    current_client_id,
    find_current,
    upsert,
)

__all__ = [
    "AGREEMENT",
    "ASSIGNMENT",
    "CLIENT",
    "CLIENT_OWNERS",
    "CONTRACT",
    "CONTRACT_LINE",
    "EMPLOYMENT",
    "EMPLOYMENT_OWNERS",
    "LEAVE",
    "PROJECT",
    "Candidate",
    "Drift",
    "Known",
    "Likeness",
    "Link",
    "LinkTaken",
    "Linked",
    "Roster",
    "Source",
    "VersionedTable",
    "all_links",
    "as_client",
    "as_of",
    "as_opportunity",
    "as_person",
    "as_staffing_fact",
    "candidates",
    "close",
    "create_person",
    "current_client_id",
    "email_key",
    "exact_matches",
    "find_current",
    "find_newest",
    "find_ours",
    "find_theirs",
    "link",
    "load_roster",
    "matches",
    "name_key",
    "newest",
    "record_drift",
    "rename_person",
    "settle",
    "unlink",
    "upsert",
    "vat_key",
]
