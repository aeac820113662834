"""Writes down what the servers serve: tests/vectors/path_readings.json."""

import json

from ambiguous import paths
from servers import NEITHER, SERVERS, TABLE, running

ABOUT = "what servers of files serve for a path, a letter for each in their order: d below /docs/, P another file, - none"

versions, columns = [], []
for name in SERVERS:
    with running(name) as server:
        versions.append([name, server.version])
        columns.append([server.served(path) for path in paths()])
rows = [row for row in zip(paths(), map("".join, zip(*columns))) if set(row[1]) != {NEITHER}]
lines = ",\n".join(map(json.dumps, map(list, rows)))
TABLE.write_text(f'{{"about": {json.dumps(ABOUT)},\n"servers": {json.dumps(versions)},\n"paths": [\n{lines}\n]}}\n')
