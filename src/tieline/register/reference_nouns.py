"""What may be loaded from a file: nouns, their columns, and the tables they stand in.

A table of such a noun has an id of its own, the columns named here, and six that every one of them has:
starts_on, ends_on, recorded_at, superseded_at, load_id and line_number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType


class Kind(StrEnum):
    """What stands in a cell; the last eight name a thing that the register already knows."""

    TEXT = "text"
    DAY = "day"
    NUMBER = "number"
    WHOLE = "whole number"
    YES_NO = "yes or no"
    CURRENCY = "currency"
    WEEK = "week"
    ENTITY = "legal entity"
    CLIENT = "client"
    CONTRACT = "contract"
    PROJECT = "project"
    TASK = "task"
    PERSON = "person"
    CRM = "CRM connection"
    ERP = "ERP connection"


class Empty(StrEnum):
    """What an empty cell means: a mistake, nothing known, or everything there is."""

    REFUSED = "refused"
    UNKNOWN = "unknown"
    EVERY = "every"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileColumn:
    """One column of a file; ``words`` are the only ones it may hold, where there are any."""

    name: str
    kind: Kind
    says: str
    stored_as: str = ""
    empty: Empty = Empty.REFUSED
    words: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    is_above_zero: bool = False

    @property
    def column(self) -> str:
        """Return the name of the column in its table."""
        return self.stored_as or self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Noun:
    """One kind of reference data; ``key`` names the table's columns that say which thing it is.

    A row without an end holds until the next one of its key begins. What ``moves_money`` is loaded
    by two people. Of each group in ``one_of`` a row fills exactly one column; of each pair in
    ``together`` both or none. ``only`` is what every row of it says in a table that holds others, too.
    ``words_by`` names a column, another one, and which words the other one may hold by that of the first.
    """

    name: str
    says: str
    table: str
    key: tuple[str, ...]
    columns: tuple[FileColumn, ...]
    moves_money: bool
    one_of: tuple[tuple[str, ...], ...] = ()
    together: tuple[tuple[str, str], ...] = ()
    only: Mapping[str, str] = field(default_factory=dict)
    words_by: tuple[str, str, Mapping[str, tuple[str, ...]]] = ("", "", MappingProxyType({}))

    @property
    def own_id(self) -> str:
        """Return the column that is a row's own id."""
        return f"{self.table}_id"

    def values(self) -> tuple[str, ...]:
        """Return the table's columns that are not of the key."""
        named = (each.column for each in self.columns)
        return (*(name for name in named if name not in self.key), "ends_on")


# Columns that name a thing, and how a file may name it.
CLIENT = FileColumn(
    name="client", kind=Kind.CLIENT, says="Name or tax number.", stored_as="client_id"
)
PROJECT = FileColumn(
    name="project", kind=Kind.PROJECT, says="The project's code.", stored_as="project_id"
)
PERSON = FileColumn(
    name="person", kind=Kind.PERSON, says="E-mail or employee code.", stored_as="person_id"
)
CONTRACT = FileColumn(
    name="contract", kind=Kind.CONTRACT, says="The contract's code.", stored_as="contract_id"
)
_PRACTICE = FileColumn(name="practice", kind=Kind.TEXT, says="As the contract calls it.")


FX_RATES = Noun(
    name="fx-rates",
    says="What one currency was worth in another, from a day on, and who says so.",
    table="fx_rate",
    key=("from_currency", "to_currency"),
    columns=(
        FileColumn(name="from_currency", kind=Kind.CURRENCY, says="One unit of this ..."),
        FileColumn(name="to_currency", kind=Kind.CURRENCY, says="... is worth so many of this."),
        FileColumn(
            name="factor", kind=Kind.NUMBER, says="How many, such as 0.9215.", is_above_zero=True
        ),
        FileColumn(name="source", kind=Kind.TEXT, says="Whose rate it is, such as ECB."),
    ),
    moves_money=True,
)

RATE = (
    FileColumn(
        name="labor_category", kind=Kind.TEXT, says="Of whom; empty: everybody.", empty=Empty.EVERY
    ),
    FileColumn(name="currency", kind=Kind.CURRENCY, says="The currency of the rate."),
    FileColumn(name="rate_amount", kind=Kind.NUMBER, says="What one hour costs.", minimum=0),
)
MARKUP = FileColumn(
    name="markup_percent",
    kind=Kind.NUMBER,
    says="By how much a line of a cost-plus contract is more than what a person costs; empty on every other one.",
    empty=Empty.UNKNOWN,
    minimum=0,
)
_CARD = FileColumn(name="card_code", kind=Kind.TEXT, says="The name of the card, such as 2026-EU.")

PERSON_RATES = Noun(
    name="person-rates",
    says="What one person costs on one project; it goes before every other rate.",
    table="person_rate",
    key=("project_id", "person_id"),
    columns=(
        PROJECT,
        PERSON,
        *RATE[1:],
    ),
    moves_money=True,
)
CLIENT_RATES = Noun(
    name="client-rates",
    says="A client's card: it counts where neither the person nor the contract has a rate.",
    table="client_rate",
    key=("client_id", "card_code", "labor_category", "currency"),
    columns=(
        CLIENT,
        _CARD,
        *RATE,
    ),
    moves_money=True,
)
PRACTICE_RATES = Noun(
    name="practice-rates",
    says="A practice's card: it counts where the client has none.",
    table="practice_rate",
    key=("practice", "card_code", "labor_category", "currency"),
    columns=(
        _PRACTICE,
        _CARD,
        *RATE,
    ),
    moves_money=True,
)
LIST_RATES = Noun(
    name="list-rates",
    says="The price list: it counts where nothing else does.",
    table="list_rate",
    key=("entity_code", "card_code", "labor_category", "currency"),
    columns=(
        FileColumn(
            name="entity",
            kind=Kind.ENTITY,
            says="Whose list it is; empty: of every legal entity.",
            stored_as="entity_code",
            empty=Empty.EVERY,
        ),
        _CARD,
        *RATE,
    ),
    moves_money=True,
)
RATE_BOUNDS = Noun(
    name="rate-bounds",
    says="Between which rates a client agreed to pay for a labor category.",
    table="rate_bound",
    key=("client_id", "labor_category", "currency"),
    columns=(
        CLIENT,
        *RATE[:2],
        FileColumn(
            name="rate_min",
            kind=Kind.NUMBER,
            says="Not below this.",
            empty=Empty.UNKNOWN,
            minimum=0,
        ),
        FileColumn(
            name="rate_max",
            kind=Kind.NUMBER,
            says="Not above this.",
            empty=Empty.UNKNOWN,
            minimum=0,
        ),
    ),
    moves_money=True,
)
BILLING_TERMS = Noun(
    name="billing-terms",
    says="How a contract bills worked time: in which steps, rounded how, and at least how much.",
    table="billing_terms",
    key=("contract_id",),
    columns=(
        CONTRACT,
        FileColumn(
            name="increment_seconds",
            kind=Kind.WHOLE,
            says="Billed in steps of so many seconds, such as 900.",
            minimum=1,
        ),
        FileColumn(
            name="rounding",
            kind=Kind.TEXT,
            says="up, nearest (half up) or down.",
            words=("up", "nearest", "down"),
        ),
        FileColumn(
            name="rounds_per",
            kind=Kind.TEXT,
            says="entry, or day: the sum of a person's time on one task of a day.",
            words=("entry", "day"),
        ),
        FileColumn(
            name="minimum_seconds",
            kind=Kind.WHOLE,
            says="What is worked at all is billed as at least this; 0 where there is no minimum.",
            minimum=0,
        ),
    ),
    moves_money=True,
)

OVER_CAP = Noun(
    name="over-cap",
    says="What a contract says of time above its cap: it goes to the ERP unbilled, under this task.",
    table="over_cap",
    key=("contract_id",),
    columns=(
        CONTRACT,
        FileColumn(
            name="task",
            kind=Kind.TEXT,
            says="The contract's line of this task, without a price, takes it.",
            stored_as="task_name",
        ),
        FileColumn(
            name="step_seconds",
            kind=Kind.WHOLE,
            says="What is still billed of an hour is whole steps of so many seconds, such as 60.",
            minimum=1,
        ),
    ),
    moves_money=True,
)

TASK = FileColumn(
    name="task", kind=Kind.TEXT, says="Of which task; empty: every task.", stored_as="task_name",
    empty=Empty.EVERY,
)  # fmt: skip
SPENDING_LIMITS = Noun(
    name="spending-limits",
    says="What may be spent on a task of a contract, a contract, a task of a client, or a client.",
    table="spending_limit",
    key=("kind", "contract_id", "client_id", "task_name", "code"),
    columns=(
        FileColumn(
            name="kind",
            kind=Kind.TEXT,
            says="cap or funding, which hold what goes over; budget or retainer, which warn.",
            words=("cap", "funding", "budget", "retainer"),
        ),
        replace(CONTRACT, empty=Empty.UNKNOWN),
        replace(CLIENT, says="Name or tax number, for all of its contracts.", empty=Empty.UNKNOWN),
        TASK,
        FileColumn(
            name="code", kind=Kind.TEXT, says="Tells limits of one thing apart.", empty=Empty.EVERY
        ),
        FileColumn(
            name="amount", kind=Kind.NUMBER, says="In money.", empty=Empty.UNKNOWN, minimum=0
        ),
        FileColumn(name="currency", kind=Kind.CURRENCY, says="Of the amount.", empty=Empty.UNKNOWN),
        FileColumn(
            name="seconds", kind=Kind.WHOLE, says="In time.", empty=Empty.UNKNOWN, minimum=0
        ),
    ),
    moves_money=True,
    one_of=(("contract", "client"), ("amount", "seconds")),
    together=(("amount", "currency"),),
)
PURCHASE_ORDERS = Noun(
    name="purchase-orders",
    says="A client's orders for a contract, in sequence or side by side for different tasks.",
    table="purchase_order",
    key=("contract_id", "order_number", "task_name"),
    columns=(
        CONTRACT,
        FileColumn(name="order_number", kind=Kind.TEXT, says="As the client writes it."),
        TASK,
        FileColumn(
            name="amount",
            kind=Kind.NUMBER,
            says="What it is worth; empty: no end is told.",
            empty=Empty.UNKNOWN,
            minimum=0,
        ),
        FileColumn(name="currency", kind=Kind.CURRENCY, says="Of the amount."),
    ),
    moves_money=True,
)
TRANSFER_PRICES = Noun(
    name="transfer-prices",
    says="What one company of the firm asks of another for an hour of its people.",
    table="transfer_price",
    key=("home_entity_code", "project_entity_code", "labor_category"),
    columns=(
        FileColumn(
            name="home_entity",
            kind=Kind.ENTITY,
            says="Whose people.",
            stored_as="home_entity_code",
        ),
        FileColumn(
            name="project_entity",
            kind=Kind.ENTITY,
            says="For whose project.",
            stored_as="project_entity_code",
        ),
        RATE[0],
        RATE[1],
        FileColumn(name="price_amount", kind=Kind.NUMBER, says="What one hour costs.", minimum=0),
    ),
    moves_money=True,
)
INTERCOMPANY_BOOKINGS = Noun(
    name="intercompany-bookings",
    says="What a company booked for its people's work for another, in its period that starts_on lies in.",
    table="intercompany_booking",
    key=("home_entity_code", "project_entity_code", "currency"),
    columns=(
        *TRANSFER_PRICES.columns[:2],
        FileColumn(name="currency", kind=Kind.CURRENCY, says="The currency of the booking."),
        FileColumn(name="amount", kind=Kind.NUMBER, says="The whole amount of that period."),
        FileColumn(name="document_code", kind=Kind.TEXT, says="The number of the booking."),
    ),
    moves_money=True,
)
TAX_TREATMENTS = Noun(
    name="tax-treatments",
    says="Which tax treatments a legal entity may use, and for clients of which country.",
    table="tax_treatment",
    key=("entity_code", "treatment", "country_code"),
    columns=(
        FileColumn(name="entity", kind=Kind.ENTITY, says="Who uses it.", stored_as="entity_code"),
        FileColumn(name="treatment", kind=Kind.TEXT, says="As the contract calls it."),
        FileColumn(
            name="country",
            kind=Kind.TEXT,
            says="Of the client, such as DE; empty: every country.",
            stored_as="country_code",
            empty=Empty.EVERY,
        ),
    ),
    moves_money=True,
)
REVENUE_ACCOUNTS = Noun(
    name="revenue-accounts",
    says="Where a legal entity books revenue, by practice.",
    table="revenue_account",
    key=("entity_code", "practice"),
    columns=(
        FileColumn(name="entity", kind=Kind.ENTITY, says="Whose books.", stored_as="entity_code"),
        replace(_PRACTICE, empty=Empty.EVERY),
        FileColumn(name="account_code", kind=Kind.TEXT, says="The account."),
        FileColumn(name="is_enabled", kind=Kind.YES_NO, says="Whether it may be booked on."),
    ),
    moves_money=True,
)

NOUNS: Mapping[str, Noun] = {
    noun.name: noun
    for noun in (
        FX_RATES,
        PERSON_RATES,
        CLIENT_RATES,
        PRACTICE_RATES,
        LIST_RATES,
        RATE_BOUNDS,
        BILLING_TERMS,
        SPENDING_LIMITS,
        OVER_CAP,
        PURCHASE_ORDERS,
        TRANSFER_PRICES,
        INTERCOMPANY_BOOKINGS,
        TAX_TREATMENTS,
        REVENUE_ACCOUNTS,
    )
}
