"""What people write beside their hours, in the language of their office."""

from __future__ import annotations

import random

_DE_VERBS = (
    "Abstimmung zu",
    "Ausarbeitung",
    "Überarbeitung",
    "Test und Korrektur",
    "Dokumentation",
    "Workshop zu",
    "Analyse",
    "Review",
)
_EN_VERBS = (
    "Workshop on",
    "Drafting",
    "Reworking",
    "Testing and fixing",
    "Documenting",
    "Call about",
    "Analysis of",
    "Review of",
)
_DE_THINGS = {
    "Discovery": (
        "Datenquellen der Netzleitstelle",
        "Lastprofilen",
        "Anforderungen Netzplanung",
        "Zielbild Messdaten",
        "Stakeholder-Interviews",
    ),
    "Data platform": (
        "Ladestrecke Zählerdaten",
        "Datenmodell Netzknoten",
        "Schnittstelle SCADA",
        "Qualitätsregeln Messwerte",
        "Berechtigungskonzept",
    ),
    "Claims model": (
        "Merkmalen Kfz-Schaden",
        "Prüfregeln Regress",
        "Modellvergleich Dunkelverarbeitung",
        "Schwellwerten Betrugsverdacht",
        "Fachkonzept Schadenakte",
    ),
    "Rollout": (
        "Schulungsunterlagen Sachbearbeitung",
        "Pilotgruppe Regensburg",
        "Rückmeldungen aus dem Piloten",
        "Einführungsplan",
        "Hotline-Leitfaden",
    ),
    "Process design": (
        "Probenannahme",
        "Chargenfreigabe",
        "Rollen im Labor",
        "Prüfplänen Stabilität",
        "Sollprozess Rückstellmuster",
    ),
    "Integration": (
        "Schnittstelle LIMS zu SAP",
        "Gerätetreibern HPLC",
        "Fehlerbehandlung Nachrichten",
        "Migrationsskripten Stammdaten",
        "Audit-Trail",
    ),
    "Data strategy": (
        "Datenlandkarte der Häuser",
        "Reifegradmodell",
        "Anwendungsfällen Notaufnahme",
        "Governance-Gremien",
        "Roadmap für den Vorstand",
    ),
    "Route engine": (
        "Tourenoptimierung Hafenverkehre",
        "Restriktionen Lenkzeiten",
        "Import der Frachtaufträge",
        "Laufzeit des Lösers",
        "Kartendaten Elbbrücken",
    ),
    "Network analysis": (
        "Standortvarianten",
        "Sendungsstrukturen",
        "Kostenmodell Umschlag",
        "Szenarien Nachtverkehr",
        "Knotenauslastung",
    ),
    "Load model": (
        "Lastgängen der Umspannwerke",
        "Wetterdaten im Modell",
        "Prognosefehlern je Netzgebiet",
        "Ersatzwerten fehlender Zähler",
        "Modellvergleich Feiertage",
    ),
    "Planning model": (
        "Rollenplanung Papiermaschine 3",
        "Rüstzeiten",
        "Auftragsreihenfolge",
        "Lagerreichweiten",
        "Schichtmodell",
    ),
    "Migration": (
        "Artikelstamm im Portal",
        "Weiterleitungen alter Adressen",
        "Suchindex",
        "Kundenkonten",
        "Preislisten je Land",
    ),
}
_DE_GENERAL = (
    "Projektplan",
    "Statusbericht",
    "Risikoliste",
    "Lenkungsausschuss",
    "Ressourcenplanung",
)
_EN_THINGS = {
    "Pricing model": (
        "the motor book's risk factors",
        "lapse rates by channel",
        "the GLM against last year's tariff",
        "postcode banding",
        "assumptions with underwriting",
    ),
    "Stock forecast": (
        "weekly demand by store",
        "promotion uplift",
        "safety stock rules",
        "slow movers in homeware",
        "forecast error by region",
    ),
    "Data feeds": (
        "the till export",
        "supplier lead times",
        "the nightly stock feed",
        "duplicate product codes",
        "late files from the depot",
    ),
    "Route engine": (
        "the solver's run time",
        "driver hours constraints",
        "the freight order import",
        "depot time windows",
        "regression cases for Hamburg",
    ),
    "Underwriting model": (
        "hail claims by county",
        "the reinsurance layers",
        "flood zones in the new tariff",
        "the roof age factor",
        "referral rules with underwriters",
    ),
    "Assay data": (
        "plate readings from the second lab",
        "the sample register",
        "units in the older runs",
        "control charts",
        "the audit export",
    ),
}
_EN_GENERAL = (
    "the project plan",
    "the status report",
    "the risk log",
    "the steering committee",
    "next month's staffing",
)


def narratives(*, country_code: str, task: str, dice: random.Random, count: int) -> list[str]:
    """Return so many different narratives for a task."""
    if country_code == "DE":
        verbs, things = _DE_VERBS, _DE_THINGS.get(task, _DE_GENERAL)
    else:
        verbs, things = _EN_VERBS, _EN_THINGS.get(task, _EN_GENERAL)
    every = [f"{verb} {thing}" for verb in verbs for thing in things]
    return dice.sample(every, count)
