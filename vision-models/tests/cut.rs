//! Verdict first: an export is cut, proves itself on the same golden pieces, and finds the same.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

mod common;

use common::{clock, runtime};
use std::fs;
use std::path::Path;
use vision_models::cut::{CutError, cut, cut_package};
use vision_models::detector::Detector;
use vision_models::onnx::{Dim, Graph, Model, Node, Port, Setting, Tensor};
use vision_models::package::{Head, Manifest, Package, Task, WEIGHTS, Yolo, seal};
use vision_models::picture::Picture;

const SIDE: i64 = 128;
const CLASSES: i64 = 2;

fn fixed(dims: &[i64]) -> Vec<Dim> {
    dims.iter().copied().map(Dim::Fixed).collect()
}

/// A graph in the making: every constant becomes an initializer, every operator makes one value.
#[derive(Default)]
struct Maker(Graph);

impl Maker {
    fn floats(&mut self, dims: &[i64], values: &[f32]) -> String {
        let name = format!("w{}", self.0.initializers.len());
        self.0.initializers.push(Tensor::floats(&name, dims, values));
        name
    }

    fn wholes(&mut self, values: &[i64]) -> String {
        let name = format!("w{}", self.0.initializers.len());
        self.0.initializers.push(Tensor::wholes(&name, &[i64::try_from(values.len()).unwrap()], values));
        name
    }

    fn op(&mut self, op: &str, inputs: &[&str], settings: &[(&str, Setting)]) -> String {
        let name = format!("v{}", self.0.nodes.len());
        let node = settings.iter().fold(Node::new(op, inputs, &[&name]), |node, (key, value)| node.with(key, value.clone()));
        self.0.nodes.push(node);
        name
    }
}

/// The head of a YOLO export over a mean of grey levels: dark cells of stride 8 are of class 1, dark cells of stride 32 of
/// class 2; every side's length follows from the grey level, too.
fn export() -> Model {
    let mut m = Maker::default();
    let (mut boxes, mut scores, mut anchors, mut strides) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (level, stride) in [8_i64, 16, 32].into_iter().enumerate() {
        let cells = (SIDE / stride) * (SIDE / stride);
        let window = [("kernel_shape", Setting::Wholes(vec![stride; 2])), ("strides", Setting::Wholes(vec![stride; 2]))];
        let grid = m.op("AveragePool", &["images"], &window);
        let slope: Vec<f32> = (0..64_u8).map(|bin| f32::from(bin % 16) * 0.4 - 2.0).collect();
        let (w, b) = (m.floats(&[64, 1, 1, 1], &slope), m.floats(&[64], &[0.1; 64]));
        let side = m.op("Conv", &[&grid, &w, &b], &[]);
        let of_class = |class: usize| if class == level / 2 && level != 1 { (-40.0, 12.0) } else { (0.0, -9.0) };
        let gains = [of_class(0), of_class(1)];
        let (w, b) = (m.floats(&[2, 1, 1, 1], &gains.map(|gain| gain.0)), m.floats(&[2], &gains.map(|gain| gain.1)));
        let score = m.op("Conv", &[&grid, &w, &b], &[]);
        let (long, short) = (m.wholes(&[1, 64, cells]), m.wholes(&[1, CLASSES, cells]));
        boxes.push(m.op("Reshape", &[&side, &long], &[]));
        scores.push(m.op("Reshape", &[&score, &short], &[]));
        let columns = u16::try_from(SIDE / stride).unwrap();
        let middles = (0..columns).flat_map(|row| (0..columns).map(move |column| (f32::from(column) + 0.5, f32::from(row) + 0.5)));
        anchors.extend(middles);
        strides.extend(vec![f32::from(u8::try_from(stride).unwrap()); usize::try_from(cells).unwrap()]);
    }
    let axis = |axis: i64| [("axis", Setting::Whole(axis))];
    let names = |names: &[String]| names.iter().map(String::as_str).map(str::to_owned).collect::<Vec<_>>();
    let join = |m: &mut Maker, parts: &[String]| m.op("Concat", &names(parts).iter().map(String::as_str).collect::<Vec<_>>(), &axis(2));
    let (sides, scores) = (join(&mut m, &boxes), join(&mut m, &scores));
    let scores = m.op("Sigmoid", &[&scores], &[]);
    let cells = i64::try_from(strides.len()).unwrap();
    let (four, flat) = (m.wholes(&[1, 4, 16, cells]), m.wholes(&[1, 4, cells]));
    let sides = m.op("Reshape", &[&sides, &four], &[]);
    let sides = m.op("Transpose", &[&sides], &[("perm", Setting::Wholes(vec![0, 2, 1, 3]))]);
    let sides = m.op("Softmax", &[&sides], &axis(1));
    let bins: Vec<f32> = (0..16_u8).map(f32::from).collect();
    let bins = m.floats(&[1, 16, 1, 1], &bins);
    let sides = m.op("Conv", &[&sides, &bins], &[]);
    let sides = m.op("Reshape", &[&sides, &flat], &[]);
    let halves = m.wholes(&[2, 2]);
    m.0.nodes.push(Node::new("Split", &[&sides, &halves], &["lt", "rb"]).with("axis", Setting::Whole(1)));
    let middles: Vec<f32> = anchors.iter().map(|anchor| anchor.0).chain(anchors.iter().map(|anchor| anchor.1)).collect();
    let (middles, strides) = (m.floats(&[1, 2, cells], &middles), m.floats(&[1, 1, cells], &strides));
    let (first, last) = (m.op("Sub", &[&middles, "lt"], &[]), m.op("Add", &[&middles, "rb"], &[]));
    let half = m.floats(&[1], &[0.5]);
    let middle = m.op("Add", &[&first, &last], &[]);
    let middle = m.op("Mul", &[&middle, &half], &[]);
    let size = m.op("Sub", &[&last, &first], &[]);
    let boxes = m.op("Concat", &[&middle, &size], &axis(1));
    let boxes = m.op("Mul", &[&boxes, &strides], &[]);
    m.0.nodes.push(Node::new("Concat", &[&boxes, &scores], &["output0"]).with("axis", Setting::Whole(1)));
    m.0.name = "export".to_owned();
    m.0.inputs = vec![Port::floats("images", fixed(&[1, 1, SIDE, SIDE]))];
    m.0.outputs = vec![Port::floats("output0", fixed(&[1, 4 + CLASSES, cells]))];
    Model::new(m.0, 17)
}

const MANIFEST_TEXT: &str = r#"
format = 2
name = "dark"
version = "1.0.0"
summary = "Boxes dark places."
pixel_size_mm = 0.1
[input]
name = "images"
layout = "nchw"
planes = ["test"]
black = 0
white = 255
scale = 0.00392156862745098
offset = 0.0
width_max = 128
height_max = 128
multiple = 32
fill = 255
fixed = true
[task.detect]
floor = 0.2
nms_iou = 0.45
nms_iou_across_classes = 0.7
findings_max = 100
[task.detect.head.yolo]
output = "output0"
[[class]]
name = "small"
threshold = 0.5
[[class]]
name = "large"
threshold = 0.5
[operating_point]
aim = "none"
chosen_on = "nothing"
[operating_point.measured]
[provenance]
data = "none"
split = "none"
training = "Made by hand."
licence = "Apache-2.0"
data_licence = "none"
[provenance.metrics]
[parity]
score_tolerance = 0.001
box_tolerance_pixels = 0.05
[[parity.piece]]
test = "golden/a.png"
expected = "golden/a.json"
[files]
"#;

/// A package around the export whose golden piece has a small and a large dark place.
fn package(folder: &Path, weights: &[u8]) -> Package {
    fs::create_dir(folder.join("golden")).unwrap();
    let dark = |x: u32, y: u32| ((16..24).contains(&x) && (40..48).contains(&y)) || ((64..96).contains(&x) && (64..96).contains(&y));
    let pixels = (0..128_u32).flat_map(|y| (0..128).map(move |x| if dark(x, y) { 10 } else { 230 })).collect();
    Picture::new(128, 128, pixels).unwrap().write_png(&folder.join("golden/a.png")).unwrap();
    fs::write(folder.join(WEIGHTS), weights).unwrap();
    fs::write(folder.join("model.toml"), MANIFEST_TEXT).unwrap();
    fs::write(folder.join("golden/a.json"), "[]").unwrap();
    seal(folder).unwrap();
    let package = Package::open(folder).unwrap();
    let mut detector = Detector::load(&runtime(), &package.clone().without_goldens(), clock()).unwrap();
    let found = detector.findings(&package.goldens()[0].test, None).unwrap();
    let classes: Vec<u8> = found.iter().map(|finding| finding.class.0).collect();
    assert!(classes.contains(&1) && classes.contains(&2), "{found:?}");
    fs::write(folder.join("golden/a.json"), serde_json::to_string(&found).unwrap()).unwrap();
    seal(folder).unwrap();
    Package::open(folder).unwrap()
}

#[test]
fn a_cut_package_has_no_softmax_and_finds_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, to) = (folder.path().join("whole"), folder.path().join("cut"));
    fs::create_dir(&whole).unwrap();
    let weights = export().write();
    package(&whole, &weights);
    // How much faster so small a model is depends on the machine's mood; everything else must hold.
    match cut_package(&runtime(), &whole, &to, &clock()) {
        Ok(ratio) => assert!(ratio < 1.0),
        Err(CutError::Slower { ratio, .. }) => {
            assert!(ratio >= 1.0 && !to.exists());
            return;
        }
        Err(error) => panic!("{error:?}"),
    }
    let cut = Package::open(&to).unwrap();
    assert_eq!(cut.model().package, "dark@1.0.0-verdict-first");
    let Task::Detect(boxes) = &cut.manifest().task else { panic!("the task has changed") };
    assert!(matches!(boxes.head, Head::YoloCut(_)));
    let model = Model::read(&fs::read(to.join(WEIGHTS)).unwrap()).unwrap();
    assert!(model.graph.nodes.iter().all(|node| node.op != "Softmax"), "the softmax is gone");
    assert!(model.graph.nodes.len() < Model::read(&weights).unwrap().graph.nodes.len());
    Detector::load(&runtime(), &cut, clock()).unwrap();
}

#[test]
fn what_is_not_known_stays_as_it_is_and_says_why() {
    let head = Yolo { output: "output0".to_owned() };
    let refused = |change: fn(&mut Graph), word: &str| {
        let mut model = export();
        change(&mut model.graph);
        let error = cut(&model.write(), &head).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    };
    refused(|graph| graph.nodes.iter_mut().filter(|node| node.op == "Sigmoid").for_each(|node| node.op = "Tanh".to_owned()), "sigmoid");
    refused(|graph| graph.nodes.iter_mut().filter(|node| node.op == "Softmax").for_each(|node| node.op = "Relu".to_owned()), "softmax");
    refused(|graph| graph.outputs[0].name = "other".to_owned(), "its output is other");
    refused(|graph| graph.outputs[0].dims[2] = Dim::Named("cells".to_owned()), "one size of picture");
    assert!(cut(b"nothing", &head).is_err());
}

#[test]
fn a_package_whose_cut_model_finds_something_else_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, to) = (folder.path().join("whole"), folder.path().join("cut"));
    fs::create_dir(&whole).unwrap();
    // Anchors that are not the middles of cells: the export finds its boxes elsewhere than the standard head does.
    let mut model = export();
    let sizes = model.graph.initializers.iter_mut().find(|tensor| tensor.dims == [1, 2, 336]).unwrap();
    let moved: Vec<f32> = sizes.to_floats().unwrap().iter().map(|middle| middle + 0.25).collect();
    *sizes = Tensor::floats(&sizes.name.clone(), &[1, 2, 336], &moved);
    package(&whole, &model.write());
    let error = cut_package(&runtime(), &whole, &to, &clock()).unwrap_err();
    assert!(matches!(&error, CutError::Gate { .. }), "{error:?}");
    assert!(!to.exists());
    assert!(Manifest::parse(&fs::read_to_string(whole.join("model.toml")).unwrap()).is_ok());
}
