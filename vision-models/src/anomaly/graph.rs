//! The model of a taught package, written as ONNX: exposure, backbone, projection, gallery, score and map in one graph.
//!
//! Invariants: what the graph computes is what `gallery` computes (a test compares them); it has one input, grey levels
//! 0…1 of [`SIDE`] by [`SIDE`] pixels, and two outputs, score and map, both 0…1.

use super::gallery::{Gallery, NEAREST, Usual, WHOLE_WEIGHT, WORST};
use super::statistics::Projection;
use crate::onnx::{Dim, Graph, Model, Node, OnnxError, Port, Setting, Tensor};

/// Our own backbone; `training/backbone` says how it was made.
static BACKBONE: &[u8] = include_bytes!("../../backbone/backbone.onnx");

/// Operator set of the backbone and of what is added here.
const OPSET: i64 = 13;

/// Width and height of the model's input.
pub(super) const SIDE: u32 = 256;

/// Pixels of the input per place.
pub(super) const STRIDE: u32 = 16;

/// Places to the right and down.
const CELLS: i64 = 16;

/// Channels of the backbone at strides 4, 8 and 16, together.
pub(super) const CHANNELS: usize = 24 + 32 + 96;

/// Numbers per place that are kept of them.
pub(super) const KEPT: usize = 32;

/// Names of the ports.
pub(super) const IMAGE: &str = "image";
pub(super) const SCORE: &str = "score";
pub(super) const HEAT: &str = "heat";
pub(super) const FEATURES: &str = "features";

/// The mean grey level to which every picture is brought: exposure drifts, and is no fault of the piece.
const EXPOSURE: f32 = 110.0 / 255.0;

/// Score and map rise with the fourth power of the distance: half at the threshold, 0.94 at twice the threshold.
const POWER: usize = 4;

/// The graph that puts out features alone, to teach from.
pub(super) fn features() -> Result<Vec<u8>, OnnxError> {
    let mut graph = backbone()?;
    let dims = [1, whole(CHANNELS), CELLS, CELLS].map(Dim::Fixed).to_vec();
    graph.outputs = vec![Port::floats(FEATURES, dims)];
    Ok(Model::new(graph, OPSET).write())
}

/// The graph of a taught package: score and map, both half at `threshold` (of a piece) and at what is unusual (of a place).
pub(super) fn taught(projection: &Projection, gallery: &Gallery, usual: &Usual, threshold: f32) -> Result<Vec<u8>, OnnxError> {
    let mut graph = backbone()?;
    project(&mut graph, projection);
    distances(&mut graph, gallery);
    marks(&mut graph, gallery.pieces, usual);
    // The distance of `gallery`, in units of the threshold.
    let weights = 1.0 + WHOLE_WEIGHT;
    scalar(&mut graph, "part_unit", weights * usual.part * threshold);
    scalar(&mut graph, "whole_unit", weights / WHOLE_WEIGHT * usual.whole * threshold);
    scalar(&mut graph, "place_unit", usual.place);
    step(&mut graph, "Div", &["part", "part_unit"], "part_share");
    step(&mut graph, "Div", &["whole", "whole_unit"], "whole_share");
    step(&mut graph, "Add", &["part_share", "whole_share"], "distance");
    step(&mut graph, "Div", &["places", "place_unit"], "place_share");
    half_at_one(&mut graph, "distance", "score_flat");
    half_at_one(&mut graph, "place_share", "heat_flat");
    reshape(&mut graph, "score_flat", SCORE, &[1, 1]);
    reshape(&mut graph, "heat_flat", HEAT, &[1, 1, CELLS, CELLS]);
    graph.outputs =
        vec![Port::floats(SCORE, [1, 1].map(Dim::Fixed).to_vec()), Port::floats(HEAT, [1, 1, CELLS, CELLS].map(Dim::Fixed).to_vec())];
    graph.prune();
    Ok(Model::new(graph, OPSET).write())
}

/// From grey levels 0…1 to `features`: exposure, backbone, and its three planes brought to one grid.
fn backbone() -> Result<Graph, OnnxError> {
    let trained = Model::read(BACKBONE)?.graph;
    let mut graph = Graph::default();
    "anomaly".clone_into(&mut graph.name);
    graph.initializers = trained.initializers;
    let side = i64::from(SIDE);
    graph.inputs = vec![Port::floats(IMAGE, [1, 1, side, side].map(Dim::Fixed).to_vec())];
    scalar(&mut graph, "exposure", EXPOSURE);
    scalar(&mut graph, "darkest", 0.02);
    scalar(&mut graph, "one", 1.0);
    scalar(&mut graph, "two", 2.0);
    let mean =
        Node::new("ReduceMean", &[IMAGE], &["mean"]).with("axes", Setting::Wholes(vec![1, 2, 3])).with("keepdims", Setting::Whole(1));
    graph.nodes.push(mean);
    step(&mut graph, "Max", &["mean", "darkest"], "level");
    step(&mut graph, "Div", &["exposure", "level"], "gain");
    step(&mut graph, "Mul", &[IMAGE, "gain"], "exposed");
    step(&mut graph, "Min", &["exposed", "one"], "cut");
    step(&mut graph, "Mul", &["cut", "two"], "doubled");
    step(&mut graph, "Sub", &["doubled", "one"], "levels");
    graph.nodes.extend(trained.nodes);
    pool(&mut graph, "four", "four_pooled", 4);
    pool(&mut graph, "eight", "eight_pooled", 2);
    let concat = Node::new("Concat", &["four_pooled", "eight_pooled", "sixteen"], &[FEATURES]).with("axis", Setting::Whole(1));
    graph.nodes.push(concat);
    Ok(graph)
}

/// `[places, 1, kept]`: the numbers of each place.
fn project(graph: &mut Graph, projection: &Projection) {
    let (kept, channels) = (whole(projection.kept), whole(projection.channels));
    graph.initializers.push(Tensor::floats("projection", &[kept, channels, 1, 1], &projection.weights));
    graph.initializers.push(Tensor::floats("projection_bias", &[kept], &projection.bias));
    step(graph, "Conv", &[FEATURES, "projection", "projection_bias"], "projected");
    reshape(graph, "projected", "numbers_by_place", &[kept, CELLS * CELLS]);
    let turn = Node::new("Transpose", &["numbers_by_place"], &["turned"]).with("perm", Setting::Wholes(vec![1, 0]));
    graph.nodes.push(turn);
    reshape(graph, "turned", "numbers", &[CELLS * CELLS, 1, kept]);
}

/// `[places, pieces]`: distance to every piece, by `|x − y|² = |x|² + |y|² − 2·x·y`.
fn distances(graph: &mut Graph, gallery: &Gallery) {
    let (places, kept, pieces) = (whole(gallery.places), whole(gallery.kept), whole(gallery.pieces));
    graph.initializers.push(Tensor::floats("gallery", &[places, kept, pieces], &gallery.values));
    graph.initializers.push(Tensor::floats("gallery_squares", &[places, 1, pieces], &gallery.squares()));
    graph.initializers.push(Tensor::wholes("last_axis", &[1], &[2]));
    scalar(graph, "zero", 0.0);
    step(graph, "MatMul", &["numbers", "gallery"], "products");
    step(graph, "Mul", &["products", "two"], "products_twice");
    step(graph, "Mul", &["numbers", "numbers"], "numbers_squared");
    step(graph, "ReduceSum", &["numbers_squared", "last_axis"], "squares");
    step(graph, "Add", &["squares", "gallery_squares"], "both_squares");
    step(graph, "Sub", &["both_squares", "products_twice"], "square_distances");
    // Rounding may make it negative where a piece meets itself.
    step(graph, "Max", &["square_distances", "zero"], "square_distances_cut");
    step(graph, "Sqrt", &["square_distances_cut"], "distances_deep");
    reshape(graph, "distances_deep", "distances", &[places, pieces]);
}

/// `places` (one number per place), `part` and `whole` (one number each).
fn marks(graph: &mut Graph, pieces: usize, usual: &Usual) {
    debug_assert!(usual.part > 0.0 && usual.whole > 0.0, "both are divided by");
    graph.initializers.push(Tensor::wholes("nearest_count", &[1], &[whole(NEAREST.min(pieces))]));
    graph.initializers.push(Tensor::wholes("worst_count", &[1], &[whole(WORST)]));
    let mean = |from: &str, to: &str, axis: i64| {
        Node::new("ReduceMean", &[from], &[to]).with("axes", Setting::Wholes(vec![axis])).with("keepdims", Setting::Whole(0))
    };
    graph.nodes.push(mean("distances", "piece_means", 0));
    let nearest = Node::new("TopK", &["piece_means", "nearest_count"], &["nearest_means", "nearest"]);
    graph.nodes.push(nearest.with("axis", Setting::Whole(0)).with("largest", Setting::Whole(0)));
    let min = |from: &str, to: &str, axis: i64, keep: i64| {
        Node::new("ReduceMin", &[from], &[to]).with("axes", Setting::Wholes(vec![axis])).with("keepdims", Setting::Whole(keep))
    };
    graph.nodes.push(min("nearest_means", "whole", 0, 1));
    graph.nodes.push(Node::new("Gather", &["distances", "nearest"], &["near_distances"]).with("axis", Setting::Whole(1)));
    graph.nodes.push(min("near_distances", "places", 1, 0));
    graph.nodes.push(Node::new("TopK", &["places", "worst_count"], &["worst", "worst_at"]).with("axis", Setting::Whole(0)));
    graph.nodes.push(mean("worst", "part_flat", 0));
    reshape(graph, "part_flat", "part", &[1]);
}

/// `x⁴ / (1 + x⁴)`
fn half_at_one(graph: &mut Graph, from: &str, to: &str) {
    let mut power = from.to_owned();
    for round in 1..=POWER.ilog2() {
        let squared = format!("{from}_{}", 2_u32.pow(round));
        step(graph, "Mul", &[&power, &power], &squared);
        power = squared;
    }
    // Beyond a distance of a thousand thresholds 32 bits would only run out.
    let (cut, more, most) = (format!("{from}_cut"), format!("{from}_more"), format!("{from}_most"));
    scalar(graph, &most, 1e12);
    step(graph, "Min", &[&power, &most], &cut);
    step(graph, "Add", &[&cut, "one"], &more);
    step(graph, "Div", &[&cut, &more], to);
}

fn step(graph: &mut Graph, op: &str, inputs: &[&str], output: &str) {
    graph.nodes.push(Node::new(op, inputs, &[output]));
}

fn pool(graph: &mut Graph, from: &str, to: &str, by: i64) {
    let pool = Node::new("AveragePool", &[from], &[to]);
    graph.nodes.push(pool.with("kernel_shape", Setting::Wholes(vec![by, by])).with("strides", Setting::Wholes(vec![by, by])));
}

fn reshape(graph: &mut Graph, from: &str, to: &str, dims: &[i64]) {
    let shape = format!("{to}_shape");
    graph.initializers.push(Tensor::wholes(&shape, &[whole(dims.len())], dims));
    step(graph, "Reshape", &[from, &shape], to);
}

fn scalar(graph: &mut Graph, name: &str, value: f32) {
    graph.initializers.push(Tensor::floats(name, &[1], &[value]));
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The score of a piece at this distance, of this threshold; what the graph computes.
pub(super) fn score_at(distance: f32, threshold: f32) -> f32 {
    let power = (distance / threshold).powi(i32::try_from(POWER).unwrap_or(4)).min(1e12);
    power / (1.0 + power)
}
