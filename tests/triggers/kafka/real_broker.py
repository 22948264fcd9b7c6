"""One Apache Kafka broker as a process, for those who have Java and its jars: `JETFLEET_KAFKA_HOME` names the folder in which `libs/` lies.

`get_kafka.sh` fetches them. The broker is its own controller, keeps its data in a folder, and can be killed and started again.
"""

from __future__ import annotations

import base64
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from pathlib import Path

from .certificates import Certificates

HOME = "JETFLEET_KAFKA_HOME"
START_S = 60
USER, PASSWORD = "shop", "s3cret-of-the-shop"
"""Who may use the listeners that ask for a password."""
SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")


def missing() -> str:
    """What keeps a broker from being started here; empty: nothing."""
    home = os.environ.get(HOME)
    if not home or not any(Path(home, "libs").glob("kafka_*.jar")):
        return f"{HOME} names no folder with Kafka's jars in libs/; tests/triggers/kafka/get_kafka.sh fetches them"
    return "" if shutil.which("java") else "there is no java"


class RealKafka:
    """`brokers`: its address. `guarded`: that of the listener that wants a password (without TLS), `secured` the same with TLS. `encrypted`:
    that of the one that speaks TLS and wants a certificate of the client's; `certificates` are for both ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        port, controller, guarded, secured, encrypted = _free_ports(5)
        self.brokers, self.guarded, self.secured, self.encrypted = (f"127.0.0.1:{each}" for each in (port, guarded, secured, encrypted))
        self.certificates = Certificates(folder)
        self._port = port
        self._settings = folder / "server.properties"
        self._settings.write_text(
            _SETTINGS.format(
                port=port,
                controller=controller,
                guarded=guarded,
                secured=secured,
                encrypted=encrypted,
                data=folder / "data",
                store=self.certificates.store,
                ca=self.certificates.ca,
            )
        )
        self._process: subprocess.Popen[bytes] | None = None
        id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        users = [word for each in SCRAM for word in ("--add-scram", f"{each}=[name={USER},password={PASSWORD}]")]
        self._java("kafka.tools.StorageTool", "format", "-t", id, "-c", str(self._settings), *users).wait(START_S)
        self.up()

    def create_topic(self, name: str, partitions: int = 4) -> None:
        """A broker that has just started takes connections before it takes topics."""
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient, NewTopic

        admin = AdminClient({"bootstrap.servers": self.brokers})  # held until the answer is there
        end = time.monotonic() + START_S
        while True:
            try:
                admin.create_topics([NewTopic(name, partitions, 1)])[name].result(START_S)
                return
            except KafkaException:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def up(self) -> None:
        self._process = self._java("kafka.Kafka", str(self._settings))
        end = time.monotonic() + START_S
        while not _listens(self._port):
            assert self._process.poll() is None and time.monotonic() < end, f"the broker does not start: {self._log().read_text()[-2_000:]}"
            time.sleep(0.05)

    def down(self) -> None:
        """Killed: it says goodbye to nobody."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    close = down

    def _java(self, main: str, *arguments: str) -> subprocess.Popen[bytes]:
        libraries = Path(os.environ[HOME], "libs", "*")
        command = ["java", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", str(libraries), main, *arguments]
        with self._log().open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder)

    def _log(self) -> Path:
        return self._folder / "kafka.log"


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


_LOGINS = "\n".join(
    f"listener.name.{listener}.{mechanism.lower()}.sasl.jaas.config=org.apache.kafka.common.security.{module} required{users};"
    for listener in ("guarded", "secured")
    for mechanism, module, users in (
        ("PLAIN", "plain.PlainLoginModule", f' user_{USER}="{PASSWORD}"'),
        *((each, "scram.ScramLoginModule", "") for each in SCRAM),
    )
)
_SETTINGS = f"""
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{{controller}}
listeners=PLAIN://127.0.0.1:{{port}},GUARDED://127.0.0.1:{{guarded}},SECURED://127.0.0.1:{{secured}},TLS://127.0.0.1:{{encrypted}},CONTROLLER://127.0.0.1:{{controller}}
advertised.listeners=PLAIN://127.0.0.1:{{port}},GUARDED://127.0.0.1:{{guarded}},SECURED://127.0.0.1:{{secured}},TLS://127.0.0.1:{{encrypted}}
listener.security.protocol.map=PLAIN:PLAINTEXT,GUARDED:SASL_PLAINTEXT,SECURED:SASL_SSL,TLS:SSL,CONTROLLER:PLAINTEXT
listener.name.tls.ssl.keystore.type=PEM
listener.name.tls.ssl.keystore.location={{store}}
listener.name.tls.ssl.truststore.type=PEM
listener.name.tls.ssl.truststore.location={{ca}}
listener.name.tls.ssl.client.auth=required
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAIN
listener.name.secured.ssl.keystore.type=PEM
listener.name.secured.ssl.keystore.location={{store}}
sasl.enabled.mechanisms=PLAIN,{",".join(SCRAM)}
{_LOGINS}
log.dirs={{data}}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
group.min.session.timeout.ms=500
broker.heartbeat.interval.ms=200
broker.session.timeout.ms=4000
"""
