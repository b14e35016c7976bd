"""Connect a mail server, say who is reached, and see what people were told."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.mail_sink import MailSink, serving

from .conftest import Run

_FILE = """\
connection_key = "post"
system = "mail"
base_url = "smtp://{place}"
from = "tieline@example.com"
mode = "act"
"""


class TestMessages:
    def test_are_brought_where_people_say_they_are_reached(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TIELINE_SECRET_POST_PASSWORD", "none is asked for")
        path = tmp_path / "post.toml"
        days = ("--from", "2026-11-02", "--to", "2026-11-07")
        with serving(MailSink()) as sink:
            path.write_text(_FILE.format(place=sink.place), encoding="utf-8")
            connected = [
                run("connect", "mail", "--file", str(path), "--json").json for _ in range(2)
            ]
        path.write_text(_FILE.format(place=sink.place).replace("smtp:", "http:"), encoding="utf-8")

        assert [each["mode"] for each in connected] == ["observe", "act"]
        assert "begins with smtps://" in run("connect", "mail", "--file", str(path)).err
        for words in (
            ("reach", "Finance", "--channel", "post", "--address", "fin@example.com"),
            ("reach", "queue:delivery", "--channel", "post", "--address", "team@example.com"),
            ("reach", "queue:hr", "--channel", "post", "--address", "hr@example.com"),
            ("reach", "queue:hr", "--channel", "post", "--remove"),
            ("reach", "staff:all", "--channel", "post"),
            ("deputy", "finance", "controller", *days),
            ("on-call", "integration", "finance", *days),
            ("on-call", "hr", "finance", *days),
            ("on-call", "hr", "finance", *days, "--remove"),
        ):
            assert run("people", *words, "--json").code == 0
        found = run("people", "reached", "--json").json
        assert [each["recipient"] for each in found["reached"]] == [
            "person:finance",
            "queue:delivery",
            "staff:all",
        ]
        assert [(each["owner"], each["login"]) for each in found["stand_ins"]] == [
            ("person:finance", "controller"),
            ("queue:integration", "finance"),
        ]
        assert run("messages", "--json").json == {"messages": []}
        assert run("messages", "--send-again").code == 0
        for wrong, told in (
            (("reach", "nobody", "--channel", "post"), "nobody has the login nobody"),
            (("reach", "finance", "--channel", "harvest"), "is no channel"),
            (("reach", "finance", "--channel", "post", "--address", "a b"), "one word"),
            (("deputy", "finance", "finance", *days), "themselves"),
            (("deputy", "finance", "controller", *days), "somebody acts"),
            (("on-call", "hr", "finance", *days[:3], "2026-11-02"), "holds no day"),
            (("deputy", "controller", "finance", *days, "--remove"), "does not stand"),
        ):
            refused = run("people", *wrong)
            assert (refused.code, told in refused.err) == (2, True), refused.err
