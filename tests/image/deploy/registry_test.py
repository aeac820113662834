"""Does a real registry take the image, and give back the same bytes by tag and by digest?"""

import base64
import json
import shutil
import socket
import ssl
import subprocess
import time
import unittest
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

from lib import MODULE, ROOT, image, read, sha256

LOGIN = "someone:a secret: ü"
# That password for bcrypt, the only form that the registry takes.
PASSWORDS = "someone:$2b$05$abcdefghijklmnopqrstuugya8CtyuSNEocT29kmhMA5FY0rNfemi\n"


class Registry:
    """A registry with a folder of its own, on a free port."""

    def __init__(self, folder, **http):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        auth = {}
        if http.pop("auth", False):
            (folder / "passwords").write_text(PASSWORDS)
            auth = {"auth": {"htpasswd": {"realm": "test", "path": str(folder / "passwords")}}}
        self.config = folder / "config.yml"
        # JSON is YAML, too.
        self.config.write_text(json.dumps({
            "version": 0.1,
            "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
            "http": {"addr": self.host, **http},
            **auth,
        }))
        self.log = folder / "log"
        self.start()

    def start(self):
        bring = [ROOT / "tests" / "bring", "registry"]
        binary = subprocess.run(bring, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([binary, "serve", self.config], stdout=log, stderr=log)
        for _ in range(200):
            try:
                return socket.create_connection(("127.0.0.1", self.port)).close()
            except ConnectionRefusedError:
                time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def get(self, name, where, **headers):
        headers = {"Accept": "application/vnd.oci.image.manifest.v1+json", **headers}
        request = urllib.request.Request(f"http://{self.host}/v2/{name}/{where}", headers=headers)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
            return answer.read(), answer.headers


class Pushed(unittest.TestCase):
    def setUp(self):
        temporary = TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)

    def registry(self, **http):
        registry = Registry(self.folder, **http)
        self.addCleanup(registry.stop)
        return registry

    def push(self, to, check=True, **env):
        run = image(MODULE, self.folder / "built", "push", to, check=check, **env)
        return run, *read(self.folder / "built")

    def assert_holds(self, registry, repository, name, blobs):
        """By its own client, and by those that are here."""
        for by in ["0.1.0", name]:
            content, headers = registry.get(repository, f"manifests/{by}")
            self.assertEqual(content, blobs[name])
            self.assertEqual(headers["Content-Type"], "application/vnd.oci.image.manifest.v1+json")
            self.assertEqual(headers["Docker-Content-Digest"], name)
        for digest, blob in blobs.items():
            if digest != name:
                content, _ = registry.get(repository, f"blobs/{digest}")
                self.assertEqual((content, sha256(content)), (blob, digest))
        if skopeo := shutil.which("skopeo"):
            back = Path(mkdtemp(dir=self.folder))
            source = f"docker://{registry.host}/{repository}:0.1.0"
            subprocess.run(
                [skopeo, "--insecure-policy", "copy", "--src-tls-verify=false", source, f"oci:{back}/image:0.1.0"],
                check=True, stdout=subprocess.DEVNULL,
            )
            self.assertEqual(read(back), (name, blobs))

    def test_by_tag_and_by_digest(self):
        registry = self.registry()
        run, name, blobs = self.push(f"{registry.host}/team/jwtproxy:0.1.0")
        to_write = f"url: oci://{registry.host}/team/jwtproxy:0.1.0\n  sha256: {name.removeprefix('sha256:')}\n"
        self.assertIn(to_write, run.stdout)
        self.assert_holds(registry, "team/jwtproxy", name, blobs)
        # Again, when all blobs are there, and beside the first.
        self.push(f"http://{registry.host}/team/jwtproxy:latest")
        self.assert_holds(registry, "team/jwtproxy", name, blobs)

    def test_kept_over_a_restart(self):
        registry = self.registry()
        _, name, blobs = self.push(f"{registry.host}/jwtproxy:0.1.0")
        registry.stop()
        run, _, _ = self.push(f"{registry.host}/jwtproxy:0.1.0", check=False)
        self.assertEqual((run.returncode, "Connection refused" in run.stderr), (1, True), run.stderr)
        registry.start()
        self.assert_holds(registry, "jwtproxy", name, blobs)

    def test_with_a_password(self):
        registry = self.registry(auth=True)
        to = f"{registry.host}/jwtproxy:0.1.0"
        run, name, blobs = self.push(to, check=False)
        self.assertEqual(run.returncode, 1)
        self.assertIn(f"docker login {registry.host}\n", run.stderr)
        self.assertTrue(run.stderr.endswith(": 401 Unauthorized\n"), run.stderr)
        for login, expected in [("someone:another", 1), (LOGIN, 0)]:
            encoded = base64.b64encode(login.encode()).decode()
            (self.folder / "config.json").write_text(json.dumps({"auths": {registry.host: {"auth": encoded}}}))
            run, _, _ = self.push(to, check=False, DOCKER_CONFIG=str(self.folder))
            self.assertEqual(run.returncode, expected, run.stderr)
            self.assertNotIn(encoded, run.stdout + run.stderr)
        content, _ = registry.get("jwtproxy", "manifests/0.1.0", Authorization=f"Basic {encoded}")
        self.assertEqual(content, blobs[name])

    def test_over_tls(self):
        key, certificate = self.folder / "key.pem", self.folder / "certificate.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-subj", "/CN=registry", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
            check=True, stderr=subprocess.DEVNULL,
        )
        registry = self.registry(tls={"certificate": str(certificate), "key": str(key)})
        to = f"https://{registry.host}/jwtproxy:0.1.0"
        run, _, _ = self.push(to, check=False)
        self.assertEqual((run.returncode, "CERTIFICATE_VERIFY_FAILED" in run.stderr), (1, True), run.stderr)
        run, name, _ = self.push(to, SSL_CERT_FILE=str(certificate))
        trusting = ssl.create_default_context(cafile=certificate)
        request = urllib.request.Request(f"https://{registry.host}/v2/jwtproxy/manifests/{name}")
        request.add_header("Accept", "application/vnd.oci.image.manifest.v1+json")
        handlers = [urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusting)]
        with urllib.request.build_opener(*handlers).open(request, timeout=10) as answer:
            self.assertEqual(sha256(answer.read()), name)


if __name__ == "__main__":
    unittest.main()
