"""Pages for people, one question each, in the words of finance and never of the engine.

In: a browser with a session. Out: pages, and what a person decides handed to the rooms above.
Law: a person sees their own legal entities only; nobody approves what they proposed.
"""
