"""Tests what `scripts/scaling` predicts, of numbers made up and of what `bench` writes: rank_prediction_tests.py BENCH.json

The file has records of one rank and of several.
"""

import json
import sys
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from rank_prediction import predict, report, tasks_of  # noqa: E402


def alone(particles):
    return {"mode": "gradient", "particles": particles, "ranks": 1, "threads": 1, "medianSeconds": 1.0, "serialShare": 0.125}


SHARED = {
    "mode": "gradient", "ranks": 2, "threads": 1, "medianSeconds": 0.6,
    "traffic": {"sentBytes": 1e6, "share": 0.1, "gatherings": 3, "gatheredBytes": 5e5, "messages": 4, "messageBytes": 4e5,
                "meetingSeconds": 1e-3, "bytesPerSecond": 1e8},
}


class PredictionTests(unittest.TestCase):
    def test_tasks(self):
        self.assertEqual([tasks_of(rows) for rows in (1, 2048, 2049, 128 * 2048, 128 * 2048 + 1, 1_000_000)],
                         [1, 1, 2, 128, 65, 123])

    def test_one_rank(self):
        self.assertEqual(predict(alone(128 * 2048), SHARED, 1).total, 1.0)

    def test_parts(self):
        parts = predict(alone(128 * 2048), SHARED, 16)
        self.assertEqual((parts.computing, parts.serial), (0.875 * 8 / 128, 0.125))
        self.assertAlmostEqual(parts.meeting, 3 * 4 * 1e-3)
        self.assertAlmostEqual(parts.gathering, 1e6 * 15 / 16 / 1e8)
        self.assertAlmostEqual(parts.handing_on, (4 + 14) * (1e-3 + 1e5 / 1e8))
        self.assertAlmostEqual(parts.total, 0.875 / 16 + 0.125 + 0.012 + 0.009375 + 0.036)

    def test_ranks_that_do_not_divide_the_tasks(self):
        self.assertEqual(predict(alone(128 * 2048), SHARED, 100).computing, 0.875 * 2 / 128)

    def test_more_ranks_than_tasks(self):
        parts = predict(alone(128 * 2048), SHARED, 1024)
        self.assertEqual((parts.total, parts.meeting, parts.handing_on), (1.0, 0, 0))

    def test_nothing_handed_on(self):
        shared = {**SHARED, "traffic": {**SHARED["traffic"], "messages": 0, "messageBytes": 0}}
        self.assertEqual(predict(alone(128 * 2048), shared, 16).handing_on, 0)

    def test_report(self):
        lines = report([alone(128 * 2048), SHARED], [16, 1024])
        self.assertIn("measured: on 2 ranks 600.000 ms, 1,000,000 B sent a step", lines[2])
        self.assertTrue(lines[3].lstrip().startswith("predicted from 1 rank and 2,"))
        self.assertEqual([line.split()[0] for line in lines[5:]], ["2", "16", "1,024"])
        self.assertTrue(lines[5].endswith(" 600.000"))
        self.assertTrue(lines[-1].endswith("(fewer tasks than ranks: each runs all)"))
        self.assertEqual(report([alone(300)], [16])[-1], "  nothing is predicted, since nothing was exchanged")


class FileTests(unittest.TestCase):
    def test_records_of_bench(self):
        records = json.loads(Path(FILE).read_text())
        self.assertEqual(records[0]["ranks"], 1)
        for record in records[1:]:
            self.assertGreater(record["ranks"], 1)
            self.assertTrue(all(number >= 0 for number in record["traffic"].values()))
            self.assertGreater(record["traffic"]["meetingSeconds"], 0)
        self.assertGreater(len(report(records, [16])), 4 + len(records))


if __name__ == "__main__":
    FILE = sys.argv.pop()
    unittest.main()
