// Puts the Chromium of the package @sparticuz/chromium into a folder, with the libraries and the fonts that it
// brings, so that nothing needs to be installed. The package's own way would use /tmp, for everybody at once.
//
//   node unpack.mjs FOLDER

import { createReadStream, createWriteStream, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { createBrotliDecompress } from "node:zlib";
import { extract } from "tar-fs";

const folder = process.argv[2];
const packed = fileURLToPath(new URL("node_modules/@sparticuz/chromium/bin", import.meta.url));

const unpack = (name, target) =>
  pipeline(createReadStream(join(packed, name)), createBrotliDecompress(), target);

await Promise.all([
  unpack("chromium.br", createWriteStream(join(folder, "chromium"), { mode: 0o755 })),
  unpack("al2023.tar.br", extract(folder)),
  unpack("fonts.tar.br", extract(folder)),
  unpack("swiftshader.tar.br", extract(folder)),
]);

writeFileSync(
  join(folder, "fonts.conf"),
  `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir prefix="relative">fonts</dir>
  <cachedir prefix="xdg">fontconfig</cachedir>
</fontconfig>
`,
);
writeFileSync(
  join(folder, "chrome"),
  `#!/bin/sh
# Chromium with the libraries and fonts beside it.
here=$(cd -- "$(dirname -- "$0")" && pwd)
export LD_LIBRARY_PATH="$here/lib\${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export FONTCONFIG_FILE="$here/fonts.conf"
exec "$here/chromium" "$@"
`,
  { mode: 0o755 },
);
