"""Who gets to see the credentials, and what does a push say when it is refused? Asked of a registry that does what
the real one (deploy/registry_test.py) does not."""

import base64
import json
import os
import threading
import unittest
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

from lib import MODULE, image, read

BASIC = "Basic " + base64.b64encode(b"someone:secret").decode()


class Server:
    """Answers with what `route` gives for (method, path, Authorization, body), and keeps what it was asked."""

    def __init__(self, route):
        asked = self.asked = []

        class Handler(BaseHTTPRequestHandler):
            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                asked.append((self.command, self.path, self.headers.get("Authorization")))
                status, headers, content = route(self.command, self.path, self.headers.get("Authorization"), body)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_HEAD = do_POST = do_PUT = answer

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=[0.01], daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Push(unittest.TestCase):
    def setUp(self):
        temporary = TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)
        self.stored = {}

    def server(self, route):
        server = Server(route)
        self.addCleanup(server.stop)
        return server

    def registry(self, wants=None, challenge=None, location="/v2/jwtproxy/blobs/uploads/1?state=a%3Db"):
        """It takes an image from those whose Authorization is `wants`, and lets them upload where `location` says."""

        def route(method, path, authorization, body):
            if wants and authorization != wants:
                return 401, {"WWW-Authenticate": challenge}, b""
            if method == "POST":
                return 202, {"Location": location.replace("{host}", server.host)}, b""
            if method == "PUT":
                self.stored[path] = body
                return 201, {}, b""
            return (200, {}, self.stored[path]) if path in self.stored else (404, {}, b"")

        server = self.server(route)
        return server

    def log_in(self, host):
        encoded = BASIC.removeprefix("Basic ")
        (self.folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": encoded}}}))

    def push(self, to, **env):
        return image(MODULE, self.folder, "push", to, check=False, DOCKER_CONFIG=str(self.folder), **env)

    def assert_pushed(self, run):
        self.assertEqual(run.returncode, 0, run.stderr)
        name, blobs = read(self.folder)
        self.assertEqual(self.stored["/v2/jwtproxy/manifests/1"], blobs[name])
        uploads = {path: body for path, body in self.stored.items() if "manifests" not in path}
        for path, body in uploads.items():
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(path).query)
            self.assertEqual(blobs[query["digest"][0]], body)
        self.assertEqual(len(uploads), len(blobs) - 1)

    def assert_refused(self, run, words):
        self.assertEqual(run.returncode, 1)
        self.assertIn(words, run.stderr)
        self.assertNotIn("Traceback", run.stderr)
        for secret in ["secret", BASIC.removeprefix("Basic "), "bought"]:
            self.assertNotIn(secret, run.stdout + run.stderr)

    def test_without_credentials(self):
        registry = self.registry()
        self.assert_pushed(self.push(f"{registry.host}/jwtproxy:1"))
        self.assertEqual({authorization for _, _, authorization in registry.asked}, {None})

    def test_credentials_are_shown_only_where_they_are_asked_for(self):
        registry = self.registry()
        self.log_in(registry.host)
        self.assert_pushed(self.push(f"{registry.host}/jwtproxy:1"))
        self.assertEqual({authorization for _, _, authorization in registry.asked}, {None})

    def test_a_token_that_credentials_buy(self):
        tokens = self.server(lambda *_: (200, {}, b'{"token": "bought"}'))
        challenge = f'Bearer realm="http://{tokens.host}/token",service="the registry",scope="repository:jwtproxy:pull"'
        registry = self.registry("Bearer bought", challenge)
        self.log_in(registry.host)
        self.assert_pushed(self.push(f"{registry.host}/jwtproxy:1"))
        ((method, path, authorization),) = tokens.asked
        self.assertEqual((method, authorization), ("GET", BASIC))
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(path).query)
        self.assertEqual(query, {"service": ["the registry"], "scope": ["repository:jwtproxy:pull,push"]})
        self.assertEqual({authorization for _, _, authorization in registry.asked}, {None, "Bearer bought"})

    def test_no_token_for_these_credentials(self):
        error = b'{"errors": [{"code": "DENIED", "message": "no such person"}]}'
        tokens = self.server(lambda *_: (403, {}, error))
        registry = self.registry("Bearer bought", f'Bearer realm="http://{tokens.host}/token"')
        self.log_in(registry.host)
        run = self.push(f"{registry.host}/jwtproxy:1")
        self.assert_refused(run, "gives no token: 403 Forbidden DENIED: no such person")

    def test_a_place_for_tokens_that_is_no_web_address(self):
        registry = self.registry("Bearer bought", 'Bearer realm="file:///etc/passwd"')
        self.log_in(registry.host)
        self.assert_refused(self.push(f"{registry.host}/jwtproxy:1"), "'file:///etc/passwd', which is not safe")

    def test_a_storage_elsewhere_gets_the_blob_and_no_credentials(self):
        def put(_method, path, _authorization, body):
            self.stored[path] = body
            return 201, {}, b""

        storage = self.server(put)
        registry = self.registry(BASIC, 'Basic realm="test"', location=f"http://{storage.host}/bucket/1")
        self.log_in(registry.host)
        self.assert_pushed(self.push(f"{registry.host}/jwtproxy:1"))
        self.assertEqual([authorization for _, _, authorization in storage.asked], [None, None])

    def test_a_storage_that_asks_for_credentials(self):
        storage = self.server(lambda *_: (401, {"WWW-Authenticate": 'Basic realm="storage"'}, b""))
        registry = self.registry(BASIC, 'Basic realm="test"', location=f"http://{storage.host}/bucket/1")
        self.log_in(registry.host)
        self.assert_refused(self.push(f"{registry.host}/jwtproxy:1"), f"PUT http://{storage.host}/bucket/1")
        self.assertEqual([authorization for _, _, authorization in storage.asked], [None])

    def test_a_registry_that_is_wrong_about_tls(self):
        registry = self.registry(location="https://{host}/v2/jwtproxy/blobs/uploads/1")
        self.assert_pushed(self.push(f"{registry.host}/jwtproxy:1"))

    def test_a_redirect_gets_no_credentials(self):
        other = self.server(lambda *_: (404, {}, b""))

        def route(method, path, authorization, _body):
            if authorization != BASIC:
                return 401, {"WWW-Authenticate": 'Basic realm="test"'}, b""
            return 307, {"Location": f"http://{other.host}{path}"}, b""

        registry = self.server(route)
        self.log_in(registry.host)
        self.assert_refused(self.push(f"{registry.host}/jwtproxy:1"), "307 Temporary Redirect")
        self.assertEqual({authorization for _, _, authorization in other.asked}, {None})

    def test_credentials_kept_by_a_helper(self):
        registry = self.registry(BASIC, 'Basic realm="test"')
        helper = self.folder / "docker-credential-test"
        answer = json.dumps({"Username": "someone", "Secret": "secret"})
        helper.write_text(f"#!/bin/sh\n[ \"$1 $(cat)\" = 'get {registry.host}' ] && echo '{answer}'\n")
        helper.chmod(0o755)
        (self.folder / "config.json").write_text('{"credsStore": "test"}')
        path = f"{self.folder}:{os.environ['PATH']}"
        self.assert_pushed(self.push(f"{registry.host}/jwtproxy:1", PATH=path))

    def test_the_words_of_a_refusal(self):
        error = b'{"errors": [{"code": "DENIED", "message": "quota exceeded"}]}'
        registry = self.server(lambda method, *_: (403, {}, error) if method == "POST" else (404, {}, b""))
        self.assert_refused(self.push(f"{registry.host}/jwtproxy:1"), "403 Forbidden DENIED: quota exceeded")

    def test_a_registry_that_gives_back_something_else(self):
        registry = self.server(lambda *_: (200, {}, b"{}"))
        self.assert_refused(self.push(f"{registry.host}/jwtproxy:1"), "gives back another manifest")

    def test_plain_http_on_this_machine_alone(self):
        registry = self.registry()
        self.assert_refused(self.push(f"https://{registry.host}/jwtproxy:1"), "SSL")
        # Some name of this machine that does not say so.
        name = registry.host.replace("127.0.0.1", "ip6-localhost.invalid")
        self.assert_refused(self.push(f"{name}/jwtproxy:1"), name)
        self.assertEqual(registry.asked, [])

    def test_names_that_are_none(self):
        names = """
            jwtproxy:1
            registry.example.com/jwtproxy
            registry.example.com/JwtProxy:1
            registry.example.com/jwtproxy:1/2
            registry.example.com/jwtproxy@sha256:0000000000000000000000000000000000000000000000000000000000000000
            ftp://registry.example.com/jwtproxy:1
            someone:secret@registry.example.com/jwtproxy:1
        """
        for to in ["", *names.split()]:
            with self.subTest(to):
                self.assert_refused(self.push(to), "a name of the form registry.example.com/jwtproxy:0.1.0")


if __name__ == "__main__":
    unittest.main()
