"""The filter language: recursive descent, `or` under `and` under `not`, with an error that points at the place."""

from retr.retrieval.errors import BadInput
from retr.retrieval.filters.lexer import EXAMPLE, Token, tokens, wrong
from retr.retrieval.filters.like import read_pattern
from retr.retrieval.filters.literals import Literal, literal, of_one_kind, with_order
from retr.retrieval.filters.tree import (
    And,
    Between,
    Compare,
    Contains,
    Field,
    Filter,
    In,
    IsNull,
    Like,
    Not,
    Operator,
    Or,
)

MAX_DEPTH = 32
MAX_VALUES = 1000
RESERVED = frozenset({"and", "or", "not", "in", "between", "like", "ilike", "is", "null", "true", "false"})
OPERATORS: dict[str, Operator] = {"=": "=", "==": "=", "!=": "=", "<>": "=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


def parse(text: str) -> Filter:
    """The filter that the text says, or BadInput with the place and what was expected there.

    At most 8 KiB of text, 32 levels of parentheses and `not`s, and 1000 values in a list.
    """
    return _Parser(tokens(text)).whole()


class _Parser:
    def __init__(self, found: list[Token]) -> None:
        self._tokens = found
        self._next = 0
        self._depth = 0

    def whole(self) -> Filter:
        filter = self._any()
        if self._here.kind != "end":
            raise wrong(self._here, "`and`, `or` or the end")
        return filter

    @property
    def _here(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._here
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return token

    def _took(self, *keywords: str) -> bool:
        """Takes the words if all of them come next."""
        ahead = [token.keyword for token in self._tokens[self._next : self._next + len(keywords)]]
        if ahead != list(keywords):
            return False
        self._next += len(keywords)
        return True

    def _expect(self, text: str, example: str = EXAMPLE) -> None:
        if self._here.kind != "punctuation" or self._here.text != text:
            raise wrong(self._here, f"`{text}`", example)
        self._take()

    def _any(self) -> Filter:
        parts = [self._all()]
        while self._took("or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _all(self) -> Filter:
        parts = [self._unary()]
        while self._took("and"):
            parts.append(self._unary())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _unary(self) -> Filter:
        opening = self._here
        negated = self._took("not")
        if not negated and opening.text != "(":
            return self._predicate()
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise BadInput(
                f"The filter nests deeper than {MAX_DEPTH} levels of parentheses and `not` at character "
                f"{opening.start + 1}. Write it flatter, for instance with in (...)."
            )
        inner = Not(self._unary()) if negated else self._parenthesised()
        self._depth -= 1
        return inner

    def _parenthesised(self) -> Filter:
        self._expect("(")
        inner = self._any()
        self._expect(")")
        return inner

    def _predicate(self) -> Filter:
        if self._starts_a_value():
            return self._membership()
        start = self._here
        field = self._field()
        if self._took("is"):
            return self._null_test(field)
        negated = self._took("not")
        test = self._word_test(field, start, negated)
        return Not(test) if negated else test

    def _starts_a_value(self) -> bool:
        after = self._tokens[min(self._next + 1, len(self._tokens) - 1)]
        date = self._here.keyword == "date" and after.kind == "string"
        return date or self._here.kind in ("string", "number") or self._here.keyword in ("true", "false", "null")

    def _membership(self) -> Filter:
        """`value [not] in field`"""
        value = self._literal()
        negated = self._took("not", "in")
        if not negated and not self._took("in"):
            hint = "`in` and the name of a list (in a comparison the field stands on the left)"
            raise wrong(self._here, hint, "'news' in tags, or year = 2024")
        start = self._here
        field = self._field()
        if field.column is not None:
            raise wrong(start, "a field that holds a list", "'news' in tags, or title like '%news%'")
        test = Contains(field, value.value)
        return Not(test) if negated else test

    def _field(self) -> Field:
        names = [self._name(first=True)]
        while self._here.text == "." and self._here.kind == "punctuation":
            self._take()
            names.append(self._name(first=False))
        return Field(tuple(names))

    def _name(self, *, first: bool) -> str:
        token = self._here
        if token.kind not in ("word", "name") or (first and token.keyword in RESERVED):
            raise wrong(token, "a field name" if first else "a field name after the dot")
        return self._take().content

    def _null_test(self, field: Field) -> Filter:
        negated = self._took("not")
        if not self._took("null"):
            raise wrong(self._here, "`null` or `not null` after `is`", "year is not null")
        return Not(IsNull(field)) if negated else IsNull(field)

    def _word_test(self, field: Field, start: Token, negated: bool) -> Filter:
        if self._took("in"):
            return self._list(field)
        if self._took("between"):
            return self._between(field)
        for word in ("like", "ilike"):
            if self._took(word):
                return self._like(field, ignore_case=word == "ilike")
        if negated:
            raise wrong(self._here, "`in`, `between`, `like` or `ilike` after `not`", "lang not in ('en', 'de')")
        return self._comparison(field, start)

    def _comparison(self, field: Field, start: Token) -> Filter:
        sign = self._here
        if sign.kind != "op" or sign.text not in OPERATORS:
            bare = start.kind == "word" and (sign.kind == "end" or sign.keyword in ("and", "or"))
            example = f"{start.text} = true" if bare else EXAMPLE
            raise wrong(sign, "a comparison such as =, <, in, like or `is null`", example)
        self._take()
        op = OPERATORS[sign.text]
        value = self._value_of(field)
        if op != "=":
            return Compare(field, op, with_order(value))
        test = IsNull(field) if value.value is None else Compare(field, "=", value.value)
        return Not(test) if sign.text in ("!=", "<>") else test

    def _list(self, field: Field) -> Filter:
        self._expect("(", "lang in ('en', 'de')")
        values = [self._value_of(field)]
        while self._here.text == ",":
            self._take()
            values.append(self._value_of(field))
            if len(values) > MAX_VALUES:
                raise BadInput(f"The list at character {values[0].token.start + 1} has more than {MAX_VALUES} values.")
        self._expect(")", "lang in ('en', 'de')")
        given = tuple(item.value for item in values if item.value is not None)
        among = In(field, given)
        if len(given) == len(values):
            return among
        return Or((among, IsNull(field))) if given else IsNull(field)

    def _between(self, field: Field) -> Filter:
        low = self._value_of(field)
        if not self._took("and"):
            raise wrong(self._here, "`and` and the upper end", "year between 2020 and 2024")
        high = self._value_of(field)
        of_one_kind(low, high)
        return Between(field, with_order(low), with_order(high))

    def _like(self, field: Field, *, ignore_case: bool) -> Filter:
        pattern = self._string("a pattern in single quotes", "title like 'intro%'")
        escape = ""
        if self._took("escape"):
            mark = self._here
            escape = self._string("one character in single quotes", "code like '10!%' escape '!'").content
            if len(escape) != 1:
                raise wrong(mark, "one character in single quotes", "code like '10!%' escape '!'")
        try:
            read_pattern(pattern.content, escape)
        except BadInput as error:
            raise BadInput(f"The filter is wrong at character {pattern.start + 1}: {error}") from None
        return Like(field, pattern.content, escape, ignore_case)

    def _string(self, expected: str, example: str) -> Token:
        if self._here.kind != "string":
            raise wrong(self._here, expected, example)
        return self._take()

    def _value_of(self, field: Field) -> Literal:
        value = self._literal()
        if field.column is not None and not isinstance(value.value, str | None):
            raise wrong(value.token, f"text in single quotes, since {field.column} is text", f"{field.column} = '5'")
        return value

    def _literal(self) -> Literal:
        token = self._take()
        if token.keyword == "date" and self._here.kind == "string":
            return literal(self._take(), is_date=True)
        return literal(token)
