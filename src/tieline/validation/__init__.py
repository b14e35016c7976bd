"""One engine for what may be posted: rules are rows of data, judged over sets in the database.

In: a landed batch, neighbor keys, or candidates of a caller. Out: verdicts with every reason.
Law: what is not true is a violation; missing data holds and never clears.
"""

from tieline.validation.answering import RULE_FAILED, check_own_rules
from tieline.validation.asking import Answer
from tieline.validation.book_of_deals import BOOK as BOOK_OF_DEALS
from tieline.validation.book_of_deals import (
    DealRule,
    ask_rules,
    common_deal_row,
    deal_columns,
    deal_rules,
)
from tieline.validation.book_of_invoices import (
    InvoiceRule,
    ask_about_invoices,
    common_invoice_row,
    invoice_columns,
    invoice_rules,
)
from tieline.validation.books import always_held, builtin_rules, builtin_values, codes_about
from tieline.validation.comparing import CHUNK_HOURS, Difference, Side, Step, compare
from tieline.validation.early import EarlyVerdict, look_early
from tieline.validation.explaining import Explained, Override, RuleAnswer, explain_verdict
from tieline.validation.judging import Judged, judge
from tieline.validation.neighbors import mark_reference_change, mark_rejudge, next_marked
from tieline.validation.own_deals import (
    ask_own_deal_rules,
    check_own_deal_rules,
    is_of_deals,
    looks_at,
    own_deal_codes,
    own_deal_rules,
)
from tieline.validation.own_predicates import HOUR, write_predicate
from tieline.validation.preview import Broken, Candidate, PreviewVerdict, preview
from tieline.validation.trial import Effect, try_change

__all__ = [
    "BOOK_OF_DEALS",
    "Answer",
    "DealRule",
    "HOUR",
    "InvoiceRule",
    "ask_about_invoices",
    "ask_own_deal_rules",
    "ask_rules",
    "common_deal_row",
    "common_invoice_row",
    "deal_columns",
    "deal_rules",
    "invoice_columns",
    "invoice_rules",
    "CHUNK_HOURS",
    "RULE_FAILED",
    "Broken",
    "Candidate",
    "Difference",
    "EarlyVerdict",
    "Effect",
    "Explained",
    "Judged",
    "Override",
    "PreviewVerdict",
    "RuleAnswer",
    "Side",
    "Step",
    "always_held",
    "builtin_rules",
    "builtin_values",
    "check_own_deal_rules",
    "check_own_rules",
    "codes_about",
    "compare",
    "explain_verdict",
    "is_of_deals",
    "judge",
    "look_early",
    "looks_at",
    "mark_reference_change",
    "mark_rejudge",
    "next_marked",
    "own_deal_codes",
    "own_deal_rules",
    "preview",
    "try_change",
    "write_predicate",
]
