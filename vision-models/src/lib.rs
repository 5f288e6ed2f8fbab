//! Camera to inspection.
//!
//! A `camera` fills a `frame` from a pool; a `detector` prepares it, runs the model of a `package` and decodes what the
//! model says into a `station::inspection::Inspection`. `boards` draws pieces whose faults are known, `score` compares.
//!
//! OpenCV is known to `prepare` alone, ONNX Runtime to `runtime` alone, ONNX files to `onnx` alone. Pixels never leave this crate but as a JPEG.

pub mod boards;
pub mod camera;
pub mod cut;
pub mod decode;
pub mod detector;
pub mod evaluate;
pub mod frame;
pub mod gauge;
pub mod onnx;
pub mod package;
pub mod picture;
pub mod prepare;
pub mod runtime;
pub mod score;
