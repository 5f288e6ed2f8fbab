//! Labels: a model's scores in its own order, of which some are classes of defects and the others kinds of good.
//!
//! Invariant: every class of the package is exactly one label; `package` has checked it.

use super::{DecodeError, check_values, is_score};
use crate::package::{Activation, ClassEntry};
use station::inspection::ClassId;

/// For each label in the model's order the class it stands for; `None` for a kind of good.
pub(super) fn classes_of(labels: &[String], classes: &[ClassEntry]) -> Vec<Option<ClassId>> {
    let number = |label: &String| classes.iter().position(|class| class.name == *label);
    let id = |index: usize| ClassId(u8::try_from(index + 1).unwrap_or(u8::MAX));
    labels.iter().map(|label| number(label).map(id)).collect()
}

/// Makes shares, 0…1, of what the model puts out: `values` is one plane of `cells` numbers per label.
pub(super) fn activate(name: &str, activation: Activation, values: &mut [f32], cells: usize) -> Result<(), DecodeError> {
    match activation {
        Activation::None => {
            check_values(name, values, is_score)?;
            values.iter_mut().for_each(|value| *value = value.clamp(0.0, 1.0));
        }
        Activation::Sigmoid => {
            check_values(name, values, f32::is_finite)?;
            values.iter_mut().for_each(|value| *value = 1.0 / (1.0 + (-*value).exp()));
        }
        Activation::Softmax => {
            check_values(name, values, f32::is_finite)?;
            (0..cells).for_each(|cell| softmax(values, cell, cells));
        }
    }
    Ok(())
}

/// Softmax over the labels of one cell. The largest is taken off first, so that no power overflows.
fn softmax(values: &mut [f32], cell: usize, cells: usize) {
    let of_the_cell = |values: &[f32]| values.iter().skip(cell).step_by(cells).copied().fold(f32::NEG_INFINITY, f32::max);
    let largest = of_the_cell(values);
    let mut sum = 0.0;
    for value in values.iter_mut().skip(cell).step_by(cells) {
        *value = (*value - largest).exp();
        sum += *value;
    }
    values.iter_mut().skip(cell).step_by(cells).for_each(|value| *value /= sum);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_those_computed_by_hand_and_never_overflow() {
        // Two labels, two cells: ln 3 against 0 is three to one, and 300 against −300 is one to nothing.
        let mut values = [3.0_f32.ln(), 300.0, 0.0, -300.0];
        activate("map", Activation::Softmax, &mut values, 2).unwrap();
        assert!(values.iter().zip([0.75, 1.0, 0.25, 0.0]).all(|(got, want)| (got - want).abs() < 1e-6), "{values:?}");
        let mut values = [0.0, -1e30, 1e30];
        activate("map", Activation::Sigmoid, &mut values, 1).unwrap();
        assert_eq!(values, [0.5, 0.0, 1.0]);
        let nonsense = [(Activation::None, 1.5), (Activation::Sigmoid, f32::NAN), (Activation::Softmax, f32::INFINITY)];
        for (activation, value) in nonsense {
            let error = activate("map", activation, &mut [0.5, value], 1).unwrap_err();
            assert!(matches!(error, DecodeError::Nonsense { index: 1, .. }), "{error}");
        }
    }
}
