//! Any bytes as a manifest, and as what a model puts out. `../fuzz/README.md` says how to search.
//!
//! Wrong is: a panic; a manifest that reads differently after it was written; a finding that is not finite, does not lie
//! inside the frame, is of no class or below the floor; a list that is not best first.

use crate::decode::looker;
use crate::package::{Head, Manifest, Task};
use crate::prepare::Geometry;
use crate::runtime::Output;
use std::sync::LazyLock;

/// A manifest without its task, for every task below.
const COMMON: &str = include_str!("fuzzing/common.toml");

/// The tasks, one after the other.
const TASKS: [&str; 5] = [
    "[task.detect]\nfloor = 0.1\nnms_iou = 0.5\nnms_iou_across_classes = 0.7\nfindings_max = 9\n\
     [task.detect.head.grid]\nscores = \"a\"\nboxes = \"b\"\nstride = 8\n",
    "[task.detect]\nfloor = 0.2\nnms_iou = 0.5\nnms_iou_across_classes = 0.7\nfindings_max = 9\n[task.detect.head.yolo]\noutput = \"a\"\n",
    "[task.detect]\nfloor = 0.2\nnms_iou = 0.5\nnms_iou_across_classes = 0.7\nfindings_max = 9\n\
     [task.detect.head.yolo_cut]\nscores = \"a\"\nsides = \"b\"\n",
    "[task.classify]\nscores = \"a\"\nlabels = [\"x\", \"good\", \"y\"]\nactivation = \"softmax\"\nfloor = 0.1\n",
    "[task.segment]\nmap = \"a\"\nlabels = [\"x\", \"good\", \"y\"]\nactivation = \"sigmoid\"\nstride = 8\nfloor = 0.4\n\
     area_min_mm2 = 0.5\nfindings_max = 9\n",
];

static MANIFESTS: LazyLock<Vec<Manifest>> =
    LazyLock::new(|| TASKS.iter().filter_map(|task| Manifest::parse(&COMMON.replace("# task\n", task)).ok()).collect());

/// Manifests to start from.
#[must_use]
pub fn manifests() -> Vec<String> {
    TASKS.iter().map(|task| COMMON.replace("# task\n", task)).collect()
}

/// Any text as a manifest; true if it was one.
///
/// # Panics
/// If something is wrong.
#[must_use]
pub fn manifest(bytes: &[u8]) -> bool {
    let Ok(read) = std::str::from_utf8(bytes).map_err(|error| error.to_string()).and_then(Manifest::parse) else { return false };
    let written = toml::to_string(&read).expect("what was read can be written");
    assert_eq!(Manifest::parse(&written).as_ref(), Ok(&read), "{written}");
    true
}

/// Any bytes as what a model puts out: the first four are the task, the size of the frame and what is wrong with the shapes,
/// the others its numbers. True if findings came of it.
///
/// # Panics
/// If something is wrong.
#[must_use]
pub fn decode(bytes: &[u8]) -> bool {
    let (&[task, width, height, twist], numbers) = bytes.split_at(bytes.len().min(4)) else { return false };
    let manifest = &MANIFESTS[usize::from(task) % MANIFESTS.len()];
    let frame = (u32::from(width) + 1, u32::from(height) + 1);
    let geometry = Geometry::of(frame, &manifest.input);
    let mut looker = looker(manifest);
    let shapes: Vec<Vec<i64>> = looker.outputs().iter().map(|wanted| shape(&wanted.shape, manifest, &geometry, twist)).collect();
    let mut source = numbers.iter().copied().cycle();
    let values: Vec<Vec<f32>> = shapes
        .iter()
        .map(|shape| {
            let count = shape.iter().product::<i64>().clamp(0, 100_000);
            // A shape that lies about how many numbers there are.
            let count = if twist == 3 { count / 2 } else { count };
            (0..count).map(|_| number(source.next().unwrap_or(0))).collect()
        })
        .collect();
    let outputs: Vec<Output<'_>> = shapes.iter().zip(&values).map(|(shape, values)| Output { shape, values }).collect();
    let outputs = if twist == 4 { &outputs[..0] } else { &outputs[..] };
    let Ok(found) = looker.findings(outputs, &geometry) else { return false };
    assert!(found.is_sorted_by(|a, b| a.score >= b.score), "{found:?}");
    for finding in &found {
        let b = finding.bounds;
        let sides = [b.x1, b.y1, b.x2, b.y2, finding.score];
        assert!(sides.iter().all(|side| side.is_finite()), "{finding:?}");
        let (wide, high) = (f64::from(frame.0), f64::from(frame.1));
        assert!(0.0 <= b.x1 && b.x1 < b.x2 && f64::from(b.x2) <= wide, "{finding:?} on {frame:?}");
        assert!(0.0 <= b.y1 && b.y1 < b.y2 && f64::from(b.y2) <= high, "{finding:?} on {frame:?}");
        assert!((manifest.task.floor()..=1.0).contains(&finding.score), "{finding:?}");
        assert!((1..=manifest.class.len()).contains(&usize::from(finding.class.0)), "{finding:?}");
        assert!(finding.area_mm2.is_none_or(|area| area.is_finite() && area >= 0.0), "{finding:?}");
    }
    !found.is_empty()
}

/// The shape that is wanted, or by `twist` another one.
fn shape(wanted: &[i64], manifest: &Manifest, geometry: &Geometry, twist: u8) -> Vec<i64> {
    let (columns, rows) = (i64::from(geometry.input.0), i64::from(geometry.input.1));
    let yolo = matches!(&manifest.task, Task::Detect(boxes) if !matches!(boxes.head, Head::Grid(_)));
    let cells = [8, 16, 32].iter().map(|stride| (columns / stride) * (rows / stride)).sum::<i64>();
    let mut open = if yolo { vec![cells] } else { vec![columns / 8, rows / 8] };
    let mut shape = vec![1];
    shape.extend(wanted.iter().map(|size| if *size == -1 { open.pop().unwrap_or(1) } else { *size }));
    match twist {
        1 => shape.reverse(),
        2 => shape.push(1),
        5 => shape[0] = 0,
        6 => shape.iter_mut().for_each(|size| *size += 1),
        _ => {}
    }
    shape
}

/// Scores and distances as they should be, small ones most often, and among them whatever must not be.
fn number(byte: u8) -> f32 {
    match byte {
        0..=150 => f32::from(byte) / 1000.0,
        151..=200 => f32::from(byte - 150) / 50.0,
        201..=246 => f32::from(byte - 200),
        247 => -1e-4,
        248 => f32::MIN_POSITIVE / 2.0,
        249 => 1e30,
        250 => f32::MAX,
        251 => -3.0,
        252 => f32::NEG_INFINITY,
        253 => f32::INFINITY,
        254 => f32::NAN,
        255 => 1.0005,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Marsaglia's xorshift64*: the same cases on every machine.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, most: usize) -> usize {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            usize::try_from((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) % u64::try_from(most.max(1)).unwrap()).unwrap()
        }

        fn byte(&mut self) -> u8 {
            u8::try_from(self.below(256)).unwrap()
        }
    }

    #[test]
    fn any_text_is_a_manifest_or_refused() {
        let seeds = manifests();
        assert!(seeds.iter().all(|seed| manifest(seed.as_bytes())), "every seed is one");
        let (mut dice, mut read) = (Dice(0x9E37_79B9_7F4A_7C15), 0);
        const WORDS: [&str; 12] =
            ["nan", "inf", "-1", "0", "1e400", "99999999999999999999", "\"\"", "[]", "{}", "true", "\"../x\"", "-0.0"];
        for _ in 0..10_000 {
            let mut text = seeds[dice.below(seeds.len())].clone().into_bytes();
            let at = dice.below(text.len());
            match dice.below(6) {
                0 => text[at] = dice.byte(),
                1 => text.truncate(at),
                2 => drop(text.drain(at..(at + dice.below(40)).min(text.len()))),
                3 => {
                    let part = text[at..(at + 60).min(text.len())].to_vec();
                    text.splice(at..at, part);
                }
                _ => {
                    // Another value behind an equals sign.
                    let lines: Vec<usize> = (0..text.len()).filter(|at| text[*at] == b'=').collect();
                    let from = lines[dice.below(lines.len())] + 1;
                    let to = from + text[from..].iter().position(|byte| *byte == b'\n').unwrap();
                    text.splice(from..to, WORDS[dice.below(WORDS.len())].bytes());
                }
            }
            read += u32::from(manifest(&text));
        }
        assert!(read > 300, "only {read} were manifests: the search looks at nothing behind the first check");
    }

    #[test]
    fn any_output_is_refused_or_gives_findings_inside_the_frame() {
        assert_eq!(MANIFESTS.len(), TASKS.len(), "every task has a manifest");
        let (mut dice, mut found) = (Dice(0xD1B5_4A32_D192_ED03), [0_u32; TASKS.len()]);
        for _ in 0..100_000 {
            let task = dice.below(TASKS.len());
            let head = [u8::try_from(task).unwrap(), dice.byte(), dice.byte(), u8::try_from(dice.below(24)).unwrap()];
            let mut case = head.to_vec();
            // Most numbers are as they should be, and of one case in two all.
            let most = if dice.below(2) == 0 { 201 } else { 256 };
            case.extend((0..=dice.below(60)).map(|_| u8::try_from(dice.below(most)).unwrap()));
            found[task] += u32::from(decode(&case));
        }
        println!("{found:?}");
        assert!(found.iter().all(|found| *found > 1000), "{found:?} is too little");
    }
}
