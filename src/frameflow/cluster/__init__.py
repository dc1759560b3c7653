"""Work shared out over a Ray cluster, or over a small one that is started for the job.

    cluster = cluster_of("ray", None, workers=2)
    for item, result in run(cluster, items, make_worker, block=16, what="Extracting"):
        ...

``make_worker`` is called once in each worker process, for instance to load a backbone, and gives
the function that turns some items into as many results. Items and results are small (paths,
counts, scores): videos are read, and features written, by the workers themselves.
"""

from frameflow.cluster._options import Cluster, Runner, cluster_of
from frameflow.cluster._session import connected
from frameflow.cluster._work import run, workers_of

__all__ = ["Cluster", "Runner", "cluster_of", "connected", "run", "workers_of"]
