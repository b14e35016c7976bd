"""Pages for people, one question each, in the words of finance and never of the engine.

In: a browser with a session. Out: pages, and what a person decides handed to the rooms above.
Law: a person sees their own legal entities only; nobody approves what they proposed.
"""

from tieline.console.application import create_web
from tieline.console.assets import Assets, build_assets
from tieline.console.serving import serve

__all__ = ["Assets", "build_assets", "create_web", "serve"]
