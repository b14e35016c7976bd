"""Keep what people are told: whom it reaches, that it goes out once, and that it was seen.

In: messages for owners of cases, addresses, deputies, links that come back. Out: notices to be sent.
Law: a notice is a row before it is sent; one occasion is told of once; an address stands in no message.
"""

from tieline.notices.acknowledging import (
    Acknowledged,
    SeenNotice,
    acknowledge,
    find_by_link,
    link_token,
    read_acknowledged,
)
from tieline.notices.recipients import (
    ALL_STAFF,
    Directory,
    Reached,
    StandIn,
    list_reached,
    list_stand_ins,
    person_owner,
    queue_owner,
    read_directory,
    set_deputy,
    set_on_call,
    set_reach,
    staff_owner,
    unset_reach,
    unset_stand_in,
)
from tieline.notices.sending import (
    Attempt,
    NotSent,
    begin_again,
    begin_attempt,
    give_up,
    list_not_sent,
    note_receipt,
    note_unknown,
    put_off,
    send_again,
)
from tieline.notices.writing import (
    Message,
    WrittenNotice,
    begin_round,
    list_notices,
    write_notices,
)

__all__ = [
    "ALL_STAFF",
    "Acknowledged",
    "Attempt",
    "Directory",
    "Message",
    "NotSent",
    "Reached",
    "SeenNotice",
    "StandIn",
    "WrittenNotice",
    "acknowledge",
    "begin_again",
    "begin_attempt",
    "begin_round",
    "find_by_link",
    "give_up",
    "link_token",
    "list_not_sent",
    "list_notices",
    "list_reached",
    "list_stand_ins",
    "note_receipt",
    "note_unknown",
    "person_owner",
    "put_off",
    "queue_owner",
    "read_acknowledged",
    "read_directory",
    "send_again",
    "set_deputy",
    "set_on_call",
    "set_reach",
    "staff_owner",
    "unset_reach",
    "unset_stand_in",
    "write_notices",
]
