//! Rubric documents: TOML files that say how pieces and lots are graded.
//!
//! All problems are told at once, each with its line, its key and its mend, as those of the settings. `docs/rubric.md` has the
//! language, `docs/rubric.schema.json` its form for editors.
//!
//! Invariants: a [`Document`] can only be had from a text without a problem; whatever a rubric decides stands in it (no limit has a
//! default, and every grade is named in every table of limits); nothing in it is stricter for a lower grade than for a higher one.

mod factor;
mod lot;
mod worth;

pub use worth::Worth;
pub(crate) use worth::bare;

use super::problem::{Problem, Problems};
use super::raw::{Section, Sheet, nearest};
use super::{FILE_BYTES_MAX, Origin};
use serde::Serialize;
use station::recipe::DefectClass;
use station::rubric::scheme::{Day, Scheme, Shape, SignOff, VerdictBy, Zone, ZoneUnit};
use station::rubric::{CANNOT_JUDGE, Rubric};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

/// The version of the language that this program reads.
const FORMAT: u16 = 1;

/// A rubric document, already checked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Document {
    /// How pieces are graded; always with a scheme.
    pub rubric: Rubric,
    /// What a piece of each grade is worth. `[worth]`
    pub worth: Option<Worth>,
    /// The file, for problems that are found later.
    #[serde(skip)]
    origin: Origin,
}

impl Document {
    /// Reads and checks a document.
    pub fn load(path: &Path) -> Result<Self, Problems> {
        let (file, text) = read_text(path)?;
        Self::parse(&file, &text)
    }

    /// Checks the text of a document. `file` names it in problems.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        let (sheet, table) = Sheet::read(file, text);
        let read = document(&sheet.root(&table));
        let places = sheet.finish()?;
        let origin = Origin { file: file.to_owned(), places };
        // A reader that gives up without telling a problem would be a fault of this module, not of the file.
        let (rubric, worth) = read.ok_or_else(|| {
            let what = "was refused without a reason".to_owned();
            Problems::one(Problem { file: file.to_owned(), line: None, key: String::new(), what, mend: "report this as a bug".to_owned() })
        })?;
        Ok(Self { rubric, worth, origin })
    }

    /// The scheme.
    fn scheme(&self) -> &Scheme {
        self.rubric.scheme.as_deref().expect("a document always has a scheme")
    }

    /// Whether the rubric may grade on this day.
    ///
    /// # Errors
    /// It is not yet in force, or no longer.
    pub fn in_force(&self, today: Day) -> Result<(), Problems> {
        let scheme = self.scheme();
        if today < scheme.effective_from {
            let what = format!("the rubric is in force from {} on; today is {today}", scheme.effective_from);
            return Err(self.problem("effective_from", what, "keep the rubric that is in force until that day"));
        }
        match scheme.effective_until {
            Some(last) if today > last => {
                let what = format!("the rubric was in force until {last}; today is {today}");
                Err(self.problem("effective_until", what, "put the rubric in force that takes its place, or have this one signed off anew"))
            }
            _ => Ok(()),
        }
    }

    /// This rubric at a station of that stage.
    ///
    /// # Errors
    /// It knows no such stage, or knows stages and none is given.
    pub fn at_stage(mut self, stage: Option<&str>) -> Result<Self, String> {
        let mut scheme = self.scheme().clone();
        match stage {
            Some(stage) if !scheme.stages.iter().any(|known| known == stage) => {
                let known = if scheme.stages.is_empty() { "has no stages".to_owned() } else { format!("has {}", scheme.stages.join(", ")) };
                return Err(format!("the rubric knows no stage {}; it {known}", stage.escape_debug()));
            }
            None if !scheme.stages.is_empty() => {
                return Err(format!("the rubric has limits per stage: say which of {}", scheme.stages.join(", ")));
            }
            _ => scheme.stage = stage.map(str::to_owned),
        }
        self.rubric.scheme = Some(Arc::new(scheme));
        Ok(self)
    }

    /// Whether the classes and cameras that the rubric names are there.
    ///
    /// # Errors
    /// Everything it names that is not.
    pub fn fits(&self, classes: &[DefectClass], cameras: &[&str]) -> Result<(), Problems> {
        let scheme = self.scheme();
        let mut found: Vec<Problem> = self.fits_classes(classes).err().iter().flat_map(Problems::iter).cloned().collect();
        let of_zones = scheme.zones.iter().enumerate();
        let of_zones = of_zones.filter_map(|(index, zone)| Some((format!("zone[{}].camera", index + 1), zone.camera.as_ref()?)));
        let of_pixels = scheme.millimetres_per_pixel.keys().filter(|name| !name.is_empty());
        let of_pixels = of_pixels.map(|name| (format!("millimetres_per_pixel.{name}"), name));
        for (key, unknown) in of_zones.chain(of_pixels).filter(|(_, name)| !cameras.contains(&name.as_str())) {
            let what = format!("there is no camera {}", unknown.escape_debug());
            found.extend(self.problem(&key, what, &meant(unknown, cameras)).iter().cloned());
        }
        Problems::found(found).map_or(Ok(()), Err)
    }

    /// Whether the classes that the rubric names are there.
    ///
    /// # Errors
    /// Everything it names that is not.
    pub fn fits_classes(&self, classes: &[DefectClass]) -> Result<(), Problems> {
        let scheme = self.scheme();
        let mut found = Vec::new();
        let names: Vec<&str> = classes.iter().map(|class| class.name.as_str()).collect();
        for (index, factor) in scheme.factors.iter().enumerate() {
            for unknown in factor.rule.classes().iter().filter(|name| !names.contains(&name.as_str())) {
                let what = format!("the model package has no class {}", unknown.escape_debug());
                found.extend(self.problem(&format!("factor[{}].classes", index + 1), what, &meant(unknown, &names)).iter().cloned());
            }
        }
        Problems::found(found).map_or(Ok(()), Err)
    }

    /// Whether the readings that the rubric needs are there: names of tags and of what gauges measure.
    ///
    /// # Errors
    /// Everything it names that is not.
    pub(super) fn reads(&self, tags: &[&str]) -> Result<(), Problems> {
        let mut found = Vec::new();
        for (index, factor) in self.scheme().factors.iter().enumerate() {
            let Some((tag, _)) = factor.rule.reading().filter(|(tag, _)| !tags.contains(tag)) else { continue };
            let what = format!("nothing reads or measures {}", tag.escape_debug());
            let mend =
                if tags.is_empty() { "define it in a [[plc.tag]], or measure it with a [gauge]".to_owned() } else { meant(tag, tags) };
            found.extend(self.problem(&format!("factor[{}].reading", index + 1), what, &mend).iter().cloned());
        }
        Problems::found(found).map_or(Ok(()), Err)
    }

    fn problem(&self, key: &str, what: String, mend: &str) -> Problems {
        let line = self.origin.places.get(key).copied();
        Problems::one(Problem { file: self.origin.file.clone(), line, key: key.to_owned(), what, mend: mend.to_owned() })
    }
}

/// The text of a small file, with its name.
pub(super) fn read_text(path: &Path) -> Result<(String, String), Problems> {
    let file = path.display().to_string();
    let refuse = |what: String, mend: &str| {
        Problems::one(Problem { file: file.clone(), line: None, key: String::new(), what, mend: mend.to_owned() })
    };
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|opened| opened.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| refuse(format!("cannot be read: {error}"), "name an existing file that this user may read"))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > FILE_BYTES_MAX) {
        return Err(refuse(format!("is larger than {FILE_BYTES_MAX} bytes"), "name a settings file or a rubric"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.split(|byte| *byte == b'\n').count();
        refuse(format!("line {line} is not UTF-8"), "save the file as UTF-8")
    })?;
    Ok((file, text))
}

fn meant(wrong: &str, known: &[&str]) -> String {
    match nearest(wrong, known) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("name one of {}", known.join(", ")),
    }
}

/// What factors, zones and lots may name.
struct Known {
    grades: Vec<String>,
    below: String,
    stages: Vec<String>,
    zones: Vec<String>,
    has_pixel: bool,
    has_every_pixel: bool,
}

impl Known {
    /// The index of a grade by its name, that of what is below them among them.
    fn index(&self, name: &str) -> Option<u16> {
        let place = self.grades.iter().chain(std::iter::once(&self.below)).position(|known| known == name)?;
        u16::try_from(place + 1).ok()
    }

    /// As [`Self::index`], `cannot judge` among them.
    fn any_index(&self, name: &str) -> Option<u16> {
        let beside = u16::try_from(self.grades.len() + 2).ok();
        if name == CANNOT_JUDGE { beside } else { self.index(name) }
    }

    fn names(&self) -> String {
        self.grades.iter().chain(std::iter::once(&self.below)).cloned().collect::<Vec<_>>().join(", ")
    }
}

fn document(root: &Section<'_>) -> Option<(Rubric, Option<Worth>)> {
    let _format = root.whole("format", FORMAT..=FORMAT);
    let name = root.text("name", "the name of the rubric");
    let version = root.whole("version", 1..=u16::MAX);
    let form = "a day, for example 2026-11-01";
    let effective_from = root.day("effective_from", form);
    let effective_until = root.optional_day("effective_until", form);
    let by = root.text("signed_off_by", "the name of the person who answers for this rubric");
    let on = root.day("signed_off_on", form);
    if let (Some(from), Some(Some(until))) = (effective_from, effective_until)
        && until < from
    {
        root.wrong("effective_until", format!("the last day lies before the first, {from}"), "write a later day, or remove the key");
    }
    if let (Some(from), Some(on)) = (effective_from, on)
        && on > from
    {
        root.wrong("signed_off_on", format!("it is signed off after it is in force, on {from}"), "a rubric is signed off before it grades");
    }
    let words = [("defects", VerdictBy::Defects), ("grade", VerdictBy::Grade), ("both", VerdictBy::Both)];
    let verdict = root.choice("verdict", &words);
    let grades = names(root, "grades", "a list of grades, best first");
    let below = root.text("below", "the name of what is below the lowest grade");
    let stages = root.texts("stages", "a list of names", named);
    let pixels = root.free_numbers("millimetres_per_pixel", 1e-6..=1000.0);
    if let (Some(grades), Some(below)) = (&grades, below)
        && (grades.iter().any(|grade| grade == below) || below == CANNOT_JUDGE)
    {
        root.wrong("below", "this is the name of a grade", "give what is below the lowest grade a name of its own");
    }
    let zones = root.sections("zone");
    let known = Known {
        zones: zones.iter().filter_map(|zone| zone.glance("name").map(str::to_owned)).collect(),
        grades: grades.clone().unwrap_or_default(),
        below: below.unwrap_or_default().to_owned(),
        stages: stages.clone().unwrap_or_default(),
        has_pixel: pixels.as_ref().is_none_or(|pixels| !pixels.is_empty()),
        has_every_pixel: pixels.as_ref().is_some_and(|pixels| pixels.contains_key(EVERY_CAMERA)),
    };
    let zones: Option<Vec<Zone>> = zones.iter().map(|section| zone(section, &known)).collect::<Vec<_>>().into_iter().collect();
    // Without the names of the grades every table of limits would be wrong.
    let factors = if grades.is_some() && below.is_some() {
        factor::factors(root, &known)
    } else {
        root.glance_sections("factor");
        root.open_ended();
        None
    };
    let lot = root.optional_section("lot").map_or(Some(None), |section| lot::lot(&section, &known).map(Some));
    let sampling = root.optional_section("sampling").map_or(Some(None), |section| lot::sampling(&section, &known).map(Some));
    let worth = root.optional_section("worth").map_or(Some(None), |section| worth::worth(&section).map(Some));
    if let (Some(Some(worth)), true) = (&worth, grades.is_some() && below.is_some()) {
        worth::must_name(root, worth, &known);
    }
    let millimetres = |(name, size): (String, f64)| (if name == EVERY_CAMERA { String::new() } else { name }, size);
    let scheme = Scheme {
        name: name?.to_owned(),
        effective_from: effective_from?,
        effective_until: effective_until?,
        signed_off: SignOff { by: by?.to_owned(), on: on? },
        verdict: verdict?,
        grades: grades?,
        below: below?.to_owned(),
        stage: None,
        stages: stages?,
        millimetres_per_pixel: pixels?.into_iter().map(millimetres).collect::<BTreeMap<_, _>>(),
        zones: zones?,
        factors: factors?,
        lot: lot?,
        sampling: sampling?,
    };
    Some((Rubric { version: version?, bands: Vec::new(), scheme: Some(Arc::new(scheme)) }, worth?))
}

/// The key of `[millimetres_per_pixel]` for cameras that have none of their own.
const EVERY_CAMERA: &str = "every_camera";

fn named(text: &str) -> Result<String, String> {
    match text {
        _ if text.trim().is_empty() => Err("the text is empty".to_owned()),
        CANNOT_JUDGE => Err("this is the name of what a rubric cannot judge".to_owned()),
        text => Ok(text.to_owned()),
    }
}

/// A list of names that must be there and not be empty.
fn names(section: &Section<'_>, key: &'static str, form: &'static str) -> Option<Vec<String>> {
    if !section.has(key) {
        section.misses(key, format!("add `{key} = …`, {form}"));
        return None;
    }
    let list = section.texts(key, form, named)?;
    if list.is_empty() {
        section.wrong(key, "the list is empty", format!("write {form}"));
        return None;
    }
    Some(list)
}

fn zone(section: &Section<'_>, known: &Known) -> Option<Zone> {
    let name = section.text("name", "the name of the zone");
    let camera = section.optional_text("camera", "the name of the camera in whose pictures it lies");
    let shape = section.choice_or("shape", &[("rectangle", Shape::Rectangle), ("ellipse", Shape::Ellipse)], Shape::Rectangle);
    let unit = section.choice("unit", &[("percent", ZoneUnit::Percent), ("px", ZoneUnit::Px), ("mm", ZoneUnit::Mm)]);
    let range = if unit == Some(ZoneUnit::Percent) { 0.0..=100.0 } else { 0.0..=1e6 };
    let x = section.edges("x", range.clone());
    let y = section.edges("y", range);
    let except = section.texts("except", "a list of zones", named);
    if unit == Some(ZoneUnit::Mm) && !known.has_pixel {
        section.wrong("unit", NO_PIXEL.0, NO_PIXEL.1);
    }
    let own = name.unwrap_or_default();
    if known.zones.iter().filter(|zone| *zone == own).count() > 1 {
        section.wrong("name", format!("there are two zones named {own}"), "give each zone a name of its own");
    }
    for cut in except.iter().flatten() {
        // A zone may cut out those before it only, so that no two cut each other.
        let before: BTreeSet<&str> = known.zones.iter().map(String::as_str).take_while(|zone| *zone != own).collect();
        if !before.contains(cut.as_str()) {
            let what = format!("there is no zone {} before this one", cut.escape_debug());
            section.wrong("except", what, "name zones that stand before this one");
        }
    }
    Some(Zone { name: name?.to_owned(), camera: camera?.map(str::to_owned), shape: shape?, unit: unit?, x: x?, y: y?, except: except? })
}

/// What is wrong with a length where no size of a pixel is given, and the mend.
const NO_PIXEL: (&str, &str) = (
    "without the size of a pixel a length cannot be told",
    "add [millimetres_per_pixel] with every_camera = … (`jidoka gauge measure` and the model package's pixel_size_mm tell it), or write px",
);
