"""Do servers of files serve what tests/vectors/path_readings.json says? tests/paths/record.py writes it anew."""

import json
import unittest

from ambiguous import paths
from servers import NEITHER, SERVERS, TABLE, running

RECORD = json.loads(TABLE.read_text())


class Servers(unittest.TestCase):
    def test_a_path_is_read_as_recorded(self):
        self.assertEqual([name for name, _ in RECORD["servers"]], list(SERVERS))
        served = dict(RECORD["paths"])
        for column, (name, version) in enumerate(RECORD["servers"]):
            with self.subTest(name), running(name) as server:
                expected = {path: served.get(path, NEITHER * len(SERVERS))[column] for path in paths()}
                found = {path: server.served(path) for path in expected}
                wrong = {path: found[path] for path in expected if found[path] != expected[path]}
                self.assertEqual(wrong, {}, f"{name} {server.version}; recorded was {version}")


if __name__ == "__main__":
    unittest.main()
