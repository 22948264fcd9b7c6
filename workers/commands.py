"""The commands about running flows and nodes, here or on a fleet."""

commands = {
    "run": "jetfleet.workers.run_command:run_command",
    "nodes": "jetfleet.workers.nodes_command:nodes_command",
    "worker": "jetfleet.workers.worker_command:worker_command",
    "up": "jetfleet.workers.up_command:up_command",
}
