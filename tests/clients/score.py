"""Keeps the score of a suite, and compares what it measured with the tables of EXPECTED.md."""

import json
import os
import pathlib
import re
import sys
import threading

HERE = pathlib.Path(__file__).resolve().parent
CASES = json.loads((HERE / "cases.json").read_text())
EXPECTED = HERE / "EXPECTED.md"
RECORD = "CLIENTS_RECORD"


def cell(requests, kind):
    return f"{requests} {kind}"


class Score:
    """The cases of one suite; `title` is its section in EXPECTED.md."""

    def __init__(self, title, versions):
        self.title, self.versions = title, versions
        self.passed, self.failed, self.rows = 0, 0, {}
        self.lock = threading.Lock()

    def case(self, name, check):
        """Runs one case. Without a name it counts only if it fails: it is what holds the cases of others."""
        try:
            check()
            line = name and f"ok   {name}"
        except Exception as error:  # noqa: BLE001 - whatever it is, the case failed
            line = f"FAIL {name}: {type(error).__name__}: {' '.join(str(error).split())[:900]}"
        if line is None:
            return
        with self.lock:
            self.passed += line.startswith("ok")
            self.failed += line.startswith("FAIL")
            print(line, flush=True)

    def note(self, client, column, text):
        with self.lock:
            self.rows.setdefault(client, {})[column] = text

    def finish(self):
        if os.environ.get(RECORD):
            write(self.title, self.versions, self.rows)
        else:
            self.compare()
        print(f"{self.passed} passed, {self.failed} failed")
        sys.exit(1 if self.failed else 0)

    def compare(self):
        expected = read(self.title)

        def check(client):
            wanted, measured = expected.get(client, {}), self.rows.get(client, {})
            wrong = [f"{column}: {measured.get(column, 'nothing')!r} instead of {wanted.get(column, 'nothing')!r}"
                     for column in sorted({*wanted, *measured}) if wanted.get(column) != measured.get(column)]
            assert not wrong, "; ".join(wrong)

        for client in sorted({*expected, *self.rows}):
            self.case(f"{client}: as EXPECTED.md says", lambda client=client: check(client))


def read(title):
    """The tables of one section: client to column to cell."""
    rows, inside, head = {}, False, []
    for line in EXPECTED.read_text().splitlines() if EXPECTED.exists() else []:
        if line.startswith("## "):
            inside, head = line[3:] == title, []
        elif inside and line.startswith("| "):
            cells = [text.strip() for text in line.strip("|").split("|")]
            if not head:
                head = cells
            elif not re.fullmatch(r"[-: |]+", line):
                rows.setdefault(cells[0], {}).update({c: t for c, t in zip(head[1:], cells[1:]) if t})
        elif not line:
            head = []
    return rows


def write(title, versions, rows):
    columns = (
        [f"provider {status}" for status in CASES["errors"]], list(CASES["refusals"]), list(CASES["cuts"]),
        [f"whole, {label}" for label in CASES["cuts"]], [column for label in CASES["kills"] for column in (label, f"{label}, asked again")])
    known = {column for group in columns for column in group}
    more = sorted({column for row in rows.values() for column in row} - known)
    text = f"## {title}\n\n{versions}\n"
    for group in (*columns, more):
        shown = {client: row for client, row in sorted(rows.items()) if any(column in row for column in group)}
        if not shown:
            continue
        text += f"\n| Client | {' | '.join(group)} |\n| --- |{' --- |' * len(group)}\n"
        for client, row in shown.items():
            text += f"| {client} | {' | '.join(row.get(column, '') for column in group)} |\n"
    old = EXPECTED.read_text()
    section = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", re.M | re.S)
    new = section.sub(lambda _: text + "\n", old) if section.search(old) else old.rstrip("\n") + "\n\n" + text
    EXPECTED.write_text(new.rstrip("\n") + "\n")


def main():
    """`score.py FILE`: the score of a suite in another language, from the lines of JSON that it wrote."""
    lines = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
    about = next(line for line in lines if "title" in line)
    score = Score(about["title"], about["versions"])
    score.passed, score.failed = about["passed"], about["failed"]
    for line in lines:
        if "client" in line:
            score.note(line["client"], line["column"], line["cell"])
    score.finish()


if __name__ == "__main__":
    main()
