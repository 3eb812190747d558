"""A Ray cluster of two nodes on this machine: prints its address, and stands until stdin ends.

    python ray_cluster.py CPUS

No dashboard, no usage statistics.
"""

from __future__ import annotations

import os
import sys

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"


def main() -> None:
    from ray.cluster_utils import Cluster

    node = {
        "num_cpus": int(sys.argv[1]),
        "num_gpus": 0,
        "object_store_memory": 100_000_000,
    }
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    try:
        cluster.add_node(**node)
        print(cluster.address, flush=True)  # noqa: T201
        sys.stdin.read()
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
