#!/usr/bin/env python3
"""image.py MODULE FOLDER [push REGISTRY/NAME:TAG]

Makes FOLDER/image, an OCI image layout, and FOLDER/jwtproxy.oci.tar, the same as one file, of a built module; `push`
sends it to a registry. It needs Python alone: no daemon, no root.

The image is what Istio's agent and Envoy Gateway look for: the last layer is a compressed archive that holds a file
`plugin.wasm`. Its digest depends on the module and on the commit of this repository, and on nothing else.

A registry on this machine is asked over plain HTTP, any other over HTTPS; with `http://` or `https://` before its name
you decide. Credentials are those of `docker login`: $DOCKER_CONFIG/config.json or ~/.docker/config.json.
"""

import base64
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
TIMEOUT_S = 30


def archive(files):
    """A tar (POSIX ustar) of (name, bytes) that says nothing of who made it, and when. By hand, as what Python's tarfile
    writes differs from one version to the next."""
    out = []
    for name, content in files:
        mode, nobody, size, epoch = b"0000644", b"0000000", b"%011o" % len(content), b"00000000000"
        fields = [name.encode(), mode, nobody, nobody, size, epoch, b" " * 8, b"0", b"", b"ustar\0" + b"00"]
        header = struct.pack("100s8s8s8s12s12s8s1s100s8s247x", *fields)
        header = header[:148] + b"%06o\0 " % sum(header) + header[156:]
        out += [header, content, bytes(-len(content) % 512)]
    return b"".join([*out, bytes(1024)])


def stored(content):
    """A gzip file (RFC 1952) of stored blocks: what compression makes of the same bytes differs from one version of
    zlib to the next, and the digest must not."""
    out = [b"\x1f\x8b\x08\0\0\0\0\0\0\xff"]
    for start in range(0, len(content), 0xFFFF):
        block = content[start : start + 0xFFFF]
        last = start + len(block) == len(content)
        out += [struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF), block]
    return b"".join([*out, struct.pack("<LL", zlib.crc32(content), len(content))])


def compact(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def descriptor(media_type, content, **more):
    return {"mediaType": media_type, "digest": digest(content), "size": len(content), **more}


def git(*arguments):
    """What git says at the top of this repository, or None: an archive of the sources has no commit."""
    command = ["git", "-C", str(ROOT), *arguments]
    try:
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None


def package():
    """The strings of Cargo.toml's [package]."""
    section = (ROOT / "Cargo.toml").read_text(encoding="utf-8").split("[package]\n", 1)[1].split("\n[", 1)[0]
    return dict(re.findall(r'^([\w-]+) = "(.*)"$', section, re.MULTILINE))


def annotations(about):
    """What the image says of itself, by the names of the OCI image specification."""
    says = {
        "title": about["name"],
        "description": about["description"],
        "version": about["version"],
        "licenses": about["license"],
    }
    if "repository" in about:
        says["source"] = about["repository"]
    # The first line is empty at the top of a repository: this one's, not one around it.
    top, _, commit = (git("rev-parse", "--show-cdup", "HEAD") or "no\n").partition("\n")
    if top:
        print("this is no git repository: the image will name no revision", file=sys.stderr)
    else:
        says["revision"] = commit.strip()
        if git("status", "--porcelain", "--untracked-files=no"):
            print("the image names a commit, and there are changes since", file=sys.stderr)
    return {"org.opencontainers.image." + name: value for name, value in says.items()}


def build(module):
    """The image's manifest, and all its blobs by digest."""
    about = annotations(package())
    tar = archive([("plugin.wasm", module)])
    layer = stored(tar)
    # Labels are what `skopeo inspect` and `docker inspect` show.
    config = compact({
        "architecture": "wasm",
        "os": "wasip1",
        "config": {"Labels": about},
        "rootfs": {"type": "layers", "diff_ids": [digest(tar)]},
    })
    manifest = compact({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, config),
        "layers": [descriptor(LAYER, layer)],
        "annotations": about,
    })
    return manifest, {digest(blob): blob for blob in [layer, config, manifest]}


def write(folder, manifest, blobs):
    """FOLDER/image and FOLDER/jwtproxy.oci.tar."""
    version = {"org.opencontainers.image.ref.name": package()["version"]}
    index = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [descriptor(MANIFEST, manifest, annotations=version)],
    }
    files = [("oci-layout", compact({"imageLayoutVersion": "1.0.0"})), ("index.json", compact(index))]
    files += sorted(("blobs/" + name.replace(":", "/"), blob) for name, blob in blobs.items())
    layout = folder / "image"
    if layout.exists():
        shutil.rmtree(layout)
    for name, content in files:
        path = layout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    whole = folder / "jwtproxy.oci.tar"
    whole.write_bytes(archive(files))
    for path, size in [(layout, sum(len(content) for _, content in files)), (whole, whole.stat().st_size)]:
        print(f"{path}  {size} bytes ({size / 1000:.0f} kB)  {digest(manifest)}")


class Registry:
    """One repository of a registry, by the API of the OCI distribution specification."""

    def __init__(self, scheme, host, name):
        self.scheme, self.host, self.name = scheme, host, name
        # Docker's own has other names for where it is, and for its credentials.
        hub = host in ("docker.io", "index.docker.io")
        self.address = "registry-1.docker.io" if hub else host
        self.login = "https://index.docker.io/v1/" if hub else host
        self.authorization = None

    def push(self, manifest, blobs, tag):
        for name, blob in blobs.items():
            if blob is not manifest and self.ask("HEAD", f"blobs/{name}", missing=True) is None:
                where = self.ask("POST", "blobs/uploads/").headers["Location"]
                where += ("&" if "?" in where else "?") + urllib.parse.urlencode({"digest": name})
                self.ask("PUT", where, blob, "application/octet-stream")
        self.ask("PUT", f"manifests/{tag}", manifest, MANIFEST)
        if self.ask("GET", f"manifests/{tag}").content != manifest:
            sys.exit(f"{self.host} gives back another manifest than it was sent")

    def ask(self, method, where, body=None, media_type=None, missing=False):
        """The answer, or None for a 404 that may be. `where` is below this repository, or what a Location said."""
        base = f"{self.scheme}://{self.address}/v2/{self.name}/"
        url = urllib.parse.urlsplit(urllib.parse.urljoin(base, where))
        if url.netloc == self.address:
            # Behind a proxy that ends TLS a registry may believe itself to be on plain HTTP.
            url = url._replace(scheme=self.scheme)
        for last in [False, True]:
            request = urllib.request.Request(url.geturl(), body, {"Accept": MANIFEST}, method=method)
            if media_type:
                request.add_header("Content-Type", media_type)
            # To the registry alone, neither to where it redirects nor to a storage that takes the upload.
            if self.authorization and url.netloc == self.address:
                request.add_unredirected_header("Authorization", self.authorization)
            try:
                return answer(request)
            except urllib.error.HTTPError as error:
                if error.code == 404 and missing:
                    return None
                if error.code == 401 and not last and url.netloc == self.address:
                    self.authorize(error.headers.get_all("WWW-Authenticate") or [])
                    continue
                if error.code == 401:
                    print(f"it takes the credentials of: docker login {self.host}", file=sys.stderr)
                sys.exit(f"{method} {url.geturl()}: {error.code} {error.reason} {reason(error)}".rstrip())

    def authorize(self, challenges):
        """Basic, or a token that the credentials buy; without credentials it may be had for nothing."""
        basic = credentials(self.login)
        self.authorization = basic
        for challenge in challenges:
            scheme, _, rest = challenge.partition(" ")
            if scheme.lower() != "bearer":
                continue
            asked = dict(re.findall(r'(\w+)="([^"]*)"', rest))
            realm = asked.pop("realm", "")
            if not realm.startswith("https://") and not (self.scheme == "http" and realm.startswith("http://")):
                sys.exit(f"{self.host} sends its credentials to {realm!r}, which is not safe")
            query = {**asked, "scope": f"repository:{self.name}:pull,push"}
            request = urllib.request.Request(realm + ("&" if "?" in realm else "?") + urllib.parse.urlencode(query))
            if basic:
                request.add_unredirected_header("Authorization", basic)
            try:
                given = json.loads(answer(request).content)
            except urllib.error.HTTPError as error:
                sys.exit(f"{self.host} gives no token: {error.code} {error.reason} {reason(error)}".rstrip())
            self.authorization = "Bearer " + (given.get("token") or given["access_token"])


def answer(request):
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            response.content = response.read()
            return response
    except urllib.error.HTTPError:
        raise
    except OSError as error:
        sys.exit(f"{request.host}: {getattr(error, 'reason', error)}")


def reason(error):
    """The words of a registry that refuses."""
    try:
        return "; ".join(f"{one['code']}: {one['message']}" for one in json.loads(error.read())["errors"])
    except (KeyError, TypeError, ValueError):
        return ""


def credentials(host):
    """The value of an Authorization header, or None."""
    path = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        return None
    except ValueError:
        sys.exit(f"{path} is no JSON")
    helper = config.get("credHelpers", {}).get(host) or config.get("credsStore")
    if helper:
        command = ["docker-credential-" + helper, "get"]
        try:
            found = subprocess.run(command, input=host, capture_output=True, check=True, text=True).stdout
        except (OSError, subprocess.CalledProcessError):
            return None
        found = json.loads(found)
        encoded = base64.b64encode(f"{found['Username']}:{found['Secret']}".encode()).decode()
    else:
        encoded = config.get("auths", {}).get(host, {}).get("auth")
    return "Basic " + encoded if encoded else None


def reference(text):
    """REGISTRY/NAME:TAG as scheme, registry, name and tag."""
    part = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
    pattern = rf"(?:(https?)://)?([\w.-]+(?::\d+)?|\[[\da-f:]+\](?::\d+)?)/({part}(?:/{part})*):(\w[\w.-]{{,127}})"
    found = re.fullmatch(pattern, text, re.ASCII)
    if not found:
        # Not what was given, which may hold a password.
        sys.exit("push takes a name of the form registry.example.com/jwtproxy:0.1.0")
    scheme, host, name, tag = found.groups()
    local = re.fullmatch(r"(localhost|127\.[\d.]+|\[::1\])(:\d+)?", host)
    return scheme or ("http" if local else "https"), host, name, tag


def main(module, folder, *rest):
    if rest and (len(rest) != 2 or rest[0] != "push"):
        sys.exit(__doc__.split("\n", 1)[0])
    code = Path(module).read_bytes()
    if code[:8] != b"\0asm\1\0\0\0":
        sys.exit(f"{module} is no WebAssembly module")
    to = reference(rest[1]) if rest else None
    manifest, blobs = build(code)
    write(Path(folder), manifest, blobs)
    if to:
        scheme, host, name, tag = to
        Registry(scheme, host, name).push(manifest, blobs, tag)
        target = f"{host}/{name}:{tag}"
        print(f"pushed to {target}")
    else:
        target = f"registry.example.com/jwtproxy:{package()['version']}"
        print(f"Publish it by one of\n  ./justw image push {target}")
        print(f"  skopeo copy oci:{folder}/image docker://{target}\n  crane push {folder}/image {target}")
    print(f"and in the WasmPlugin write\n  url: oci://{target}\n  sha256: {digest(manifest).split(':')[1]}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__.split("\n", 1)[0])
    main(*sys.argv[1:])
