"""Apache Spark with Delta Lake's own connector, in a Java process that ends with this one."""

import os
from pathlib import Path

import engines
import jvm

DELTA = "4.4.0"
JARS = ["delta-spark_4.2_2.13", "delta-storage", "delta-kernel-api", "delta-kernel-defaults", "delta-kernel-unitycatalog"]
SETTINGS = {
    "spark.driver.memory": "1g",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "1",
    "spark.sql.adaptive.enabled": "false",  # many small queries: planning again while they run costs more than it wins
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.codegen.wholeStage": "false",  # tables are small: compiling a plan takes longer than running it
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.databricks.delta.snapshotPartitions": "1",
}


class Spark(engines.Sql):
    """Spark, one session for all tables."""

    name = "spark"
    wide, micros, varchar = "decimal(38,0)", "unix_micros({})", "string"
    slow, session = True, None

    @classmethod
    def start(cls, cache: Path, lakes: Path):
        """Installs the connector below `cache` where it is missing, and starts a session."""
        jars = [cache / f"spark/delta-{DELTA}/{name}.jar" for name in JARS]
        os.environ |= {"JAVA_HOME": str(jvm.home(17)), "SPARK_LOCAL_IP": "127.0.0.1"}
        for name, jar in zip(JARS, jars):
            jvm.fetch(f"io.delta:{name}:{DELTA}", jar)
        try:
            from pyspark.sql import SparkSession
        except ImportError as error:
            raise jvm.Missing("needs the packages of requirements-java.txt") from error
        settings = SETTINGS | {"spark.jars": ",".join(map(str, jars)), "spark.sql.warehouse.dir": str(lakes / "warehouse")}
        cls.session = SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()

    @classmethod
    def stop(cls):
        cls.session.stop()

    def __init__(self, path, version):
        reader = self.session.read.format("delta")
        reader = reader if version is None else reader.option("versionAsOf", version)
        reader.load(path).createOrReplaceTempView("t")

    def blind(self, columns):
        """Asked for 0.0, Spark leaves out rows with -0.0 where it filters in the Parquet file."""
        return {name for name, kind in columns if kind == "double"}

    def quote(self, name):
        return "`" + name.replace("`", "``") + "`"

    def text(self, value):
        return f"CAST(X'{value.encode().hex()}' AS string)"

    def instant(self, micros):
        return f"timestamp_micros({micros})"

    def fetch(self, sql):
        return [tuple(row) for row in self.session.sql(sql).collect()]

    def rows(self):
        return self.session.table("t").toArrow()
