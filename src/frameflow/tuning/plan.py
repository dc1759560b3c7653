"""What every part of a search needs, and the folder that is claimed for it."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frameflow._files import write_json, write_text
from frameflow.config import Recipe, dump_recipe
from frameflow.data.manifest import Manifest
from frameflow.errors import UsageError
from frameflow.training.inner import SharedSamples, inner_folds
from frameflow.training.run import refuse_used_folder
from frameflow.tuning.objective import Metric
from frameflow.tuning.space import Space
from frameflow.tuning.ucb import UcbOptions

if TYPE_CHECKING:
    from frameflow.features.engines import EngineKind

PLAN = "plan.json"


@dataclass(frozen=True)
class Plan:
    """A search, before it is made.

    Attributes:
        folder: for all that is written.
        base: the recipe that is changed.
        space: what may be changed.
        samples: of training and validation, without folds.
        trials: of each way of searching.
        folds: of the samples.
        metric: of all scores.
        prune: whether hopeless trials are given up.
        options: of the search ``bayes``.
        engine: what runs frozen backbones.
    """

    folder: Path
    base: Recipe
    space: Space
    samples: Manifest
    trials: int
    folds: int
    metric: Metric
    prune: bool
    options: UcbOptions
    engine: "EngineKind"

    def shared(self, seed: int) -> SharedSamples:
        """The samples in folds, their stored features read once."""
        several = self.base.multilabel
        manifest = inner_folds(self.samples, self.folds, seed=seed, multilabel=several)
        return SharedSamples(manifest, self.engine)

    def wanted(self, search: str) -> int:
        """Trials of one search: a grid may have fewer points."""
        most = len(self.space.grid(self.trials)) if search == "grid" else self.trials
        return min(self.trials, most)

    def recipe(self, params: dict[str, Any]) -> Recipe:
        """The base with some values; the base itself without.

        Raises:
            UsageError: no recipe can have them.
        """
        return self.space.recipe(self.base, params) if params else self.base

    def claim(self, source: str) -> dict[str, str]:
        """Make the folder one of this search, or see that it is.

        Args:
            source: a short name of the data, for readers.

        Returns:
            What tells this search from another: a digest of each part.

        Raises:
            UsageError: the folder holds something else.
        """
        wanted = self._parts()
        path = self.folder / PLAN
        if not path.is_file():
            refuse_used_folder(self.folder)
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(path, {"source": source, **wanted})
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
            other = [key for key in wanted if held.get(key) != wanted[key]]
        except (OSError, ValueError, AttributeError) as error:
            raise UsageError(f"{path} is damaged ({error}): name a new folder.") from None
        if other:
            raise UsageError(
                f"--out {self.folder} holds a search with other {' and '.join(other)}: name a new "
                f"folder, or give the same as there."
            )
        write_text(self.folder / "recipe.yaml", dump_recipe(self.base))
        return {key: _digest(value) for key, value in wanted.items()}

    def _parts(self) -> dict[str, Any]:
        samples = [
            [str(self.samples.path(s).resolve()), s.start, s.end, s.frame, s.label, s.group]
            for s in self.samples
        ]
        return {
            "recipe": self.base.model_dump(mode="json"),
            "samples": _digest(samples),
            "params": [repr(parameter) for parameter in self.space.parameters],
            "scoring": [self.folds, self.metric],
        }


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
