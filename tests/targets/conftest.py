"""A machine behind SSH, which is this one with another home; and a device behind adb, a folder."""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from onnxprune.targets.remote import _sent_model, _sent_package

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

_ADB = """#!{python}
import os, pathlib, subprocess, sys
device, log = {device!r}, {log!r}
words = [word.replace("/data/local/tmp", device) for word in sys.argv[1:]]
with open(log, "a") as stream:
    stream.write(repr(sys.argv[1:]) + "\\n")
if words[:2] == ["-s", "gone"]:
    sys.exit("error: device 'gone' not found")
if words[:1] == ["-s"]:
    del words[:2]
if words[0] == "push":
    pathlib.Path(words[2]).write_bytes(pathlib.Path(words[1]).read_bytes())
    print("1 file pushed")
elif words[:2] == ["shell", "-T"]:
    os.execvp("sh", ["sh", "-c", *words[2:]])
else:
    sys.exit("adb: unknown command")
"""


@pytest.fixture(autouse=True)
def nothing_is_known_to_be_there():
    """Forget what other tests sent."""
    _sent_package.cache_clear()
    _sent_model.cache_clear()


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Put a program of a name in front of all others."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def write(name, text):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)

    return write


@pytest.fixture
def adb(tmp_path, program):
    """Return the folder that stands for /data/local/tmp, and the commands that were given."""
    device, log = tmp_path / "device", tmp_path / "adb.log"
    device.mkdir()
    program("adb", _ADB.format(python=sys.executable, device=str(device), log=str(log)))
    return device, log


@pytest.fixture(scope="session")
def sshd(tmp_path_factory):
    """Start a server for this user; return its address, its home, and how a client logs in."""
    if SSHD is None or shutil.which("ssh") is None:
        pytest.skip("needs sshd and ssh (OpenSSH)")
    place = tmp_path_factory.mktemp("sshd")
    home = place / "home dir"
    home.mkdir()
    for name in ("host", "user"):
        key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(place / name)]
        subprocess.run(key, check=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (place / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {place / 'host'}\nPidFile none\n"
        f"AuthorizedKeysFile {place / 'user.pub'}\nStrictModes no\nUsePAM no\n"
        f'PasswordAuthentication no\nPermitRootLogin yes\nSetEnv "HOME={home}"\n'
    )
    kind, key, *_ = (place / "host.pub").read_text().split()
    (place / "known_hosts").write_text(f"[127.0.0.1]:{port} {kind} {key}\n")
    (place / "ssh_config").write_text(
        f"IdentityFile {place / 'user'}\nIdentitiesOnly yes\nIdentityAgent none\n"
        f"UserKnownHostsFile {place / 'known_hosts'}\nGlobalKnownHostsFile none\n"
    )
    with (place / "log").open("wb") as log:
        command = [SSHD, "-D", "-e", "-f", str(place / "sshd_config")]
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait_for(port, server, place / "log")
        yield f"ssh://{getpass.getuser()}@127.0.0.1:{port}", home, place / "ssh_config"
    finally:
        server.terminate()
        server.wait()


def _wait_for(port, server, log):
    for _ in range(200):
        if server.poll() is not None:
            pytest.skip(f"sshd does not start: {log.read_text()[-300:]}")
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.skip("sshd does not listen")


@pytest.fixture
def ssh(sshd, program):
    """Return the address of the server, and its home directory."""
    address, home, config = sshd
    real = shutil.which("ssh")
    program("ssh", f'#!/bin/sh\nexec {real} -F {shlex.quote(str(config))} "$@"\n')
    return address, home
