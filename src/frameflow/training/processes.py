"""Starting a training in several processes of this machine."""

import logging
import os
import signal
import sys
from collections.abc import Sequence

from frameflow.errors import FrameFlowError
from frameflow.features.engines import cores

log = logging.getLogger(__name__)

STOPPING = 600  # seconds that a step and a checkpoint may take after Ctrl-C


def start(processes: int, arguments: Sequence[str]) -> None:
    """Run ``frameflow ARGUMENTS`` in several processes, as ``torchrun`` would, and wait for them.

    Where one fails the others are ended. It has told why, so this one ends with its exit code.

    Args:
        processes: how many; each gets its share of the cores.
        arguments: of the command line.

    Raises:
        FrameFlowError: one was killed.
        SystemExit: one failed, or Ctrl-C.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // processes)))
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(STOPPING))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id="frameflow",
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        max_restarts=0,
    )
    logging.disable(logging.ERROR)  # the launcher's: what went wrong is told by who failed
    try:
        elastic_launch(config, sys.executable)("-m", "frameflow", *arguments)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode >= 0:
            raise SystemExit(failure.exitcode) from None
        raise _killed(rank, -failure.exitcode) from None
    except SignalException as error:
        raise SystemExit(128 + error.sigval) from None
    finally:
        logging.disable(logging.NOTSET)


def _killed(rank: int, number: int) -> FrameFlowError:
    reason = " (the memory was full?)" if number == signal.SIGKILL else ""
    return FrameFlowError(
        f"Process {rank} of the training was ended by {signal.Signals(number).name}{reason}, and "
        f"the others with it. Go on with --resume, or with fewer --processes."
    )
