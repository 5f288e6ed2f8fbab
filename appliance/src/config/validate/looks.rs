//! The classes of several model packages as one list: a class is its name, and has one threshold whoever looks.

use super::super::problem::{Problem, Problems};
use super::super::{Looks, ModelSettings, Origin};
use station::inspection::{ClassId, ModelRef};
use station::recipe::DefectClass;
use std::sync::Arc;

/// What the models of all cameras are together.
pub(in crate::config) struct Joined {
    /// Names of the packages, each once.
    pub packages: String,
    /// Every class once, those of the first package first.
    pub classes: Vec<DefectClass>,
    /// For each camera its model, and which of these classes each of its package's classes is.
    pub members: Vec<(Arc<ModelRef>, Vec<ClassId>)>,
}

/// Joins the packages of all cameras.
pub(in crate::config) fn join(settings: &ModelSettings, origin: &Origin, first: &Looks, others: &[Looks]) -> Result<Joined, Problems> {
    let mut joined = Joined { packages: String::new(), classes: Vec::new(), members: Vec::new() };
    // From which package each class has its threshold.
    let mut from: Vec<Arc<ModelRef>> = Vec::new();
    let mut problems = Vec::new();
    let tell = |key: String, what: String, mend: String| Problem {
        file: origin.file.clone(),
        line: origin.places.get(&key).or_else(|| origin.places.get("model.threshold_source")).copied(),
        key,
        what,
        mend,
    };
    for (model, classes) in std::iter::once(first).chain(others) {
        if !joined.members.iter().any(|(known, _)| known == model) {
            let comma = if joined.packages.is_empty() { "" } else { ", " };
            joined.packages.push_str(comma);
            joined.packages.push_str(&model.package);
        }
        let mut ids = Vec::with_capacity(classes.len());
        for class in classes {
            let index = joined.classes.iter().position(|known| known.name == class.name).unwrap_or(joined.classes.len());
            match (joined.classes.get(index), from.get(index)) {
                (Some(known), Some(other)) if known.threshold != class.threshold && !settings.thresholds.contains_key(&class.name) => {
                    let what =
                        format!("{} has {} for this class, and {} has {}", other.package, known.threshold, model.package, class.threshold);
                    problems.push(tell(
                        format!("model.threshold.{}", class.name),
                        what,
                        "write one threshold for it in [model.threshold]".to_owned(),
                    ));
                }
                (None, _) => {
                    joined.classes.push(class.clone());
                    from.push(Arc::clone(model));
                }
                _ => {}
            }
            match u8::try_from(index + 1) {
                Ok(id) => ids.push(ClassId(id)),
                Err(_) => {
                    let what = format!("the packages {} have more than 255 classes together", joined.packages);
                    return Err(Problems::one(tell("camera".to_owned(), what, "take packages with fewer classes".to_owned())));
                }
            }
        }
        joined.members.push((Arc::clone(model), ids));
    }
    Problems::found(problems).map_or(Ok(joined), Err)
}
