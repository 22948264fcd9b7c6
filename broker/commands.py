"""The commands of the broker's side: the server, coordinators, the read model, and everything that asks or tells a fleet something."""

commands = {
    "server": "jetfleet.broker.server_command:server_command",
    "coordinator": "jetfleet.broker.coordinator_command:coordinator_command",
    "reader": "jetfleet.broker.reader_command:reader_command",
    "deploy": "jetfleet.broker.cli.deploy_command:deploy_command",
    "undeploy": "jetfleet.broker.cli.undeploy_command:undeploy_command",
    "flow": "jetfleet.broker.cli.flow_command:flow_command",
    "send": "jetfleet.broker.cli.send_command:send_command",
    "runs": "jetfleet.broker.cli.runs:runs_command",
    "approvals": "jetfleet.broker.cli.approvals_command:approvals_command",
    "queue": "jetfleet.broker.cli.queue_command:queue_command",
    "limits": "jetfleet.broker.cli.limits_command:limits_command",
    "dlq": "jetfleet.broker.cli.dlq_command:dlq_command",
    "arena": "jetfleet.broker.cli.arena_command:arena_command",
    "payload": "jetfleet.broker.cli.payload_command:payload_command",
    "doctor": "jetfleet.broker.cli.doctor_command:doctor_command",
}
