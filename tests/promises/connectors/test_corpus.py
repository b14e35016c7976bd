"""What a source wrote means the same to the next release, unless its translator says that it does not."""

from __future__ import annotations

import pytest

from tests.promises.connectors import corpus
from tests.promises.connectors.test_promises import PACKAGES
from tieline.sdk.promises import load_subject


@pytest.mark.parametrize("system", corpus.SYSTEMS)
class TestARecordedCorpus:
    def test_is_read_as_its_translator_read_it(self, system: str) -> None:
        recorded = corpus.read(system)
        subject = load_subject(f"tieline.connectors.{system}")
        connector = subject.build(base_url="http://127.0.0.1:1")

        changes = [
            (each["body"], each["means"], now)
            for each in recorded["records"]
            if (now := corpus.meaning(connector, each["object"], each["body"])) != each["means"]
        ]

        assert (subject.manifest.translator, changes) == (recorded["translator"], [])

    def test_holds_hours_of_every_material_field_and_records_that_are_none(
        self, system: str
    ) -> None:
        means = [each["means"] for each in corpus.read(system)["records"]]
        hours = [each for each in means if "not_understood" not in each]

        assert len(hours) < len(means)
        told = {name for name in hours[0] if len({str(each[name]) for each in hours}) > 1}
        assert {"work_date", "seconds", "person_ref", "narrative"} <= told


def test_every_connector_of_hours_has_a_corpus() -> None:
    manifests = [load_subject(package).manifest for package in PACKAGES]

    assert set(corpus.SYSTEMS) == {
        manifest.system
        for manifest in manifests
        if any(stream.noun == "time_entry" for stream in manifest.streams)
    }
