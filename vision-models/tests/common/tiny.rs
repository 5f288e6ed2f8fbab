//! Packages made by hand: networks of a few numbers, whose answers can be computed on paper.
//!
//! Each looks at the mean grey level `m` (0…1) of a picture or of a cell of 8 x 8 pixels. Its scores are 0 for good,
//! `20 (0.25 − m)` for dark and `20 (m − 0.75)` for bright.

use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use vision_models::onnx::{Dim, Graph, Model, Node, Port, Setting, Tensor};
use vision_models::package::{MANIFEST, WEIGHTS, seal};
use vision_models::picture::Picture;

/// A task, and what its tiny package says of the golden picture (see [`golden`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tiny {
    Detect,
    Classify,
    Segment,
}

impl Tiny {
    pub const ALL: [Self; 3] = [Self::Detect, Self::Classify, Self::Segment];

    fn table(self) -> &'static str {
        match self {
            Self::Detect => {
                "[task.detect]\nfloor = 0.1\nnms_iou = 0.5\nnms_iou_across_classes = 0.7\nfindings_max = 20\n\n\
                 [task.detect.head.grid]\nscores = \"scores\"\nboxes = \"ltrb\"\nstride = 8\n"
            }
            Self::Classify => {
                "[task.classify]\nscores = \"scores\"\nlabels = [\"good\", \"dark\", \"bright\"]\nactivation = \"softmax\"\nfloor = 0.1\n"
            }
            Self::Segment => {
                "[task.segment]\nmap = \"scores\"\nlabels = [\"good\", \"dark\", \"bright\"]\nactivation = \"softmax\"\nstride = 8\n\
                 floor = 0.5\narea_min_mm2 = 1.0\nfindings_max = 20\n"
            }
        }
    }

    /// The network of the task.
    pub fn graph(self) -> Graph {
        let open = |planes| ["n", "", "h", "w"].map(|name| if name.is_empty() { Dim::Fixed(planes) } else { Dim::Named(name.to_owned()) });
        let scores = |dims: &[Dim]| Port::floats("scores", dims.to_vec());
        let mut graph = Graph::default();
        graph.name = "tiny".to_owned();
        graph.inputs = vec![Port::floats("image", open(1).to_vec())];
        let mean = |node: Node| node.with("kernel_shape", Setting::Wholes(vec![8, 8])).with("strides", Setting::Wholes(vec![8, 8]));
        let weights = |slopes: &[f32]| {
            let values: Vec<f32> = slopes.iter().flat_map(|slope| [slope / 64.0; 64]).collect();
            Tensor::floats("w", &[i64::try_from(slopes.len()).unwrap(), 1, 8, 8], &values)
        };
        match self {
            Self::Classify => {
                graph.nodes = vec![
                    Node::new("GlobalAveragePool", &["image"], &["pooled"]),
                    Node::new("Flatten", &["pooled"], &["mean"]),
                    Node::new("Gemm", &["mean", "w", "b"], &["scores"]),
                ];
                graph.initializers = vec![Tensor::floats("w", &[1, 3], &[0.0, -20.0, 20.0]), Tensor::floats("b", &[3], &[0.0, 5.0, -15.0])];
                graph.outputs = vec![scores(&[Dim::Named("n".to_owned()), Dim::Fixed(3)])];
            }
            Self::Segment => {
                graph.nodes = vec![mean(Node::new("Conv", &["image", "w", "b"], &["scores"]))];
                graph.initializers = vec![weights(&[0.0, -20.0, 20.0]), Tensor::floats("b", &[3], &[0.0, 5.0, -15.0])];
                graph.outputs = vec![scores(&open(3))];
            }
            Self::Detect => {
                graph.nodes = vec![
                    mean(Node::new("Conv", &["image", "w", "b"], &["logits"])),
                    Node::new("Sigmoid", &["logits"], &["scores"]),
                    mean(Node::new("Conv", &["image", "none", "half"], &["ltrb"])),
                ];
                let none = Tensor::floats("none", &[4, 1, 8, 8], &[0.0; 256]);
                let bias = Tensor::floats("b", &[2], &[5.0, -15.0]);
                graph.initializers = vec![weights(&[-20.0, 20.0]), bias, none, Tensor::floats("half", &[4], &[4.0; 4])];
                graph.outputs = vec![scores(&open(2)), Port::floats("ltrb", open(4).to_vec())];
            }
        }
        graph
    }

    /// What the package says of [`golden`], computed by hand: a black cell has `m` = 0 and with it dark e^5, good 1 and bright
    /// e^−15; the whole picture has `m` = 0.2, dark e, good 1, bright e^−11.
    fn expected(self) -> Value {
        let cell = |x: f32, y: f32| json!({ "x1": x, "y1": y, "x2": x + 8.0, "y2": y + 8.0 });
        match self {
            Self::Classify => json!([{ "class": 1, "score": 0.731_059, "bounds": { "x1": 0.0, "y1": 0.0, "x2": 64.0, "y2": 64.0 } }]),
            // The sigmoid of 5.
            Self::Detect => json!([
                { "class": 1, "score": 0.993_307, "bounds": cell(16.0, 8.0) },
                { "class": 1, "score": 0.993_307, "bounds": cell(24.0, 8.0) },
            ]),
            // Two cells of 64 pixels of 0.25 mm².
            Self::Segment => json!([
                { "class": 1, "score": 0.993_307, "bounds": { "x1": 16.0, "y1": 8.0, "x2": 32.0, "y2": 16.0 }, "area_mm2": 32.0 },
            ]),
        }
    }

    /// Writes the package's folder.
    pub fn write(self, folder: &Path) {
        fs::create_dir_all(folder.join("golden")).unwrap();
        fs::write(folder.join(WEIGHTS), Model::new(self.graph(), 17).write()).unwrap();
        self.golden().write_png(&folder.join("golden/piece.png")).unwrap();
        fs::write(folder.join("golden/piece.json"), self.expected().to_string()).unwrap();
        fs::write(folder.join(MANIFEST), self.manifest()).unwrap();
        seal(folder).unwrap();
    }

    /// Half grey but for two black cells side by side, and for classify all of it the same dark grey.
    pub fn golden(self) -> Picture {
        match self {
            Self::Classify => picture(|_, _| 51),
            Self::Detect | Self::Segment => picture(|x, y| if (16..32).contains(&x) && (8..16).contains(&y) { 0 } else { 128 }),
        }
    }

    fn manifest(self) -> String {
        let name = format!("{self:?}").to_lowercase();
        format!(
            r#"format = 2
name = "tiny-{name}"
version = "1.0.0"
summary = "Dark and bright."
pixel_size_mm = 0.5

[input]
name = "image"
layout = "nchw"
planes = ["test"]
black = 0
white = 255
scale = 0.00392156862745098
offset = 0.0
width_max = 64
height_max = 64
multiple = 8
fill = 128

{table}
[[class]]
name = "dark"
threshold = 0.5

[[class]]
name = "bright"
threshold = 0.5

[operating_point]
aim = "none"
chosen_on = "nothing"
measured = {{}}

[provenance]
data = "none"
split = "none"
training = "by hand"
licence = "Apache-2.0"
data_licence = "none"
metrics = {{}}

[parity]
score_tolerance = 0.001
box_tolerance_pixels = 0.01

[[parity.piece]]
test = "golden/piece.png"
expected = "golden/piece.json"

[files]
"#,
            table = self.table()
        )
    }
}

/// A grey picture of 64 x 64 pixels.
pub fn picture(level: impl Fn(u32, u32) -> u8) -> Picture {
    let level = &level;
    Picture::new(64, 64, (0..64).flat_map(|y| (0..64).map(move |x| level(x, y))).collect()).unwrap()
}

/// The same network after much work that changes nothing: `layers` convolutions of 64 planes whose weights are 0.
pub fn heavier(mut graph: Graph, layers: usize) -> Graph {
    let pads = |node: Node| node.with("kernel_shape", Setting::Wholes(vec![3, 3])).with("pads", Setting::Wholes(vec![1; 4]));
    let zeros = |name: &str, dims: &[i64]| Tensor::floats(name, dims, &vec![0.0; usize::try_from(dims.iter().product::<i64>()).unwrap()]);
    graph.nodes.push(pads(Node::new("Conv", &["image", "first"], &["work0"])));
    for layer in 0..layers {
        graph.nodes.push(pads(Node::new("Conv", &[&format!("work{layer}"), "more"], &[&format!("work{}", layer + 1)])));
    }
    graph.nodes.push(Node::new("GlobalAveragePool", &[&format!("work{layers}")], &["nothing"]));
    graph.nodes.push(Node::new("Conv", &["nothing", "last"], &["zero"]));
    let sum = graph.outputs[0].name.clone();
    for node in &mut graph.nodes {
        for output in node.outputs.iter_mut().filter(|output| **output == sum) {
            *output = "before".to_owned();
        }
    }
    graph.nodes.push(Node::new("Add", &["before", "zero"], &[&sum]));
    graph.initializers.extend([zeros("first", &[64, 1, 3, 3]), zeros("more", &[64, 64, 3, 3]), zeros("last", &[2, 64, 1, 1])]);
    graph
}
