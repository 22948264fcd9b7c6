#!/bin/sh
# Fetches the jars of one Apache Kafka broker with Maven, from wherever Maven is told to fetch, for the tests that run against a real one.
#
#   sh tests/triggers/kafka/get_kafka.sh ~/kafka
#   JETFLEET_KAFKA_HOME=~/kafka python -m pytest tests/triggers/kafka
#
# A Kafka that was unpacked from its release serves as well: its jars lie in libs/ too.
set -eu

home=${1:?usage: get_kafka.sh FOLDER}
version=${2:-3.9.1}
mkdir -p "$home/libs"
cat > "$home/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>jetfleet.tests</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>$version</version>
    </dependency>
  </dependencies>
</project>
POM
mvn -B -q -f "$home/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$home/libs"
echo "JETFLEET_KAFKA_HOME=$home"
