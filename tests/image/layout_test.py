"""Is dist/image what the OCI image specification asks for, and what Istio's agent opens? The same bytes wherever and
whenever it is built?"""

import gzip
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import unittest
from pathlib import Path
from tempfile import TemporaryDirectory

from lib import MODULE, ROOT, image, read, sha256

CARGO = """[package]
name = "jwtproxy-wasm"
version = "1.2.3"
license = "Apache-2.0"
description = "Something"
repository = "https://git.example.com/jwtproxy-wasm"

[lib]
name = "other"
"""
# What that is, committed as "A", whatever Python, zlib and day.
COMMIT = "71e742648a759e940dfdbdbdf0af9814d8955d2a"
DIGEST = "sha256:74ce5395617351c39e8d581c9bca999617d180f97c6f542abb1b85fc309a6f4b"


class Layout(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        temporary = TemporaryDirectory()
        cls.addClassCleanup(temporary.cleanup)
        cls.folder = Path(temporary.name)
        cls.said = image(MODULE, cls.folder).stdout
        cls.name, cls.blobs = read(cls.folder)
        cls.manifest = json.loads(cls.blobs[cls.name])

    def test_files(self):
        self.assertEqual(json.loads((self.folder / "image/oci-layout").read_bytes()), {"imageLayoutVersion": "1.0.0"})
        index = json.loads((self.folder / "image/index.json").read_bytes())
        self.assertEqual(index["schemaVersion"], 2)
        self.assertEqual(index["mediaType"], "application/vnd.oci.image.index.v1+json")
        for name, blob in self.blobs.items():
            self.assertEqual(name, sha256(blob))
        reached = [index["manifests"][0], self.manifest["config"], *self.manifest["layers"]]
        self.assertEqual(sorted(self.blobs), sorted(each["digest"] for each in reached))
        for each in reached:
            self.assertEqual(each["size"], len(self.blobs[each["digest"]]))

    def test_manifest(self):
        self.assertEqual(self.manifest["schemaVersion"], 2)
        self.assertEqual(self.manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json")
        self.assertEqual(self.manifest["config"]["mediaType"], "application/vnd.oci.image.config.v1+json")
        kinds = [layer["mediaType"] for layer in self.manifest["layers"]]
        self.assertEqual(kinds, ["application/vnd.oci.image.layer.v1.tar+gzip"])

    def test_config_and_layer(self):
        config = json.loads(self.blobs[self.manifest["config"]["digest"]])
        # Names of Go, as the specification wants them.
        self.assertEqual((config["architecture"], config["os"]), ("wasm", "wasip1"))
        tar = gzip.decompress(self.blobs[self.manifest["layers"][-1]["digest"]])
        self.assertEqual(config["rootfs"], {"type": "layers", "diff_ids": [sha256(tar)]})
        with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
            (file,) = opened.getmembers()
            self.assertEqual((file.name, file.isfile(), file.mode), ("plugin.wasm", True, 0o644))
            self.assertEqual(opened.extractfile(file).read(), MODULE.read_bytes())
            self.assertEqual((file.mtime, file.uid, file.gid, file.uname, file.gname), (0, 0, 0, "", ""))

    def test_annotations(self):
        about = {name.removeprefix("org.opencontainers.image."): v for name, v in self.manifest["annotations"].items()}
        cargo = (ROOT / "Cargo.toml").read_text()
        self.assertEqual(about["title"], "jwtproxy-wasm")
        self.assertEqual(about["licenses"], "Apache-2.0")
        self.assertEqual(about["version"], re.search(r'^version = "(.*)"', cargo, re.MULTILINE).group(1))
        config = json.loads(self.blobs[self.manifest["config"]["digest"]])
        self.assertEqual(config["config"]["Labels"], self.manifest["annotations"])

    def test_the_same_in_one_file(self):
        with tarfile.open(self.folder / "jwtproxy.oci.tar") as opened:
            inside = {file.name: opened.extractfile(file).read() for file in opened if file.isfile()}
        layout = self.folder / "image"
        files = {str(path.relative_to(layout)): path.read_bytes() for path in layout.rglob("*") if path.is_file()}
        self.assertEqual(inside, files)

    def test_what_to_write_into_the_resource(self):
        self.assertIn(f"sha256: {self.name.removeprefix('sha256:')}\n", self.said)

    def test_nothing_of_an_earlier_build_stays(self):
        with TemporaryDirectory() as name:
            folder = Path(name)
            other = folder / "other.wasm"
            other.write_bytes(MODULE.read_bytes() + b"\0\1\0")
            image(other, folder)
            earlier, _ = read(folder)
            image(MODULE, folder)
            name, blobs = read(folder)
        self.assertNotEqual(earlier, name)
        self.assertEqual((name, blobs), (self.name, self.blobs))

    def test_something_else_than_a_module(self):
        with TemporaryDirectory() as folder:
            run = image(ROOT / "README.md", folder, check=False)
        self.assertEqual(run.returncode, 1)
        self.assertIn("README.md is no WebAssembly module", run.stderr)


class Digest(unittest.TestCase):
    def setUp(self):
        temporary = TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)

    def copy(self, name, time, commit):
        """The script, and beside it a module and a Cargo.toml that never change, with times of their own."""
        root = self.folder / name
        (root / "envoy").mkdir(parents=True)
        shutil.copyfile(ROOT / "envoy/image.py", root / "envoy/image.py")
        (root / "Cargo.toml").write_text(CARGO)
        (root / "any.wasm").write_bytes(b"\0asm\1\0\0\0" + bytes(range(256)) * 1000)
        if commit:
            date = {"GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z", "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z"}
            none = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
            person = ["-c", "user.name=A", "-c", "user.email=a@example.com"]
            for words in [["init", "--quiet"], ["add", "Cargo.toml"], [*person, "commit", "--quiet", "-m", commit]]:
                subprocess.run(["git", "-C", root, *words], check=True, env={**os.environ, **date, **none})
        for path in [*root.rglob("*"), root]:
            if ".git" not in path.parts:
                os.utime(path, (time, time))
        return root

    def build(self, root, **env):
        run = image(root / "any.wasm", root / "out", root=root, **env)
        name, blobs = read(root / "out")
        whole = (root / "out" / "jwtproxy.oci.tar").read_bytes()
        about = json.loads(blobs[name])["annotations"]
        return (name, blobs, whole), about.get("org.opencontainers.image.revision"), run.stderr

    def test_depends_on_module_and_commit_alone(self):
        one = self.copy("one", 1_000_000_000, "A")
        two = self.copy("the second", 1_700_000_000, "A")
        other = self.copy("other", 1_000_000_000, "B")
        first, revision, noise = self.build(one, TZ="UTC", LC_ALL="C", PYTHONHASHSEED="1")
        second, _, _ = self.build(two, TZ="Pacific/Kiritimati", LC_ALL="C.UTF-8", PYTHONHASHSEED="2")
        third, _, _ = self.build(other)
        self.assertEqual(first, second)
        self.assertEqual((revision, first[0]), (COMMIT, DIGEST))
        self.assertNotEqual(first[0], third[0])
        self.assertEqual(noise, "")

    def test_changes_after_the_commit_are_said(self):
        root = self.copy("one", 1_000_000_000, "A")
        (clean, _, _), _, _ = self.build(root)
        cargo = root / "Cargo.toml"
        cargo.write_text(cargo.read_text() + "\n# Changed.\n")
        (changed, _, _), _, noise = self.build(root)
        self.assertEqual(clean, changed)
        self.assertIn("there are changes since", noise)

    def test_no_revision_of_a_repository_around_it(self):
        alone = self.copy("alone", 1_000_000_000, None)
        _, revision, noise = self.build(alone)
        self.assertEqual(revision, None)
        self.assertIn("will name no revision", noise)
        self.copy("around", 1_000_000_000, "A")
        shutil.move(alone, self.folder / "around" / "alone")
        _, revision, _ = self.build(self.folder / "around" / "alone")
        self.assertEqual(revision, None)
