"""Settings are read once and refused in a sentence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tieline.kernel.errors import UserMistake
from tieline.runtime.clock import BusinessClock, LatestClock, open_clock
from tieline.settings import read_settings


class TestSettings:
    def test_follow_the_environment(self, tmp_path: Path) -> None:
        settings = read_settings(
            environment={
                "TIELINE_HOME": str(tmp_path),
                "TIELINE_BUSINESS_NOW": "2026-03-03T08:00:00+01:00",
            }
        )

        assert settings.home == tmp_path
        assert settings.business_now == datetime(2026, 3, 3, 7, tzinfo=UTC)
        assert settings.dsn is None
        assert settings.listen == ("127.0.0.1", 0)
        listening = read_settings(environment={"TIELINE_LISTEN": "0.0.0.0:8080"})
        assert listening.listen == ("0.0.0.0", 8080)

    @pytest.mark.parametrize(
        ("name", "value", "word"),
        [
            ("TIELINE_BUSINESS_NOW", "tomorrow", "ISO 8601"),
            ("TIELINE_BUSINESS_NOW", "2026-03-03T08:00:00", "zone"),
            ("TIELINE_LOG_LEVEL", "loud", "one of"),
            ("TIELINE_DIGEST_HOUR", "24", "no hour"),
            ("TIELINE_EARLY_DAYS", "tue,thursday", "no list of days"),
            ("TIELINE_LISTEN", "8080", "no address"),
            ("TIELINE_LISTEN", "0.0.0.0:70000", "no address"),
            ("TIELINE_LISTEN", "localhost:8080", "no address"),
        ],
    )
    def test_are_refused_in_a_sentence(self, name: str, value: str, word: str) -> None:
        with pytest.raises(UserMistake, match=word):
            read_settings(environment={name: value})

    @pytest.mark.parametrize(("value", "days"), [("", {3}), ("Mon, fri", {0, 4}), ("never", set())])
    def test_name_the_days_of_the_early_look(self, value: str, days: set[int]) -> None:
        assert read_settings(environment={"TIELINE_EARLY_DAYS": value}).early_days == days

    def test_prepare_private_and_open_folders(self, tmp_path: Path) -> None:
        settings = read_settings(environment={"TIELINE_HOME": str(tmp_path / "home")})
        settings.prepare_folders()

        assert settings.secrets_directory.stat().st_mode & 0o777 == 0o700
        assert settings.run_directory.is_dir()


class TestBusinessClock:
    def test_is_shared_by_all_processes_of_a_home(self, tmp_path: Path) -> None:
        settings = read_settings(
            environment={
                "TIELINE_HOME": str(tmp_path),
                "TIELINE_BUSINESS_NOW": "2026-03-03T08:00:00Z",
            }
        )
        settings.prepare_folders()

        first = open_clock(settings=settings)
        second = open_clock(settings=settings)

        assert first == second
        assert settings.business_now is not None
        passed = first.now() - settings.business_now
        assert timedelta(0) <= passed < timedelta(minutes=1)

    @pytest.mark.parametrize("days", [-40, 40])
    def test_vouches_for_what_is_past_by_it_or_by_real_time(self, days: int) -> None:
        real = BusinessClock()
        business = BusinessClock(anchor=real.now() + timedelta(days=days), started_at=real.now())

        latest = LatestClock(business=business).now()

        assert latest >= max(business.anchor or latest, real.now() - timedelta(minutes=1))
