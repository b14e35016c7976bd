"""Scenes and fakes that several tests share."""
