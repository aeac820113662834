"""Servers of files with something that is public and something that is not, and what they serve for a path."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "tests/vectors/path_readings.json"
HERE = Path(__file__).parent / "servers"
PUBLIC, PRIVATE, NEITHER = "d", "P", "-"

NGINX = """daemon off; master_process off; pid nginx.pid; error_log stderr crit; events {{}}
http {{ access_log off; client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c; uwsgi_temp_path d; scgi_temp_path e;
server {{ listen 127.0.0.1:{port}; root "{root}"; index index.html; }} }}
"""
LIGHTTPD = """server.document-root = "{root}"
server.bind = "127.0.0.1"
server.port = {port}
server.modules = ()
index-file.names = ("index.html")
mimetype.assign = ("" => "text/plain")
"""


def bring(name):
    command = [ROOT / "tests" / "bring", name]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def said(pattern, *command):
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return re.search(pattern, run.stdout)[1]


def nginx(root, port, folder):
    (folder / "nginx.conf").write_text(NGINX.format(root=root, port=port))
    binary = bring("nginx")
    return said(r"nginx/(\S+)", binary, "-v"), [binary, "-p", folder, "-e", "stderr", "-c", "nginx.conf"]


def lighttpd(root, port, folder):
    (folder / "lighttpd.conf").write_text(LIGHTTPD.format(root=root, port=port))
    binary = bring("lighttpd")
    return said(r"lighttpd/(\S+)", binary, "-v"), [binary, "-D", "-f", folder / "lighttpd.conf"]


def python(root, port, _folder):
    command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", root, str(port)]
    return said(r"(\d\S+)", sys.executable, "--version"), command


def node(root, port, _folder):
    binary = bring("node")
    return said(r"v(\S+)", binary, "--version"), [binary, HERE / "files.mjs", root, str(port)]


def serve_static(root, port, _folder):
    modules = Path(bring("serve-static"))
    version = json.loads((modules / "node_modules/serve-static/package.json").read_text())["version"]
    return version, [bring("node"), HERE / "static.mjs", root, str(port), modules]


def servlets(name, root, port):
    jars = Path(bring("servlets"))
    version = next(jars.glob(f"{name.lower()}-*.jar")).stem.rsplit("-", 1)[1]
    return version, ["java", "-cp", f"{jars}/*", HERE / f"{name}.java", root, str(port)]


def tomcat(root, port, _folder):
    return servlets("Tomcat", root, port)


def jetty(root, port, _folder):
    return servlets("Jetty", root, port)


SERVERS = {
    "nginx": nginx,
    "lighttpd": lighttpd,
    "python": python,
    "node": node,
    "serve-static": serve_static,
    "tomcat": tomcat,
    "jetty": jetty,
}


class Server:
    """One that runs."""

    def __init__(self, port, version):
        self.port, self.version = port, version

    def served(self, path):
        """What it serves for a path, sent as it is."""
        request = f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode()
        answer = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            try:
                connection.sendall(request)
                while piece := connection.recv(65536):
                    answer += piece
            except ConnectionResetError:
                pass
        if b"this is private" in answer:
            return PRIVATE
        return PUBLIC if b"this is public" in answer else NEITHER


@contextmanager
def running(name):
    with TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as free:
        folder, port = Path(folder), free.getsockname()[1]
        free.close()
        root = folder / "files"
        for place in ".", "x", "docs", "docs/x":
            (root / place).mkdir(parents=True, exist_ok=True)
            for file in "index.html", "admin.txt":
                (root / place / file).write_text("this is public" if place.startswith("docs") else "this is private")
        version, command = SERVERS[name](root, port, folder)
        with (folder / "log").open("wb") as log:
            environment = {**os.environ, "TMPDIR": str(folder)}
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment)
        try:
            for _ in range(600):
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except ConnectionRefusedError:
                    if process.poll() is not None:
                        break
                    time.sleep(0.05)
            else:
                process.kill()
            if process.poll() is not None:
                raise AssertionError(f"{name} does not start: {(folder / 'log').read_text()}")
            yield Server(port, version)
        finally:
            process.terminate()
            process.wait()
