"""The paths that servers are asked for: ways to leave /docs/ that differ in what is resolved, merged, dropped or decoded,
and in the order of that."""

from itertools import product

LEAVE = (
    "..", "%2e%2e", ".%2E", "..;", "..;x=1", "..%3b", "%2e%2e%3B", "..%2f", "..%5c", "..\\", "..%3f", "..%23",
    "..%20", "...", "%252e%252e", "..%252f", "%c0%ae%c0%ae", "..%00", "%u002e%u002e",
)
STAY = (
    "", ".", "%2e", ".;", ";", ";x=1", "%3b", "x", "x;y", "%2f", "%3f", "%23", "%20", "%00", "%5c", "\\", "%25",
)
FEW = (
    "", ".", "%2e", ";", ";x=1", "%3b", "..", "%2e%2e", "..;", "x",
)
STARTS = (
    "/docs", "//docs", "///docs", "/./docs", "/;/docs", "/docs;", "/docs;x=1", "/docs%3b", "/docs%2f", "/docs\\",
    "/%64ocs", "/x/../docs", "/admin.txt/../docs", "/x//../docs", "//x/docs", "//x/../docs", "/docs/../docs",
    "/docs/x", "/docs/x;y", "/%2e%2e/docs", "", "//x", "/;",
)


def paths():
    """Each path once, in an order that stays."""
    several = [(), *product(LEAVE + STAY), *product(STAY, LEAVE), *product(LEAVE, STAY), *product(FEW, repeat=3)]
    found = {"/".join(["/docs", *segments, end]): None for segments in several for end in ("admin.txt", "")}
    for start, segments in product(STARTS, [(), *product(FEW), *product(FEW, ("..",))]):
        found["/".join([start, *segments, "admin.txt"])] = None
    return list(found)


if __name__ == "__main__":
    print(*paths(), sep="\n")
