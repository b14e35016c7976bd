"""A fake that outlives the processes that call it: it lives in a file, one call at a time."""

from __future__ import annotations

import fcntl
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Outliving:
    """Pass every call on to the fake in the file; what the call did is there before it returns."""

    path: Path

    def put(self, fake: Any) -> Outliving:
        """Keep a fake here."""
        self.path.write_bytes(pickle.dumps(fake))
        return self

    @contextmanager
    def changed(self) -> Iterator[Any]:
        """Lend the fake itself, and keep what became of it even when the block fails."""
        with self.path.with_suffix(".lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            fake = pickle.loads(self.path.read_bytes())
            try:
                yield fake
            finally:
                # Whoever calls may die in another thread meanwhile: it is kept whole or as it was.
                draft = self.path.with_suffix(".draft")
                draft.write_bytes(pickle.dumps(fake))
                draft.replace(self.path)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        # What the fake cannot do, whoever stands for it cannot either: callers look for what a system offers.
        if name.startswith("__") or not hasattr(pickle.loads(self.path.read_bytes()), name):
            raise AttributeError(name)

        def call(**arguments: Any) -> Any:
            with self.changed() as fake:
                return getattr(fake, name)(**arguments)

        return call
