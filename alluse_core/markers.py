"""The two pluggy markers and the one entry-point group of the project.

A plugin imports ``hookimpl`` from here (or from ``alluse_core``) and nothing else of pluggy.
"""

from typing import Final

import pluggy

ENTRY_POINT_GROUP: Final = "alluse"
"""Both the pluggy project name and the entry-point group that plugins register under."""

hookspec = pluggy.HookspecMarker(ENTRY_POINT_GROUP)
hookimpl = pluggy.HookimplMarker(ENTRY_POINT_GROUP)
