"""Three Ray nodes on loopback, started and stopped by this process: it prints their address, and takes commands.

`kill` on standard input ends all processes of one node that has no driver by SIGKILL, and says so; the end of standard
input ends the others.
"""

import sys

from ray.cluster_utils import Cluster

NODES = 3


def main() -> None:
    """Start, obey, stop."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    others = [cluster.add_node(num_cpus=1) for _ in range(NODES - 1)]
    try:
        sys.stdout.write(f"{cluster.address}\n")
        sys.stdout.flush()
        for line in sys.stdin:
            if line.strip() == "kill":
                cluster.remove_node(others.pop(), allow_graceful=False)
                sys.stdout.write("killed\n")
                sys.stdout.flush()
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
