"""Kinds of documents: each draws itself on a page and tells what it says."""

from training.layouts.papers import FORMS
from training.layouts.tables import TABLES
from training.layouts.unseen import UNSEEN
from training.layouts.windows import WINDOWS

SEEN = FORMS | TABLES | WINDOWS

__all__ = ["SEEN", "UNSEEN"]
