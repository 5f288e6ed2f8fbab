//! Classify: scores of the whole picture. Each class above the floor is a finding that is as large as the frame.

use super::labels::{activate, classes_of};
use super::{DecodeError, Looker, Wanted, check_shape, order, signed};
use crate::package::{ClassEntry, Classify};
use crate::prepare::Geometry;
use crate::runtime::Output;
use station::inspection::{ClassId, Finding};

/// Looks at the scores of a picture.
pub(super) struct ClassifyLooker {
    rules: Classify,
    classes: Vec<Option<ClassId>>,
    shares: Vec<f32>,
}

impl ClassifyLooker {
    pub(super) fn new(rules: Classify, classes: &[ClassEntry]) -> Self {
        let classes = classes_of(&rules.labels, classes);
        Self { rules, classes, shares: Vec::new() }
    }
}

impl Looker for ClassifyLooker {
    fn outputs(&self) -> Vec<Wanted> {
        vec![Wanted { name: self.rules.scores.clone(), shape: vec![signed(self.classes.len())] }]
    }

    fn findings(&mut self, outputs: &[Output<'_>], geometry: &Geometry) -> Result<Vec<Finding>, DecodeError> {
        let &[scores] = outputs else { return Err(DecodeError::Missing { wanted: 1, given: outputs.len() }) };
        let Self { rules, classes, shares } = self;
        check_shape(&rules.scores, scores, &[1, signed(classes.len())])?;
        shares.clear();
        shares.extend_from_slice(scores.values);
        activate(&rules.scores, rules.activation, shares, 1)?;
        let named = classes.iter().zip(shares).filter_map(|(class, share)| Some(((*class)?, *share)));
        let finding = |(class, score)| Finding { class, score, bounds: geometry.whole(), area_mm2: None, camera: 0 };
        let mut found: Vec<Finding> = named.filter(|(_, share)| *share >= rules.floor).map(finding).collect();
        found.sort_by(order);
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::Activation;
    use crate::prepare::tests::{geometry, layout};
    use station::inspection::PixelBox;

    fn run(values: &[f32]) -> Result<Vec<Finding>, DecodeError> {
        let labels = ["dent", "good", "scratch"].map(str::to_owned).to_vec();
        let rules = Classify { scores: "scores".to_owned(), labels, activation: Activation::None, floor: 0.1 };
        let class = |name: &str| ClassEntry { name: name.to_owned(), threshold: 0.5 };
        let mut looker = ClassifyLooker::new(rules, &[class("scratch"), class("dent")]);
        let shape = [1, signed(values.len())];
        looker.findings(&[Output { shape: &shape, values }], &geometry((50, 20), &layout()))
    }

    #[test]
    fn every_class_above_the_floor_is_a_finding_as_large_as_the_frame() {
        let found = run(&[0.3, 0.95, 0.6]).unwrap();
        let bounds = PixelBox { x1: 0.0, y1: 0.0, x2: 50.0, y2: 20.0 };
        let finding = |class, score| Finding { class: ClassId(class), score, bounds, area_mm2: None, camera: 0 };
        assert_eq!(found, [finding(1, 0.6), finding(2, 0.3)], "good is no finding, and the order is that of the scores");
        assert_eq!(run(&[0.05, 0.9, 0.0999]).unwrap(), []);
        assert!(matches!(run(&[0.1, 0.9]), Err(DecodeError::Shape { .. })));
        assert!(matches!(run(&[0.1, f32::NAN, 0.9]), Err(DecodeError::Nonsense { index: 1, .. })));
    }
}
