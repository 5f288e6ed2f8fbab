//! The annotated sample, and the demonstration line's settings made from it.
//!
//! There is one annotated text. The demonstration writes the same text with some values replaced in place, so that every
//! comment is kept, and reads the result back before anybody else does.

use super::{CameraSource, Problems, Settings};
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

const SAMPLE: &str = include_str!("../../../systemd/jidoka.toml");

/// Name of the settings file that [`write_demo_config`] writes.
const DEMO_FILE: &str = "jidoka.toml";

/// The annotated sample file, as it is installed.
#[must_use]
pub const fn sample() -> &'static str {
    SAMPLE
}

/// What differs between the sample and a demonstration line.
#[derive(Debug, Clone, PartialEq)]
pub struct DemoPlaces {
    /// Where the simulated PLC listens, `host:port`.
    pub plc_address: String,
    /// Where the page is to listen.
    pub page_listen: SocketAddr,
    /// Address of the traceability backend.
    pub traceability_url: String,
    /// Address of the grading backend.
    pub grading_url: String,
    /// Folder of the model package.
    pub package: PathBuf,
    /// The ONNX Runtime library, if the program shall not look for it.
    pub onnxruntime: Option<PathBuf>,
    /// Where ledger, pictures and journal are kept.
    pub data_directory: PathBuf,
    /// What delivers the frames.
    pub camera: CameraSource,
}

/// Why the settings of a demonstration could not be written.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// A path cannot be written in a text file.
    #[error("{0} is not UTF-8 and cannot stand in a settings file")]
    Path(PathBuf),
    /// The sample has no such key: a fault of this program.
    #[error("the sample has no key {0}")]
    Sample(String),
    /// The file could not be written.
    #[error("{path} could not be written")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The places do not make valid settings.
    #[error("{0}")]
    Places(Problems),
}

/// Writes `jidoka.toml` into `dir` (made if it is not there): the annotated sample with the demonstration line's places.
/// `users.json`, `traceability.token` and `grading.token` are named beside it and are the caller's to write.
/// Returns the path of the file, which loads without a problem.
pub fn write_demo_config(dir: &Path, places: &DemoPlaces) -> Result<PathBuf, TemplateError> {
    let (path, text) = (dir.join(DEMO_FILE), demo_text(places)?);
    demo_settings(dir, places)?;
    std::fs::create_dir_all(dir)
        .and_then(|()| std::fs::write(&path, text))
        .map_err(|source| TemplateError::Write { path: path.clone(), source })?;
    Ok(path)
}

/// The settings that [`write_demo_config`] would leave in `dir`, without writing anything.
pub fn demo_settings(dir: &Path, places: &DemoPlaces) -> Result<Settings, TemplateError> {
    let file = dir.join(DEMO_FILE).display().to_string();
    Settings::parse(&file, &demo_text(places)?, dir).map_err(TemplateError::Places)
}

fn demo_text(places: &DemoPlaces) -> Result<String, TemplateError> {
    let mut edits = Edits::of(SAMPLE);
    edits.set("data.directory", &path_text(&places.data_directory)?)?;
    match &places.camera {
        CameraSource::Generated { seed, bad_share } => {
            edits.set_raw("camera.seed", seed.to_string())?;
            // `{:?}` keeps the decimal point, by which TOML knows a float.
            edits.set_raw("camera.bad_share", format!("{bad_share:?}"))?;
        }
        CameraSource::Folder { path } | CameraSource::Replay { path } => {
            let kind = if matches!(places.camera, CameraSource::Folder { .. }) { "folder" } else { "replay" };
            edits.set_raw("camera.kind", format!("\"{kind}\"\npath = {}", quoted(&path_text(path)?)))?;
            edits.comment_out("camera.seed")?;
            edits.comment_out("camera.bad_share")?;
        }
        // A demonstration knows its pieces beforehand.
        CameraSource::Live(_) => return Err(TemplateError::Sample("of a demonstration with a live camera".to_owned())),
    }
    let mut package = quoted(&path_text(&places.package)?);
    if let Some(library) = &places.onnxruntime {
        package = format!("{package}\nonnxruntime = {}", quoted(&path_text(library)?));
    }
    edits.set_raw("model.package", package)?;
    edits.set("plc.address", &places.plc_address)?;
    edits.set("page.listen", &places.page_listen.to_string())?;
    edits.set("page.users", "users.json")?;
    edits.set("backend[1].url", &places.traceability_url)?;
    edits.set("backend[1].token_file", "traceability.token")?;
    edits.set("backend[2].url", &places.grading_url)?;
    edits.set("backend[2].token_file", "grading.token")?;
    edits.comment_out("panel.png")?;
    let header = "# The demonstration line, written by `jidoka demo --write-config`: `jidoka run` with this file does the same.\n";
    Ok(format!("{header}{}", edits.apply()))
}

fn path_text(path: &Path) -> Result<String, TemplateError> {
    path.to_str().map(ToOwned::to_owned).ok_or_else(|| TemplateError::Path(path.to_owned()))
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Replacements in a TOML text, by the path of a key.
struct Edits<'t> {
    text: &'t str,
    table: Option<Spanned<DeTable<'t>>>,
    list: Vec<(Range<usize>, String)>,
}

impl<'t> Edits<'t> {
    fn of(text: &'t str) -> Self {
        Self { text, table: DeTable::parse(text).ok(), list: Vec::new() }
    }

    /// Where key and value of `path` stand; `name[2]` is the second item of an array.
    fn find(&self, path: &str) -> Option<(Range<usize>, Range<usize>)> {
        let mut table = self.table.as_ref()?.get_ref();
        let mut steps = path.split('.').peekable();
        while let Some(step) = steps.next() {
            let (name, index) = match step.strip_suffix(']').and_then(|step| step.split_once('[')) {
                Some((name, index)) => (name, index.parse::<usize>().ok()?.checked_sub(1)),
                None => (step, None),
            };
            let (key, value) = table.get_key_value(name)?;
            if steps.peek().is_none() {
                return Some((key.span(), value.span()));
            }
            let inner: &DeValue<'_> = match index {
                Some(index) => value.get_ref().as_array()?.get(index)?.get_ref(),
                None => value.get_ref(),
            };
            table = inner.as_table()?;
        }
        None
    }

    fn set_raw(&mut self, path: &str, value: String) -> Result<(), TemplateError> {
        let (_, place) = self.find(path).ok_or_else(|| TemplateError::Sample(path.to_owned()))?;
        self.list.push((place, value));
        Ok(())
    }

    fn set(&mut self, path: &str, value: &str) -> Result<(), TemplateError> {
        self.set_raw(path, quoted(value))
    }

    fn comment_out(&mut self, path: &str) -> Result<(), TemplateError> {
        let (key, _) = self.find(path).ok_or_else(|| TemplateError::Sample(path.to_owned()))?;
        self.list.push((key.start..key.start, "# ".to_owned()));
        Ok(())
    }

    fn apply(mut self) -> String {
        let mut text = self.text.to_owned();
        self.list.sort_by_key(|(place, _)| place.start);
        for (place, value) in self.list.into_iter().rev() {
            text.replace_range(place, &value);
        }
        text
    }
}
