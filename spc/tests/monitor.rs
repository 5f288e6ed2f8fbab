//! The life of one characteristic: learning, freezing, judging, stopping and starting, and the phase I that never
//! varied.

use spc::limits::SigmaMethod;
use spc::{ChartKind, Monitor, Observation, PairChart, Rule, RuleSet, Sample, SampleError, Settings, SettingsError, Signal};

fn values(phase_one_subgroups: u32) -> Settings {
    Settings { phase_one_subgroups, ..Settings::values() }
}

fn counts(phase_one_subgroups: u32) -> Settings {
    Settings { phase_one_subgroups, ..Settings::counts() }
}

fn shown(observation: &Observation) -> Vec<String> {
    observation.signals().map(|signal| signal.to_string()).collect()
}

fn close(got: f64, expected: f64) {
    assert!((got - expected).abs() < 1e-12, "got {got}, expected {expected}");
}

#[test]
fn learns_then_freezes_then_judges() {
    let mut monitor = Monitor::individuals(values(4)).unwrap();
    for (value, froze) in [(10.0, false), (12.0, false), (11.0, false), (13.0, true)] {
        let observation = monitor.push_value(value).unwrap();
        assert_eq!(observation.froze_limits, froze);
        assert_eq!(observation.point.lines, None);
        assert_eq!(monitor.limits().is_some(), froze);
    }
    // Mean 11.5; moving ranges 2, 1, 2; sigma = (5/3) / (2/√π); D4 = 1 + 3·d3/d2.
    let limits = *monitor.limits().unwrap();
    let root_pi = std::f64::consts::PI.sqrt();
    close(limits.centre, 11.5);
    close(limits.sigma, 5.0 / 6.0 * root_pi);
    let d3 = (2.0 - 4.0 / std::f64::consts::PI).sqrt();
    close(limits.range.unwrap().lines.ucl, 5.0 / 3.0 * (1.0 + 1.5 * root_pi * d3));
    close(limits.range.unwrap().lines.lcl, 0.0);
    assert_eq!((limits.revision, limits.predecessor, limits.subgroups), (1, None, 4));
    assert_eq!(limits.method, SigmaMethod::MovingRange);

    // The first judged moving range looks back at the last value of phase I.
    let observation = monitor.push_value(20.0).unwrap();
    assert_eq!(observation.point.index, 5);
    assert_eq!(observation.moving_range.unwrap().statistic, 7.0);
    assert_eq!(shown(&observation), ["Nelson 1", "Nelson 1 (spread)"]);
    let spread = Signal { rule: Rule::Nelson1, chart: PairChart::Spread };
    assert!(observation.signals().any(|signal| signal == spread));
}

#[test]
fn the_usual_settings_are_those_of_the_books() {
    assert_eq!(Settings::values().phase_one_subgroups, 25);
    assert_eq!(Settings::values().rules, RuleSet::nelson());
    assert_eq!(Settings::values().range_rules, RuleSet::nelson_1_to_4());
    assert_eq!(Settings::counts().rules, RuleSet::nelson_1_to_4());
}

#[test]
fn proportions_have_limits_of_their_own_size() {
    let mut monitor = Monitor::p(counts(2)).unwrap();
    monitor.push_count(4, 50).unwrap();
    monitor.push_count(6, 50).unwrap();
    let point = monitor.push_count(40, 100).unwrap().point;
    // p = 0.1, n = 100: 0.1 ± 3 · 0.03.
    close(point.ucl().unwrap(), 0.19);
    close(point.lcl().unwrap(), 0.01);
    assert!(point.signals.contains(Rule::Nelson1));
    close(monitor.push_count(0, 25).unwrap().point.lcl().unwrap(), 0.0);
}

#[test]
fn a_constant_phase_one_collapses_the_limits_without_a_storm() {
    // A value whose plain mean over 25 is off by a rounding.
    for constant in [0.1, 74.003, -1e-7, 1.0 / 3.0] {
        let mut monitor = Monitor::individuals(values(25)).unwrap();
        for _ in 0..25 {
            monitor.push_value(constant).unwrap();
        }
        let limits = *monitor.limits().unwrap();
        assert_eq!((limits.centre, limits.sigma), (constant, 0.0));
        for _ in 0..100 {
            assert!(shown(&monitor.push_value(constant).unwrap()).is_empty());
        }
        assert_eq!(shown(&monitor.push_value(constant * 1.5).unwrap()), ["Nelson 1", "Nelson 1 (spread)"]);
        // Back again: only the moving range still sees the step.
        assert_eq!(shown(&monitor.push_value(constant).unwrap()), ["Nelson 1 (spread)"]);
        assert!(shown(&monitor.push_value(constant).unwrap()).is_empty());
    }
}

#[test]
fn without_a_defect_in_phase_one_the_first_defect_signals() {
    for chart in [ChartKind::P, ChartKind::Np, ChartKind::U] {
        let mut monitor = Monitor::new(chart, Settings { rules: RuleSet::nelson(), ..counts(25) }).unwrap();
        for n in 1..=60 {
            assert!(shown(&monitor.push_count(0, n).unwrap()).is_empty());
        }
        assert_eq!(shown(&monitor.push_count(1, 500).unwrap()), ["Nelson 1"]);
        assert!(shown(&monitor.push_count(0, 500).unwrap()).is_empty());
    }
}

#[test]
fn with_nothing_but_defects_in_phase_one_the_first_good_piece_signals() {
    let mut monitor = Monitor::p(counts(3)).unwrap();
    for n in 1..=30 {
        assert!(shown(&monitor.push_count(n, n).unwrap()).is_empty());
    }
    assert_eq!(shown(&monitor.push_count(29, 30).unwrap()), ["Nelson 1"]);
}

#[test]
fn a_release_starts_the_runs_anew() {
    let run = |restart_after: usize| {
        let mut monitor = Monitor::individuals(values(4)).unwrap();
        for value in [10.0, 12.0, 9.0, 13.0] {
            monitor.push_value(value).unwrap();
        }
        let limits = *monitor.limits().unwrap();
        let mut hits = Vec::new();
        for (index, value) in [11.5, 11.6].into_iter().cycle().take(12).enumerate() {
            if index == restart_after {
                monitor.restart_runs();
                assert_eq!(monitor.push_value(value).unwrap().moving_range, None);
            } else if monitor.push_value(value).unwrap().point.signals.contains(Rule::Nelson2) {
                hits.push(index);
            }
        }
        assert_eq!(monitor.limits(), Some(&limits));
        hits
    };
    assert_eq!(run(usize::MAX), [8, 9, 10, 11]);
    assert_eq!(run(2), [10, 11]);
    assert_eq!(run(8), []);
}

#[test]
fn relearning_names_the_predecessor() {
    let mut monitor = Monitor::u(counts(2)).unwrap();
    monitor.push_count(3, 10).unwrap();
    assert!(monitor.push_count(5, 10).unwrap().froze_limits);
    monitor.relearn().unwrap();
    assert_eq!((monitor.limits(), monitor.subgroups_to_learn()), (None, 2));
    monitor.push_count(1, 10).unwrap();
    let observation = monitor.push_count(2, 10).unwrap();
    assert_eq!((observation.froze_limits, observation.point.index), (true, 4));
    let limits = monitor.limits().unwrap();
    assert_eq!((limits.revision, limits.predecessor), (2, Some(1)));
    close(limits.centre, 0.15);
}

#[test]
fn learning_waits_for_a_moving_range() {
    let mut monitor = Monitor::individuals(values(2)).unwrap();
    for value in [1.0, 2.0, 3.0] {
        monitor.restart_runs();
        assert!(!monitor.push_value(value).unwrap().froze_limits);
    }
    assert!(monitor.push_value(4.0).unwrap().froze_limits);
}

#[test]
fn what_cannot_be_judged_is_refused_without_a_trace() {
    let mut p = Monitor::p(counts(2)).unwrap();
    p.push_count(1, 10).unwrap();
    let before = p.clone();
    assert_eq!(p.push_count(11, 10), Err(SampleError::CountAboveSize { point: 2, count: 11 }));
    assert_eq!(p.push_count(0, 0), Err(SampleError::Size { point: 2 }));
    assert_eq!(p.push(Sample::Counted { count: 1, size: 10.5 }), Err(SampleError::SizeNotWhole { point: 2 }));
    assert_eq!(p.push_value(0.1), Err(SampleError::WrongSample { point: 2, chart: ChartKind::P }));
    assert_eq!(p, before);

    let mut u = Monitor::u(counts(2)).unwrap();
    assert!(u.push_count(30, 10).is_ok());
    assert_eq!(u.push_count(1, 0), Err(SampleError::Size { point: 2 }));
    assert_eq!(u.push(Sample::Counted { count: 1, size: f64::NAN }), Err(SampleError::Size { point: 2 }));

    let mut individuals = Monitor::individuals(values(2)).unwrap();
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(individuals.push_value(value), Err(SampleError::NotFinite { point: 1 }));
    }
    assert_eq!(individuals.push_value(1e200), Err(SampleError::TooLarge { point: 1 }));
    assert_eq!(individuals, Monitor::individuals(values(2)).unwrap());
}

#[test]
fn settings_that_cannot_be_meant_are_refused() {
    assert_eq!(Monitor::individuals(values(1)), Err(SettingsError::PhaseOneTooShort { got: 1, least: 2 }));
    assert_eq!(Monitor::p(counts(0)), Err(SettingsError::PhaseOneTooShort { got: 0, least: 1 }));
    assert_eq!(Monitor::individuals(Settings { span: 1, ..values(9) }), Err(SettingsError::Span { span: 1 }));
    for width in [0.0, -3.0, f64::NAN, f64::INFINITY] {
        assert_eq!(Monitor::individuals(Settings { width, ..values(9) }), Err(SettingsError::Width));
    }
    let limits = spc::Limits::given_rate(ChartKind::P, 1.5, &Settings::counts());
    assert_eq!(limits, Err(SettingsError::Domain { chart: ChartKind::P }));
}

#[test]
fn given_limits_judge_the_first_point() {
    let limits = spc::Limits::given(100.0, 2.0, &Settings::values()).unwrap();
    let mut monitor = Monitor::with_limits(limits, Settings::values()).unwrap();
    assert_eq!(shown(&monitor.push_value(106.5).unwrap()), ["Nelson 1"]);
    assert!(shown(&monitor.push_value(106.0).unwrap()).is_empty(), "on the limit is not beyond it");
}
