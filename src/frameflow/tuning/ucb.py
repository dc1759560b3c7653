"""A sampler on a Gaussian process whose every choice can be made: kernel, scale, noise, daring.

The next trial is where the upper confidence bound ``mean + kappa * deviation`` of what the process
expects is highest: Srinivas, Krause, Kakade and Seeger, "Gaussian process optimization in the
bandit setting: no regret and experimental design", ICML 2010, https://arxiv.org/abs/0912.3995.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from frameflow.errors import UsageError, near_names
from frameflow.tuning.space import Space

_CANDIDATES = 2048
_KERNELS = ("matern", "rbf")


@dataclass(frozen=True, slots=True)
class UcbOptions:
    """Choices of the Gaussian process.

    Attributes:
        kernel: ``matern`` (with nu 2.5) or ``rbf``.
        length_scale: how far a trial speaks for its neighbours, in shares of a range; None: fitted
            to the trials by maximum likelihood.
        noise: the variance of a score, in units of the variance of all scores; None: fitted.
        kappa: the weight of the deviation; 0 exploits only.
        start: trials spread evenly (a Sobol sequence) before the process is asked.
    """

    kernel: str = "matern"
    length_scale: float | None = None
    noise: float | None = None
    kappa: float = 2.0
    start: int = 4

    def __post_init__(self) -> None:
        if self.kernel not in _KERNELS:
            raise UsageError(
                f"kernel ({self.kernel!r}) must be one of {', '.join(_KERNELS)}."
                f"{near_names(self.kernel, _KERNELS)}"
            )
        for name in ("length_scale", "noise"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"{name} ({value}) must be > 0.")
        if self.kappa < 0 or self.start < 1:
            raise UsageError(f"kappa ({self.kappa}) must be >= 0 and start ({self.start}) >= 1.")


def read_options(text: str) -> UcbOptions:
    """``kernel=rbf,length_scale=0.2,noise=0.01,kappa=3,start=5``.

    Raises:
        UsageError: an option that is none, or a value that it cannot have.
    """
    known = {field.name for field in fields(UcbOptions)}
    values: dict[str, Any] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        name = name.replace("-", "_")
        if not equals or name not in known:
            raise UsageError(
                f"--bayes {part!r} is no option.{near_names(name, known)} "
                f"Known: {', '.join(sorted(known))}."
            )
        try:
            values[name] = (
                value if name == "kernel" else int(value) if name == "start" else float(value)
            )
        except ValueError:
            raise UsageError(f"--bayes {part!r}: {value!r} is no number.") from None
    return UcbOptions(**values)


def suggest(
    space: Space,
    trials: Sequence[tuple[Mapping[str, Any], float]],
    options: UcbOptions,
    *,
    seed: int,
    number: int,
    pending: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The next values to try; the same for the same trials, seed and number.

    Args:
        space: what may be changed.
        trials: values and their scores, higher is better; failed ones left out.
        options: of the process.
        seed: of all that is random.
        number: how many trials were begun before, by all processes.
        pending: values that others are trying now: taken to score what the process expects, so
            that two processes do not try the same.
    """
    from scipy.stats import qmc

    width = len(encode(space, decode(space, np.zeros(_width(space)))))
    sobol = qmc.Sobol(width, seed=seed)
    if number < options.start or len(trials) < 2:
        points = sobol.random(1 << max(1, number).bit_length())
        return decode(space, points[number])
    inputs = np.stack([encode(space, chosen) for chosen, _ in trials])
    scores = np.array([score for _, score in trials], dtype=float)
    spread = scores.std() or 1.0
    scores = (scores - scores.mean()) / spread
    process = fitted(inputs, scores, options, seed + number)
    if pending:
        waiting = np.stack([encode(space, chosen) for chosen in pending])
        inputs = np.concatenate([inputs, waiting])
        scores = np.concatenate([scores, process.predict(waiting)])
        process = fitted(inputs, scores, options, seed + number)
    rng = np.random.default_rng([seed, number])
    best = inputs[int(scores.argmax())]
    near = np.clip(best + rng.normal(0, 0.05, (_CANDIDATES // 4, width)), 0, 1)
    candidates = np.concatenate([rng.random((_CANDIDATES, width)), near])
    # What is tried is what the values become: whole numbers and names, not what lies between.
    candidates = np.stack([encode(space, decode(space, point)) for point in candidates])
    mean, deviation = process.predict(candidates, return_std=True)
    return decode(space, candidates[int((mean + options.kappa * deviation).argmax())])


def fitted(inputs: np.ndarray, scores: np.ndarray, options: UcbOptions, seed: int) -> Any:
    """A Gaussian process over `encode`d values and scores of mean 0 and deviation 1."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern, WhiteKernel

    scale = options.length_scale or 0.3
    bounds: Any = "fixed" if options.length_scale else (0.03, 3.0)
    shape = (
        RBF(scale, length_scale_bounds=bounds)
        if options.kernel == "rbf"
        else Matern(scale, length_scale_bounds=bounds, nu=2.5)
    )
    grain: Any = "fixed" if options.noise else (1e-4, 1.0)
    noise = WhiteKernel(options.noise or 0.05, noise_level_bounds=grain)
    kernel = ConstantKernel(1.0, (0.1, 10.0)) * shape + noise
    process = GaussianProcessRegressor(kernel, n_restarts_optimizer=2, random_state=seed)
    with warnings.catch_warnings():  # a scale at its bound is as good as any
        warnings.simplefilter("ignore", ConvergenceWarning)
        return process.fit(inputs, scores)


def _width(space: Space) -> int:
    return sum(1 if p.ranged else len(p.values) for p in space.parameters)


def encode(space: Space, chosen: Mapping[str, Any]) -> np.ndarray:
    """``(width,)`` from 0 to 1: a share of each range, and for a list one number a value.

    A value of no account (`Space.applying`) is the middle: all such trials are one.
    """
    parts: list[float] = []
    there = space.applying(chosen)
    for parameter in space.parameters:
        value = there.get(parameter.key)
        if value is None:
            parts += (
                [0.5] if parameter.ranged else [1 / len(parameter.values)] * len(parameter.values)
            )
        elif parameter.ranged:
            parts.append(min(max(parameter.share(float(value)), 0.0), 1.0))
        else:
            parts += [float(value == other) for other in parameter.values]
    return np.array(parts)


def decode(space: Space, point: np.ndarray) -> dict[str, Any]:
    """Values at a point; of a list the one with the greatest number."""
    found: dict[str, Any] = {}
    at = 0
    for parameter in space.parameters:
        if parameter.ranged:
            found[parameter.key] = parameter.at(float(point[at]))
            at += 1
        else:
            own = point[at : at + len(parameter.values)]
            found[parameter.key] = parameter.values[int(own.argmax())]
            at += len(own)
    return found
