"""What ``[caches.lru]`` may say."""

from __future__ import annotations

from typing import Literal

import attrs


@attrs.frozen
class LruSettings:
    """``capacity`` is in entries; ``implementation`` is what keeps their order.

    ``auto`` takes cachebox where it is installed (``alluse-cache[fast]``), else Python.
    """

    capacity: int = 15_000
    implementation: Literal["auto", "cachebox", "python"] = "auto"
