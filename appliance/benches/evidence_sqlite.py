"""The same work in SQLite: WAL, synchronous=FULL, groups of records in one transaction, indexes for the same questions."""
import json
import os
import sqlite3
import sys
import time

path, count, group = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
db = sqlite3.connect(path, isolation_level=None)
db.execute("pragma journal_mode=wal")
db.execute("pragma synchronous=full")
db.execute(
    "create table records (id integer primary key, at integer, serial text, piece integer, lot integer, verdict integer,"
    " grade integer, model text, rubric integer, zone_1 real, zone_2 real, zone_3 real, paste real, force real, body text)"
)
for column in ("serial", "at", "lot", "zone_1"):
    db.execute(f"create index by_{column} on records ({column})")
filler = json.dumps({"points": [{"chart": n, "value": 120.123456789, "range": 1.23456789, "centre": 120.0} for n in range(5)]})
# As long as a record of the appliance.
length = 2050
filler = (filler * 6)[:length]


def row(n):
    wave = lambda period, height: n * 2654435761 % period / period * height
    bad = n % 50 == 0
    head = '{"number":%d,"serial":"SN%010d",' % (n, n)
    return (
        n, 1_795_000_000_000_000 + n * 40_000, "SN%010d" % n, n, n // 5000 + 1, 1 if bad else 0, 3 if bad else 1, "pcb@2.1.0", 1,
        230.0 + wave(10007, 20.0), 240.0 + wave(1013, 5.0), 250.0 + wave(1019, 5.0), 118.0 + wave(1009, 4.0), 3.0 + wave(1021, 0.5),
        head + filler,
    )


keeping, payload = 0.0, 0
marks = ",".join("?" * 15)
for first in range(1, count + 1, group):
    rows = [row(n) for n in range(first, min(first + group, count + 1))]
    payload += sum(len(one[-1]) for one in rows)
    begun = time.perf_counter()
    db.execute("begin")
    db.executemany(f"insert into records values ({marks})", rows)
    db.execute("commit")
    keeping += time.perf_counter() - begun


def asked(question):
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        found = len(db.execute(question).fetchall())
        times.append((time.perf_counter() - begun) * 1000)
    return found, sorted(times)[2]


found, recall = asked("select id from records where zone_1 between 240.0 and 241.0 and model like 'pcb@%' and at >= 0")
_, lot = asked("select id from records where lot = 3")
db.execute("pragma wal_checkpoint(truncate)")
db.close()
print(json.dumps({
    "bench": "evidence.sqlite", "records": count, "bytes_a_record": payload // count, "kept_per_s": round(count / keeping, 1),
    "recall_ms": round(recall, 3), "found": found, "lot_ms": round(lot, 3), "disk_over_payload": round(os.path.getsize(path) / payload, 3),
}))
