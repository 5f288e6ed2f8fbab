//! The door to ONNX Runtime: the library is found and opened when the process starts, never linked.
//!
//! Invariants: nothing is fetched; no path of the machine that built the program is in it; every session runs on one
//! thread that does not spin while it waits (spinning cost five times the time on a small machine that has other work).

use crate::decode::Wanted;
use ort::environment::Environment;
use ort::session::Session;
use ort::value::{TensorElementType, TensorRef, ValueType};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use thiserror::Error;

/// The variable that names the library.
const VARIABLE: &str = "ORT_DYLIB_PATH";

/// Where the package puts the library.
const INSTALLED: &str = "/usr/lib/jidoka/libonnxruntime.so";

/// Where `scripts/onnxruntime.sh` puts it, below the root of a source tree or beside the program.
const BESIDE: &str = ".onnxruntime/libonnxruntime.so";

/// Why ONNX Runtime or a model cannot be used.
#[derive(Debug, Error)]
pub enum RuntimeError {
    /// There is no library anywhere it is looked for.
    #[error("no libonnxruntime.so was found; looked at {looked_at}. Run scripts/onnxruntime.sh, or name the library in {VARIABLE}")]
    NotFound {
        /// All places.
        looked_at: String,
    },
    /// The library cannot be opened.
    #[error("{} cannot be opened as ONNX Runtime: {reason}", .library.display())]
    Open {
        /// The library.
        library: PathBuf,
        /// What the loader says.
        reason: String,
    },
    /// The library refuses a model.
    #[error("ONNX Runtime refuses the model: {reason}. {}", mend(.reason))]
    Model {
        /// What it says.
        reason: String,
    },
    /// A run of the model failed.
    #[error("the model did not run: {reason}")]
    Run {
        /// What ONNX Runtime says.
        reason: String,
    },
}

/// What to do about what ONNX Runtime says of a model.
fn mend(reason: &str) -> &'static str {
    let lower = reason.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if says(&["opset", "ir_version", "ir version"]) {
        "Export the model for an older operator set, or install a newer ONNX Runtime"
    } else if says(&["protobuf", "invalid model", "no graph"]) {
        "The file is cut off or is no ONNX: copy the package again"
    } else {
        "Export the model anew and have the package made again"
    }
}

/// The one runtime of the process. ONNX Runtime itself allows no second environment, and no second library.
static OPENED: Mutex<Option<Runtime>> = Mutex::new(None);

/// ONNX Runtime, opened.
#[derive(Debug, Clone)]
pub struct Runtime {
    environment: Environment,
    library: PathBuf,
}

impl Runtime {
    /// Opens this library. A process has one ONNX Runtime: opening the same library again gives the same one.
    ///
    /// # Errors
    /// If it is not there, is no ONNX Runtime of version 1.17 or later, or if another one was opened before.
    pub fn open(library: &Path) -> Result<Self, RuntimeError> {
        let open = |reason: String| RuntimeError::Open { library: library.to_owned(), reason };
        let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = opened.as_ref() {
            let other = || open(format!("{} was opened before, and a process has only one", runtime.library.display()));
            return if runtime.library == library { Ok(runtime.clone()) } else { Err(other()) };
        }
        if !library.is_file() {
            return Err(open("there is no such file".to_owned()));
        }
        let builder = ort::init_from(library).map_err(|error| open(error.to_string()))?;
        // Official builds would tell their maker about models and runs; the program's `main` keeps them from even asking.
        let environment = builder.with_telemetry(false).build().map_err(|error| open(error.to_string()))?;
        Ok(opened.insert(Self { environment, library: library.to_owned() }).clone())
    }

    /// Finds and opens the library: the one named in `ORT_DYLIB_PATH`, the installed one, or the one in `.onnxruntime`
    /// beside the program or in a folder above it.
    ///
    /// # Errors
    /// If there is none, with all places that were looked at, or if the one that was found cannot be opened.
    pub fn find() -> Result<Self, RuntimeError> {
        let named = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
        let program = std::env::current_exe().ok();
        Self::open(&search(named.as_deref(), Path::new(INSTALLED), program.as_deref())?)
    }

    /// The library that was opened.
    #[must_use]
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// Loads a model from its bytes.
    pub(crate) fn load(&self, weights: &[u8]) -> Result<Engine, RuntimeError> {
        let model = |error: &dyn std::fmt::Display| RuntimeError::Model { reason: error.to_string() };
        let mut builder = Session::builder(&self.environment)
            .map_err(|error| model(&error))?
            .with_intra_threads(1)
            .map_err(|error| model(&error))?
            .with_inter_threads(1)
            .map_err(|error| model(&error))?
            .with_intra_op_spinning(false)
            .map_err(|error| model(&error))?;
        let session = builder.commit_from_memory(weights).map_err(|error| model(&error))?;
        Ok(Engine { session })
    }
}

fn search(named: Option<&Path>, installed: &Path, program: Option<&Path>) -> Result<PathBuf, RuntimeError> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let mut looked_at = vec![format!("{VARIABLE} (not set)")];
    if installed.is_file() {
        return Ok(installed.to_owned());
    }
    looked_at.push(installed.display().to_string());
    let folders = program.and_then(Path::parent).into_iter().flat_map(Path::ancestors);
    for folder in folders {
        let beside = folder.join(BESIDE);
        if beside.is_file() {
            return Ok(beside);
        }
    }
    let start = program.and_then(Path::parent).map_or_else(|| "the program".to_owned(), |folder| folder.display().to_string());
    looked_at.push(format!("{BESIDE} in {start} and every folder above it"));
    Err(RuntimeError::NotFound { looked_at: looked_at.join(", ") })
}

/// No task reads more outputs of a model: a score and a box of each scale of a detector.
const OUTPUTS_MAX: usize = 16;

/// Name and shape of an input or output of a model; −1 is a size that may vary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Port {
    pub(crate) name: String,
    pub(crate) shape: Vec<i64>,
}

/// A tensor a model put out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output<'a> {
    pub(crate) shape: &'a [i64],
    pub(crate) values: &'a [f32],
}

/// One loaded model, for one worker.
#[derive(Debug)]
pub(crate) struct Engine {
    session: Session,
}

impl Engine {
    /// The inputs that take 32-bit floats. An input of another kind has no shape here and is refused by its name.
    pub(crate) fn inputs(&self) -> Vec<Port> {
        self.session.inputs().iter().map(|outlet| port(outlet.name(), outlet.dtype())).collect()
    }

    /// The outputs.
    pub(crate) fn outputs(&self) -> Vec<Port> {
        self.session.outputs().iter().map(|outlet| port(outlet.name(), outlet.dtype())).collect()
    }

    /// Runs the model, which has one input, on it and hands these outputs to `read`, in this order.
    pub(crate) fn run<T>(
        &mut self,
        input: ([usize; 4], &[f32]),
        outputs: &[Wanted],
        read: impl FnOnce(&[Output<'_>]) -> T,
    ) -> Result<T, RuntimeError> {
        let failed = |error: ort::Error| RuntimeError::Run { reason: error.to_string() };
        let (shape, values) = input;
        let tensor = TensorRef::from_array_view((shape, values)).map_err(failed)?;
        let results = self.session.run(ort::inputs![tensor]).map_err(failed)?;
        let output = |Wanted { name, .. }: &Wanted| {
            let value = results.get(name).ok_or_else(|| RuntimeError::Run { reason: format!("there is no output {name}") })?;
            let (shape, values) = value.try_extract_tensor::<f32>().map_err(failed)?;
            Ok(Output { shape, values })
        };
        // A list would be reserved for every frame.
        let mut room = [Output { shape: &[], values: &[] }; OUTPUTS_MAX];
        let places = room.get_mut(..outputs.len());
        let places =
            places.ok_or_else(|| RuntimeError::Run { reason: format!("{} outputs are more than {OUTPUTS_MAX}", outputs.len()) })?;
        for (place, wanted) in places.iter_mut().zip(outputs) {
            *place = output(wanted)?;
        }
        Ok(read(places))
    }
}

fn port(name: &str, kind: &ValueType) -> Port {
    let shape = match kind {
        ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } => shape.to_vec(),
        _ => Vec::new(),
    };
    Port { name: name.to_owned(), shape }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_looked_for_upwards_from_the_program_and_every_place_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("target/debug/jidoka");
        let installed = folder.path().join("usr/lib/libonnxruntime.so");
        let text = search(None, &installed, Some(&program)).unwrap_err().to_string();
        assert!(["ORT_DYLIB_PATH", "usr/lib", "target/debug", "scripts/onnxruntime.sh"].iter().all(|part| text.contains(part)), "{text}");
        std::fs::create_dir(folder.path().join(".onnxruntime")).unwrap();
        std::fs::write(folder.path().join(BESIDE), b"").unwrap();
        assert_eq!(search(None, &installed, Some(&program)).unwrap(), folder.path().join(BESIDE));
        let named = Path::new("/somewhere/else.so");
        assert_eq!(search(Some(named), &installed, Some(&program)).unwrap(), named);
        let text = Runtime::open(named).unwrap_err().to_string();
        assert!(text.contains("/somewhere/else.so") && text.contains("no such file"), "{text}");
    }
}
