"""What children of the tests have imported when they begin, see ``start_child`` in conftest.py."""

import frameflow.features.extract
import frameflow.training.pipeline  # noqa: F401
from frameflow.models.weights import import_timm

import_timm()
