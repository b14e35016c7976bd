"""What forms and addresses may hold: short plain text, small numbers, known words."""

from __future__ import annotations

from typing import Annotated

from fastapi import Form, Query
from pydantic import AfterValidator

WORD_MAX = 200
REASON_MAX = 1000
PASSWORD_MAX = 1024
PAGE_MAX = 10_000
_ALLOWED_CONTROLS = "\n\r\t"


def plain(text: str) -> str:
    """Return text without control characters.

    :raises ValueError: it holds one, such as NUL.
    """
    if any((ord(letter) < 32 and letter not in _ALLOWED_CONTROLS) for letter in text):
        raise ValueError("a text holds no control characters")
    return text.strip()


def _given(text: str) -> str:
    if not text:
        raise ValueError("say why, in a few words")
    return text


FormWord = Annotated[str, Form(max_length=WORD_MAX), AfterValidator(plain)]
FormReason = Annotated[
    str, Form(max_length=REASON_MAX), AfterValidator(plain), AfterValidator(_given)
]
FormText = Annotated[str, Form(max_length=REASON_MAX), AfterValidator(plain)]
FormDigest = Annotated[str, Form(pattern="^[0-9a-f]{64}$")]
FormPassword = Annotated[str, Form(max_length=PASSWORD_MAX)]
QueryWord = Annotated[str, Query(max_length=WORD_MAX), AfterValidator(plain)]
QueryPage = Annotated[int, Query(ge=1, le=PAGE_MAX)]
