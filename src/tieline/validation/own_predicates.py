"""Predicates that a firm writes itself: read by a parser, checked by type, and written anew.

What reaches the database is never the text that somebody typed: it is put together here from the few things
that this file knows. Numbers are exact and cannot overflow, and a division by zero is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import Enum
from functools import cache
from uuid import UUID

from sqlglot import exp

from tieline.kernel.errors import UserMistake
from tieline.validation.book_of_deals import SCOPES, deal_columns
from tieline.validation.columns import documented_columns
from tieline.validation.predicates import DEPTH_MAX, NUMBER, parse_predicate, shorten

TEXT_MAX = 1000
_NODES_MAX = 120
_LIST_MAX = 50
_WORD_MAX = 100
_PATTERN_MAX = 60
_WILDCARDS_MAX = 2
_PLACES_MAX = 6
_DAYS_MAX = 4000
HOUR = "hour"
"""What a rule of a firm looks at, unless it says that it looks at a won deal, its lines or its people."""
SUBJECTS = (HOUR, *SCOPES)
# What stands in a target is the answer of earlier verdicts: a rule about it would judge itself.
_REFUSED_AREAS = frozenset({"What stands already"})
_DATE_PARTS = frozenset(
    {"dow", "isodow", "day", "week", "month", "quarter", "year", "doy", "isoyear"}
)


class Kind(Enum):
    """What sort of value an expression has."""

    NUMBER = "a number"
    TEXT = "a text"
    BOOLEAN = "true or false"
    DATE = "a date"
    INSTANT = "an instant"
    ID = "an id"
    NOTHING = "null"


_KINDS: Mapping[str, Kind] = {
    "integer": Kind.NUMBER,
    "bigint": Kind.NUMBER,
    "numeric": Kind.NUMBER,
    "text": Kind.TEXT,
    "boolean": Kind.BOOLEAN,
    "date": Kind.DATE,
    "timestamp with time zone": Kind.INSTANT,
    "uuid": Kind.ID,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """An expression as it is sent to the database, and the sort of its value."""

    text: str
    kind: Kind
    # A literal text may still become a date or an id, beside one.
    word: str | None = None


@cache
def write_predicate(text: str, *, of: str = HOUR) -> str:
    """Return a firm's predicate of hours, or of deals, their lines or people, as the database is asked it.

    :raises UserMistake: it cannot be read, costs too much, or uses what is not on the list.
    """
    writer = _Writer(text, columns=columns_of_firms(of))
    said = writer.say(_parse(text), depth=0)
    if said.kind is not Kind.BOOLEAN:
        raise writer.mistake(f"is {said.kind.value}; a predicate is true or false")
    return said.text


@cache
def columns_of_firms(of: str = HOUR) -> Mapping[str, Kind]:
    """Return the columns that a firm's rule may read, with the sort of their values."""
    if of != HOUR:
        columns = deal_columns(of)
        return {name: _KINDS[kind] for name, (kind, _) in columns.items() if kind in _KINDS}
    return {
        column.name: _KINDS[column.type]
        for column in documented_columns()
        if column.type in _KINDS and column.area not in _REFUSED_AREAS
    }


def _parse(text: str) -> exp.Expression:
    tree = parse_predicate(text, length_max=TEXT_MAX)
    if sum(1 for _ in tree.walk()) > _NODES_MAX:
        raise UserMistake(f"the predicate {shorten(text)} has more than {_NODES_MAX} parts")
    return tree


class _Writer:
    """Write one tree, from the leaves up; whatever it does not know, it refuses."""

    def __init__(self, text: str, *, columns: Mapping[str, Kind]) -> None:
        self._text = text
        self._columns = columns

    def mistake(self, what: str) -> UserMistake:
        return UserMistake(f"the predicate {shorten(self._text)} {what}")

    def say(self, node: exp.Expression, *, depth: int) -> _Said:
        known = _KNOWN.get(type(node))
        if known is None:
            name = getattr(node, "name", "") if isinstance(node, exp.Anonymous) else ""
            raise self.mistake(f"uses {name or type(node).key}, which is not allowed")
        if depth > DEPTH_MAX:
            raise self.mistake(f"is nested deeper than {DEPTH_MAX}")
        given = {name for name, value in node.args.items() if value not in (None, False, [])}
        if given - known.parts:
            beyond = ", ".join(sorted(given - known.parts))
            raise self.mistake(f"uses {beyond} with {type(node).key}, which is not allowed")
        said = known.write(self, node, depth + 1)
        if node.args.get("negate"):
            return _Said(text=f"(NOT {said.text})", kind=Kind.BOOLEAN)
        return said

    # -- leaves ----------------------------------------------------------------------------------

    def column(self, node: exp.Expression, depth: int) -> _Said:
        inner = node.this
        if not isinstance(inner, exp.Identifier) or inner.args.get("quoted"):
            raise self.mistake("names a column in a way that is not allowed")
        kind = self._columns.get(inner.name)
        if kind is None:
            raise self.mistake(f"reads {inner.name}, which is no column for a rule of a firm")
        return _Said(text=inner.name, kind=kind)

    def literal(self, node: exp.Expression, depth: int) -> _Said:
        value = str(node.this)
        if node.args.get("is_string"):
            if len(value) > _WORD_MAX:
                raise self.mistake(f"has a text of more than {_WORD_MAX} characters")
            return _Said(text=_quoted(value), kind=Kind.TEXT, word=value)
        if not NUMBER.fullmatch(value):
            raise self.mistake("has a number that is no plain one of at most 15 digits")
        return _Said(text=value, kind=Kind.NUMBER)

    def boolean(self, node: exp.Expression, depth: int) -> _Said:
        return _Said(text="true" if node.this else "false", kind=Kind.BOOLEAN)

    def null(self, node: exp.Expression, depth: int) -> _Said:
        return _Said(text="NULL", kind=Kind.NOTHING)

    def day(self, node: exp.Expression, depth: int) -> _Said:
        inner, to = node.this, node.args["to"]
        if not (isinstance(inner, exp.Literal) and inner.is_string and to.is_type("date")):
            raise self.mistake("casts; only date 'YYYY-MM-DD' is allowed")
        return self._as(_Said(text="", kind=Kind.TEXT, word=str(inner.this)), Kind.DATE)

    # -- truth -----------------------------------------------------------------------------------

    def both(self, node: exp.Expression, depth: int) -> _Said:
        # Many terms in a row are a deep tree to the parser, and one list to a person.
        terms = [self._one(term, Kind.BOOLEAN, depth) for term in _terms(node)]
        word = " AND " if isinstance(node, exp.And) else " OR "
        return _Said(text=f"({word.join(terms)})", kind=Kind.BOOLEAN)

    def negation(self, node: exp.Expression, depth: int) -> _Said:
        return _Said(text=f"(NOT {self._one(node.this, Kind.BOOLEAN, depth)})", kind=Kind.BOOLEAN)

    def bracket(self, node: exp.Expression, depth: int) -> _Said:
        return self.say(node.this, depth=depth)

    def comparison(self, node: exp.Expression, depth: int) -> _Said:
        left, right = self._pair(node.this, node.expression, depth)
        if Kind.NOTHING in (left.kind, right.kind):
            raise self.mistake("compares with null, which is never true: write IS NULL")
        return _Said(text=f"({left.text} {_SIGNS[type(node)]} {right.text})", kind=Kind.BOOLEAN)

    def is_what(self, node: exp.Expression, depth: int) -> _Said:
        what = node.expression
        said = self.say(node.this, depth=depth)
        if isinstance(what, exp.Null):
            return _Said(text=f"({said.text} IS NULL)", kind=Kind.BOOLEAN)
        if not isinstance(what, exp.Boolean) or said.kind is not Kind.BOOLEAN:
            raise self.mistake("asks IS of something else than null, true or false")
        word = "TRUE" if what.this else "FALSE"
        return _Said(text=f"({said.text} IS {word})", kind=Kind.BOOLEAN)

    def among(self, node: exp.Expression, depth: int) -> _Said:
        found = node.expressions
        if not found or len(found) > _LIST_MAX:
            raise self.mistake(f"has a list of none or more than {_LIST_MAX}")
        said = self.say(node.this, depth=depth)
        choices = []
        for choice in found:
            if not isinstance(choice, (exp.Literal, exp.Neg, exp.Cast)):
                raise self.mistake("has a list of something else than plain values")
            choices.append(self._as(self.say(choice, depth=depth), said.kind).text)
        return _Said(text=f"({said.text} IN ({', '.join(choices)}))", kind=Kind.BOOLEAN)

    def between(self, node: exp.Expression, depth: int) -> _Said:
        said = self.say(node.this, depth=depth)
        if said.kind in (Kind.BOOLEAN, Kind.NOTHING) or said.word is not None:
            raise self.mistake("asks BETWEEN of something else than a value")
        low = self._as(self.say(node.args["low"], depth=depth), said.kind)
        high = self._as(self.say(node.args["high"], depth=depth), said.kind)
        return _Said(text=f"({said.text} BETWEEN {low.text} AND {high.text})", kind=Kind.BOOLEAN)

    def like(self, node: exp.Expression, depth: int) -> _Said:
        said = self._one(node.this, Kind.TEXT, depth)
        pattern = node.expression
        if not (isinstance(pattern, exp.Literal) and pattern.is_string):
            raise self.mistake("compares with a pattern that is no plain text")
        written = str(pattern.this)
        if not written or written[0] in "%_":
            raise self.mistake("has a pattern that begins with a wildcard")
        if len(written) > _PATTERN_MAX or sum(written.count(m) for m in "%_") > _WILDCARDS_MAX:
            raise self.mistake(
                f"has a pattern of more than {_PATTERN_MAX} characters or {_WILDCARDS_MAX} wildcards"
            )
        return _Said(text=f"({said} LIKE {_quoted(written)})", kind=Kind.BOOLEAN)

    # -- values ----------------------------------------------------------------------------------

    def sum(self, node: exp.Expression, depth: int) -> _Said:
        left, right = self.say(node.this, depth=depth), self.say(node.expression, depth=depth)
        is_minus = isinstance(node, exp.Sub)
        if is_minus and (left.kind, right.kind) == (Kind.INSTANT, Kind.INSTANT):
            return _number(f"extract(epoch FROM {left.text} - {right.text})")
        if is_minus and (left.kind, right.kind) == (Kind.DATE, Kind.DATE):
            return _number(f"({left.text} - {right.text})")
        if left.kind is Kind.DATE:
            return self._moved(left, node.expression, "-" if is_minus else "+")
        return self.product(node, depth)

    def product(self, node: exp.Expression, depth: int) -> _Said:
        left = self._one(node.this, Kind.NUMBER, depth)
        right = self._one(node.expression, Kind.NUMBER, depth)
        return _number(f"({left}::numeric {_SIGNS[type(node)]} {right}::numeric)")

    def quotient(self, node: exp.Expression, depth: int) -> _Said:
        left = self._one(node.this, Kind.NUMBER, depth)
        right = self._one(node.expression, Kind.NUMBER, depth)
        return _number(
            f"({left}::numeric {_SIGNS[type(node)]} nullif({right}::numeric, 0::numeric))"
        )

    def minus(self, node: exp.Expression, depth: int) -> _Said:
        return _number(f"(- {self._one(node.this, Kind.NUMBER, depth)}::numeric)")

    def rounded(self, node: exp.Expression, depth: int) -> _Said:
        said = self._one(node.this, Kind.NUMBER, depth)
        places = node.args.get("decimals")
        if places is None:
            return _number(f"round({said}::numeric)")
        written = str(places.this) if isinstance(places, exp.Literal) else ""
        if not written.isdecimal() or int(written) > _PLACES_MAX:
            raise self.mistake(f"rounds to something else than 0 to {_PLACES_MAX} places")
        return _number(f"round({said}::numeric, {int(written)})")

    def of_number(self, node: exp.Expression, depth: int) -> _Said:
        return _number(f"{_SIGNS[type(node)]}({self._one(node.this, Kind.NUMBER, depth)}::numeric)")

    def of_text(self, node: exp.Expression, depth: int) -> _Said:
        said = self._one(node.this, Kind.TEXT, depth)
        return _Said(text=f"{_SIGNS[type(node)]}({said})", kind=Kind.TEXT)

    def length(self, node: exp.Expression, depth: int) -> _Said:
        return _number(f"length({self._one(node.this, Kind.TEXT, depth)})")

    def one_of(self, node: exp.Expression, depth: int) -> _Said:
        parts = [self.say(part, depth=depth) for part in (node.this, *node.expressions)]
        kind = next(
            (part.kind for part in parts if part.kind is not Kind.NOTHING and part.word is None),
            Kind.TEXT,
        )
        if kind is Kind.BOOLEAN and not isinstance(node, exp.Coalesce):
            raise self.mistake(f"asks {_SIGNS[type(node)].lower()} of true or false")
        texts = [self._as(part, kind).text for part in parts]
        if kind is Kind.NUMBER:
            texts = [f"{text}::numeric" for text in texts]
        return _Said(text=f"{_SIGNS[type(node)]}({', '.join(texts)})", kind=kind)

    def unless(self, node: exp.Expression, depth: int) -> _Said:
        left, right = self._pair(node.this, node.expression, depth)
        return _Said(text=f"nullif({left.text}, {right.text})", kind=left.kind)

    def date_part(self, node: exp.Expression, depth: int) -> _Said:
        part = str(node.this.name).lower()
        if part not in _DATE_PARTS:
            raise self.mistake(f"extracts {part}; allowed are {', '.join(sorted(_DATE_PARTS))}")
        said = self._one(node.expression, Kind.DATE, depth)
        return _number(f"extract({part} FROM {said})")

    # -- sorts -----------------------------------------------------------------------------------

    def _one(self, node: exp.Expression, kind: Kind, depth: int) -> str:
        return self._as(self.say(node, depth=depth), kind).text

    def _pair(self, left: exp.Expression, right: exp.Expression, depth: int) -> tuple[_Said, _Said]:
        first, second = self.say(left, depth=depth), self.say(right, depth=depth)
        if first.word is not None and second.word is None:
            return self._as(first, second.kind), second
        return first, self._as(second, first.kind)

    def _as(self, said: _Said, kind: Kind) -> _Said:
        if said.kind is kind or said.kind is Kind.NOTHING or kind is Kind.NOTHING:
            return said
        if said.word is not None and kind is Kind.DATE:
            return _Said(text=f"date {_quoted(self._day(said.word))}", kind=kind)
        if said.word is not None and kind is Kind.ID:
            return _Said(text=f"{_quoted(self._id(said.word))}::uuid", kind=kind)
        raise self.mistake(f"has {said.kind.value} where {kind.value} is needed")

    def _moved(self, left: _Said, by: exp.Expression, sign: str) -> _Said:
        days = str(by.this) if isinstance(by, exp.Literal) and not by.is_string else ""
        if not days.isdecimal() or int(days) > _DAYS_MAX:
            raise self.mistake(f"moves a date by something else than 0 to {_DAYS_MAX} days")
        return _Said(text=f"({left.text} {sign} {int(days)})", kind=Kind.DATE)

    def _day(self, word: str) -> str:
        try:
            return date.fromisoformat(word).isoformat()
        except ValueError:
            raise self.mistake(f"has {word!r} where a date is needed: YYYY-MM-DD") from None

    def _id(self, word: str) -> str:
        try:
            return str(UUID(word))
        except ValueError:
            raise self.mistake(f"has {word!r} where an id is needed") from None


def _terms(node: exp.Expression) -> list[exp.Expression]:
    return [term for term in node.flatten() if isinstance(term, exp.Expression)]


def _number(text: str) -> _Said:
    return _Said(text=text, kind=Kind.NUMBER)


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "''") + "'"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What may stand in a predicate: which parts of it may be given, and who writes it."""

    parts: frozenset[str]
    write: Callable[[_Writer, exp.Expression, int], _Said]


def _known(write: Callable[[_Writer, exp.Expression, int], _Said], *parts: str) -> _Known:
    return _Known(parts=frozenset(parts), write=write)


_TWO = ("this", "expression")
_KNOWN: Mapping[type[exp.Expression], _Known] = {
    exp.Column: _known(_Writer.column, "this"),
    exp.Literal: _known(_Writer.literal, "this", "is_string"),
    exp.Boolean: _known(_Writer.boolean, "this"),
    exp.Null: _known(_Writer.null),
    exp.Cast: _known(_Writer.day, "this", "to"),
    exp.And: _known(_Writer.both, *_TWO),
    exp.Or: _known(_Writer.both, *_TWO),
    exp.Not: _known(_Writer.negation, "this"),
    exp.Paren: _known(_Writer.bracket, "this"),
    **dict.fromkeys(
        (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ),
        _known(_Writer.comparison, *_TWO),
    ),
    exp.Is: _known(_Writer.is_what, "negate", *_TWO),
    exp.In: _known(_Writer.among, "this", "expressions", "negate"),
    exp.Between: _known(_Writer.between, "this", "low", "high", "negate"),
    exp.Like: _known(_Writer.like, "negate", *_TWO),
    exp.Add: _known(_Writer.sum, *_TWO),
    exp.Sub: _known(_Writer.sum, *_TWO),
    exp.Mul: _known(_Writer.product, *_TWO),
    exp.Div: _known(_Writer.quotient, "typed", "safe", *_TWO),
    exp.Mod: _known(_Writer.quotient, *_TWO),
    exp.Neg: _known(_Writer.minus, "this"),
    exp.Round: _known(_Writer.rounded, "this", "decimals"),
    exp.Abs: _known(_Writer.of_number, "this"),
    exp.Floor: _known(_Writer.of_number, "this"),
    exp.Ceil: _known(_Writer.of_number, "this"),
    exp.Lower: _known(_Writer.of_text, "this"),
    exp.Upper: _known(_Writer.of_text, "this"),
    exp.Trim: _known(_Writer.of_text, "this"),
    exp.Length: _known(_Writer.length, "this"),
    exp.Coalesce: _known(_Writer.one_of, "this", "expressions"),
    exp.Greatest: _known(_Writer.one_of, "this", "expressions", "ignore_nulls"),
    exp.Least: _known(_Writer.one_of, "this", "expressions", "ignore_nulls"),
    exp.Nullif: _known(_Writer.unless, *_TWO),
    exp.Extract: _known(_Writer.date_part, *_TWO),
}
_SIGNS: Mapping[type[exp.Expression], str] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.NullSafeEQ: "IS NOT DISTINCT FROM",
    exp.NullSafeNEQ: "IS DISTINCT FROM",
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
    exp.Mod: "%",
    exp.Abs: "abs",
    exp.Floor: "floor",
    exp.Ceil: "ceil",
    exp.Lower: "lower",
    exp.Upper: "upper",
    exp.Trim: "btrim",
    exp.Coalesce: "coalesce",
    exp.Greatest: "greatest",
    exp.Least: "least",
}
