//! Camera to inspection.
//!
//! A `camera` fills a `frame` from a pool; a `detector` prepares it, runs the model of a `package` and decodes what the
//! model says into a `station::inspection::Inspection`. `boards` draws pieces whose faults are known, `score` compares.
//!
//! OpenCV is known to `prepare` alone, ONNX Runtime to `runtime` alone, ONNX files to `onnx` alone. Pixels never leave this crate but as a JPEG.

pub mod anomaly;
pub mod boards;
pub mod camera;
pub mod choice;
pub mod cut;
pub mod decode;
pub mod detector;
pub mod evaluate;
pub mod frame;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod gauge;
pub mod onnx;
pub mod package;
pub mod picture;
pub mod prepare;
pub mod runtime;
pub mod score;

/// An error with everything behind it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.push_str(": ");
        text.push_str(&error.to_string());
        next = error.source();
    }
    text
}
