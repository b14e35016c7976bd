"""Know who may do what, keep two pairs of eyes on what moves money, and write down who did it.

In: logins, keys, proposals, decisions. Out: callers with rights, approved payloads, audit rows.
Law: nobody approves their own proposal; the audit only gains rows; secrets are kept as hashes.
"""

from tieline.governance.audit import AuditRow, list_audit, record_audit
from tieline.governance.keys import (
    SCOPES,
    ApiCaller,
    IssuedKey,
    issue_api_key,
    list_api_keys,
    revoke_api_key,
    verify_api_key,
)
from tieline.governance.people import (
    OpenedSession,
    Person,
    add_person,
    authenticate,
    end_session,
    find_session,
    list_people,
    open_session,
    set_password,
)
from tieline.governance.proposals import (
    Proposal,
    approve,
    get_proposal,
    list_proposals,
    propose,
    reject,
)
from tieline.governance.sight import open_web_transaction

__all__ = [
    "SCOPES",
    "ApiCaller",
    "AuditRow",
    "IssuedKey",
    "OpenedSession",
    "Person",
    "Proposal",
    "add_person",
    "approve",
    "authenticate",
    "end_session",
    "find_session",
    "get_proposal",
    "issue_api_key",
    "list_api_keys",
    "list_audit",
    "list_people",
    "list_proposals",
    "open_session",
    "open_web_transaction",
    "propose",
    "record_audit",
    "reject",
    "revoke_api_key",
    "set_password",
    "verify_api_key",
]
