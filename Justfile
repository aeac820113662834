# `./justw` runs this where just is missing. Everything else a recipe needs, it brings.

set ignore-comments

export CARGO_TARGET_DIR := absolute_path(env("CARGO_TARGET_DIR", "target"))

# What there is
[private]
default:
    @"{{ just_executable() }}" --list --unsorted

# Walk the journey of a token through the built module, once
[no-exit-message]
demo: build
    @cargo run --locked --quiet --package rig --bin demo

# The same Envoy, left running for a browser
[no-exit-message]
serve: build
    @cargo run --locked --quiet --package rig --bin demo serve

# dist/jwtproxy.wasm: the same bytes in any folder, and wherever Binaryen is to be had
build:
    #!/bin/sh
    set -eu
    tests/bring target
    binaryen=$(tests/bring binaryen)
    sources=$(rustc --print sysroot)/lib/rustlib/src/rust
    commit=$(rustc --version --verbose | sed -n 's/^commit-hash: //p')
    # Panics name files, those of the standard library by their local path where rust-src is installed. In Cargo's
    # list 0x1f stands between the flags, as a path may hold a space; of two prefixes that fit, the last one wins.
    flags=$(printf '\037--remap-path-prefix=%s' "$PWD=/jwtproxy" "$CARGO_TARGET_DIR=/target" \
        "${CARGO_HOME:-$HOME/.cargo}=/cargo" "$sources=/rustc/$commit")
    # Flags given so replace those of .cargo/config.toml.
    flags=$flags$(printf '\037%s' -Clink-arg=--compress-relocations '--cfg=cpubits="32"' \
        '--cfg=sha2_backend_soft="compact"')
    CARGO_ENCODED_RUSTFLAGS=${flags#?} cargo build --locked --release --lib --target wasm32-wasip1
    mkdir -p dist
    .cargo/wasm-opt "$binaryen" "$CARGO_TARGET_DIR/wasm32-wasip1/release/jwtproxy_wasm.wasm" dist/jwtproxy.wasm
    python3 -c 'import hashlib, sys
    module = open(sys.argv[1], "rb").read()
    print(f"{sys.argv[1]}  {len(module)} bytes ({len(module) / 1000:.0f} kB)  sha256 {hashlib.sha256(module).hexdigest()}")
    ' dist/jwtproxy.wasm

# dist/image/: that module as an OCI image, for Istio and Envoy Gateway. `image push REGISTRY/NAME:TAG` sends it there
[no-exit-message]
image *push: build
    @python3 envoy/image.py dist/jwtproxy.wasm dist {{ push }}

# What the module costs beside jwt_authn, a no-op filter and none: tables and plots in dist/bench/
[no-exit-message]
bench rounds="15": build && micro
    cargo build --locked --release --quiet --package noop --target wasm32-wasip1
    @mkdir -p dist/bench
    @.cargo/wasm-opt "$(tests/bring binaryen)" "$CARGO_TARGET_DIR/wasm32-wasip1/release/noop.wasm" dist/bench/noop.wasm
    @cargo run --locked --quiet --package side_by_side -- {{ rounds }}

# What the core costs without a host: time and instructions
[no-exit-message]
micro: && (instructions "dist/bench/instructions.json")
    @mkdir -p dist/bench
    @cargo bench --locked --quiet --profile micro --package micro -- --output-format bencher > dist/bench/core.txt
    @grep . dist/bench/core.txt

# Holds the core to its limits of instructions
[private]
[no-exit-message]
instructions file="":
    #!/bin/sh
    if ! command -v valgrind >/dev/null; then
        echo "skipped, for valgrind is not here: the limits of instructions"
        exit
    fi
    exec cargo run --locked --quiet --profile micro --package micro -- {{ file }}

# What a person sees: Chromium against Envoy, screenshots in dist/screens/
[no-exit-message]
browser: build
    #!/bin/sh
    set -eu
    node=$(tests/bring node)
    tests/bring browser >/dev/null
    tests/bring jupyter >/dev/null
    exec "$node" --test --test-concurrency=2 --test-timeout=170000 --test-reporter=spec tests/browser/*.test.mjs

# The same product in its real surroundings: Istio, Keycloak, Theia, JupyterLab, a registry, servers of files. Needs Go, kubectl,
# a JDK, Maven, curl and a C++ compiler
[no-exit-message]
test-deploy: build
    #!/bin/sh
    set -eu
    PYTHONPATH=tests/image python3 -B -m unittest discover --start-directory tests/image/deploy --pattern '*_test.py'
    PYTHONPATH=tests/paths python3 -B -m unittest discover --start-directory tests/paths/deploy --pattern '*_test.py'
    node=$(tests/bring node)
    for tool in browser coraza crane gateway-api jupyter keycloak mesh registry skopeo theia; do
        tests/bring "$tool" >/dev/null
    done
    tests/func-e
    cargo run --locked --quiet --package mesh
    exec "$node" --test --test-concurrency=2 --test-timeout=600000 --test-reporter=spec tests/browser/deploy/*.test.mjs

# All that must pass
test: lint demo && browser instructions
    cargo test --locked --workspace
    python3 -B -m unittest discover --start-directory tests/image --pattern '*_test.py'
    # The oldest Envoy that is supported: once more with it what is called envoy*, for nothing else starts one.
    ENVOY_VERSION=1.36.4 cargo test --locked --workspace --test 'envoy*'

# Form, lints and documentation, natively and as the module is built
lint:
    tests/bring target
    cargo fmt --all --check
    cargo clippy --locked --workspace --all-targets -- --deny warnings
    cargo clippy --locked --lib --target wasm32-wasip1 -- --deny warnings
    RUSTDOCFLAGS='--deny warnings' cargo doc --locked --workspace --no-deps --document-private-items
    RUSTDOCFLAGS='--deny warnings' cargo doc --locked --lib --no-deps --document-private-items --target wasm32-wasip1
