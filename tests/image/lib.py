"""What the tests of the image share."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "dist" / "jwtproxy.wasm"


def sha256(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def image(*arguments, root=ROOT, check=True, **env):
    """envoy/image.py of a repository, without the credentials and proxies of whoever runs the test."""
    clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    clean = {**clean, "DOCKER_CONFIG": os.devnull, "PYTHONDONTWRITEBYTECODE": "1", **env}
    command = [sys.executable, root / "envoy" / "image.py", *map(str, arguments)]
    run = subprocess.run(command, env=clean, capture_output=True, text=True)
    if check and run.returncode:
        raise AssertionError(f"image.py ended with {run.returncode}\n{run.stdout}{run.stderr}")
    return run


def read(folder):
    """The digest of the one manifest in FOLDER/image, and all blobs there by their names."""
    blobs = {"sha256:" + path.name: path.read_bytes() for path in (folder / "image" / "blobs" / "sha256").iterdir()}
    (manifest,) = json.loads((folder / "image" / "index.json").read_bytes())["manifests"]
    return manifest["digest"], blobs
