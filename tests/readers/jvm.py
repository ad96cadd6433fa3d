"""What the engines on Java need: a Java that is new enough, files from Maven Central, a free port."""

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path


class Missing(Exception):
    """An engine that this machine cannot host, and why."""


def home(least):
    """The folder of the oldest Java with at least this major version."""
    programs = [Path(folder) / "bin/java" for folder in [os.environ.get("JAVA_HOME")] if folder]
    programs += [Path(found).resolve() for found in [shutil.which("java")] if found]
    programs += sorted(Path("/usr/lib/jvm").glob("*/bin/java"))
    found = {}
    for program in programs:
        if program.exists():
            said = subprocess.run([program, "-version"], capture_output=True, text=True).stderr
            if version := re.search(r'version "(\d+)', said):
                found.setdefault(int(version[1]), program.parent.parent)
    fitting = sorted(version for version in found if version >= least)
    if not fitting:
        raise Missing(f"needs Java {least} or newer")
    return found[fitting[0]]


def fetch(artifact, file):
    """Puts one artifact, `group:name:version` or `group:name:version:kind`, at `file`, without what it depends on."""
    if file.exists():
        return
    if not shutil.which("mvn"):
        raise Missing("needs Maven (mvn) to be installed")
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(file.name + ".part")
    get = "org.apache.maven.plugins:maven-dependency-plugin:2.8:get"
    done = subprocess.run(["mvn", "--batch-mode", "--quiet", get, f"-Dartifact={artifact}", "-Dtransitive=false", f"-Ddest={part}"], capture_output=True, text=True)
    if done.returncode != 0:
        raise Missing(f"Maven cannot get {artifact}: {(done.stdout + done.stderr)[-500:]}")
    part.rename(file)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
