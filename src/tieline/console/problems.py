"""What a page answers when something cannot be done: a status and a sentence."""

from __future__ import annotations


class PageProblem(Exception):
    """Carry a status and the sentence a person reads."""

    def __init__(self, *, status: int, title: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.title = title
        self.sentence = sentence


class LoginNeeded(Exception):
    """Nobody is logged in; ``back_to`` is where they wanted to go."""

    def __init__(self, *, back_to: str) -> None:
        super().__init__("log in first")
        self.back_to = back_to


def not_found(sentence: str) -> PageProblem:
    """Return the problem of a thing that is not there, or not in sight."""
    return PageProblem(status=404, title="Not found", sentence=sentence)


def not_allowed(sentence: str) -> PageProblem:
    """Return the problem of a person without the right."""
    return PageProblem(status=403, title="Not allowed", sentence=sentence)
