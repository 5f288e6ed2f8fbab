"""What must hold before a run is worth its hours: labels follow their pictures, and both ways to the planes are one."""

import unittest

import numpy as np
import torch

from comparer import augment, data, findings, net, scribble, targets


def board(kind, box):
    """A trace of copper (black) with one fault at `box`."""
    golden = np.full((640, 640), 255, np.uint8)
    golden[300:312] = 0
    piece = golden.copy()
    x1, y1, x2, y2 = box
    piece[y1:y2, x1:x2] = 255 if kind in (1, 3, 6) else 0
    boxes = np.array([[x1 - 9, y1 - 9, x2 + 9, y2 + 9, kind]], np.float32)
    return data.Board("made", np.stack([piece, golden]), boxes)


def never(**chances):
    still = {"mosaic": 0, "at_fault": 1, "drawn": 0, "scribbled": 0, "clean": 0, "invert": 0, "exchange": 0, "off_register": 0, "thicken": 0}
    return augment.Chances(**{**still, **chances})


class Augmentation(unittest.TestCase):
    def differs_only_in_its_box(self, sample):
        y, x = np.nonzero(sample.pictures[0] != sample.pictures[1])
        self.assertTrue(len(x) > 0)
        x1, y1, x2, y2, _ = sample.boxes[0]
        self.assertTrue(x.min() >= x1 and x.max() < x2 and y.min() >= y1 and y.max() < y2)

    def test_boxes_follow_turns_and_cuts(self):
        cutter = augment.Cutter([board(3, (200, 300, 214, 305))], [], np.random.default_rng(1), never())
        for _ in range(40):
            self.differs_only_in_its_box(cutter.cut(augment.CROP))

    def test_inverting_and_exchanging_rename_and_do_it_twice_is_nothing(self):
        for kind, inverted in ((1, 2), (3, 4), (6, 5)):
            sample = augment.Cutter([board(kind, (200, 300, 214, 312))], [], np.random.default_rng(2), never(invert=1)).cut(augment.CROP)
            self.assertEqual(sample.boxes[0, 4], inverted)
            self.differs_only_in_its_box(sample)
        sample = augment.Cutter([board(4, (200, 312, 214, 318))], [], np.random.default_rng(2), never(exchange=1)).cut(augment.CROP)
        self.assertEqual(sample.boxes[0, 4], 3)
        for table in (augment.INVERTED, augment.EXCHANGED):
            twice = table[table.astype(int)].astype(int)
            self.assertTrue(np.array_equal(twice[table > 0], np.flatnonzero(table > 0)))

    def test_a_clean_pair_has_no_fault(self):
        sample = augment.Cutter([board(1, (200, 300, 214, 312))], [], np.random.default_rng(3), never(clean=1)).cut(augment.CROP)
        self.assertEqual(len(sample.boxes), 0)

    def test_planes_on_bytes_are_those_of_the_net(self):
        cutter = augment.Cutter([board(2, (200, 312, 205, 340))], [], np.random.default_rng(4), never(mosaic=1, thicken=1))
        pictures = np.ascontiguousarray(cutter.sample().pictures)
        noise = np.random.default_rng(5).integers(0, 256, (2, 64, 96), dtype=np.uint8)
        for seen in (pictures, noise):
            image = torch.from_numpy(seen[None]).float() / 255
            for by_net, by_us in ((net.planes, augment.planes(seen, net.REACHES)), (net.light_planes, augment.light_planes(seen))):
                self.assertTrue(np.allclose(by_net(image)[0].permute(1, 2, 0).numpy(), by_us / np.float32(255), atol=1e-6))

    def test_both_nets_answer_and_are_known_by_their_weights(self):
        for kind in net.NETS.values():
            made = kind().eval()
            scores, sides = net.of_weights(made.state_dict()).eval()(torch.zeros(1, 2, 64, 96))
            self.assertEqual((type(net.of_weights(made.state_dict())), scores.shape, sides.shape), (kind, (1, 6, 8, 12), (1, 4, 8, 12)))


class Scribbles(unittest.TestCase):
    def named(self, copper, rows, columns, adds=False):
        taken = np.zeros(copper.shape, bool)
        taken[rows, columns] = True
        return scribble.name(copper, taken, adds)

    def test_a_stroke_is_named_by_what_it_does_to_the_copper(self):
        trace = np.zeros((60, 60), bool)
        trace[24:36] = True
        self.assertEqual(self.named(trace, slice(22, 38), slice(20, 24)), scribble.OPEN)
        self.assertEqual(self.named(trace, slice(22, 30), slice(20, 24)), scribble.MOUSEBITE)
        self.assertEqual(self.named(trace, slice(28, 32), slice(20, 24)), scribble.PIN_HOLE)
        self.assertIsNone(self.named(trace, slice(2, 6), slice(20, 24)))
        two = np.ones((60, 60), bool)  # bare board, seen as copper: two traces with a gap between them
        two[10:20] = two[40:50] = False
        self.assertEqual(self.named(two, slice(18, 42), slice(30, 33), adds=True), scribble.OPEN)
        self.assertEqual(self.named(two, slice(18, 30), slice(30, 33), adds=True), scribble.MOUSEBITE)
        self.assertEqual(self.named(two, slice(26, 32), slice(30, 33), adds=True), scribble.PIN_HOLE)

    def test_what_nobody_could_name_is_not_named(self):
        y, x = np.mgrid[:60, :60]
        far = np.hypot(x - 30, y - 30)
        self.assertIsNone(self.named((far < 20) & (far > 10), slice(28, 32), slice(38, 52)))
        trace = np.zeros((60, 60), bool)
        trace[24:36] = True
        self.assertIsNone(self.named(trace, slice(20, 40), slice(1, 3)), "it leaves a crumb of one column")

    def test_scribbled_boards_have_new_faults_apart_from_the_old_ones(self):
        before = board(3, (200, 300, 214, 305))
        after = scribble.scribbled(before, np.random.default_rng(5))
        new = after.boxes[1:]
        self.assertTrue(len(new) >= 4 and (after.boxes[0] == before.boxes[0]).all())
        changed = np.argwhere(after.pictures[0] != before.pictures[0])
        for y, x in changed:
            self.assertTrue(((new[:, 0] <= x) & (x < new[:, 2]) & (new[:, 1] <= y) & (y < new[:, 3])).any())
        for n, one in enumerate(after.boxes):
            for other in after.boxes[n + 1 :]:
                self.assertEqual(float(findings.overlap(one[:4], other[None, :4])[0]), 0.0)


class Targets(unittest.TestCase):
    def test_cells_carry_the_box_and_what_teaches_nothing_weighs_nothing(self):
        x, y = targets.grid(64)
        boxes = np.array([[8, 8, 40, 40, 2], [48, 48, 64, 64, 0]], np.float32)
        scores, sides, held, weight = targets.of_boxes(boxes, x, y)
        self.assertEqual(held.sum(), 4)  # middles 20 and 28 lie within 12 of 24 each way
        self.assertTrue((scores[1][held] == 1).all() and scores.sum() == held.sum())
        self.assertEqual([plane[2, 3] for plane in sides], [28 - 8, 20 - 8, 40 - 28, 40 - 20])
        self.assertTrue((weight[6:, 6:] == 0).all() and weight.sum() == 60)

    def test_overlap_of_two_boxes_by_hand(self):
        found, wanted = torch.tensor([[4.0], [4.0], [4.0], [4.0]]), torch.tensor([[4.0], [4.0], [0.0], [4.0]])
        overlap, generalised = targets.overlaps(found, wanted)
        self.assertAlmostEqual(overlap.item(), 0.5)
        self.assertAlmostEqual(generalised.item(), 0.5)


class Protocol(unittest.TestCase):
    def test_a_finding_of_another_class_is_wrong_and_uses_the_fault_up(self):
        faults = np.array([[0, 0, 10, 10, 1], [100, 0, 110, 10, 2]], np.float32)
        found = np.array([[0, 0, 10, 10, 0.9, 2], [0, 0, 10, 9, 0.8, 1], [100, 0, 110, 10, 0.7, 2]])
        picture = findings.Picture("made", found, np.array([0, 0, 1]), faults)
        self.assertEqual(list(findings.right(picture, np.ones(3, bool))), [False, False, True])
        self.assertAlmostEqual(findings.f_score([picture], np.full(6, 0.5)), 2 / 5)


if __name__ == "__main__":
    unittest.main()
