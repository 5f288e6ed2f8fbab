//! `jidoka gauge`: sizes measured in pictures, and how well.

use super::{Failure, say};
use crate::cli::{Gauge as GaugeCommand, GaugeEval, GaugeMeasure};
use crate::gauges;
use crate::pipeline::at;
use serde_json::json;
use vision_models::gauge::{Gauge, GaugeError, Measured, Measurement, Report, draw, evaluate};
use vision_models::picture::Picture;

/// The configuration of a command is wrong (`EX_USAGE` of sysexits.h).
const USAGE: u8 = 64;

pub(super) fn gauge(command: &GaugeCommand) -> Result<(), Failure> {
    match command {
        GaugeCommand::Measure(args) => measure(args),
        GaugeCommand::Eval(args) => eval(args),
    }
}

fn plan(name: &str) -> Result<Gauge, Failure> {
    gauges::open(name).map_err(|error| Failure { text: crate::pipeline::see::chain(&error), code: USAGE })
}

fn measure(args: &GaugeMeasure) -> Result<(), Failure> {
    let gauge = plan(&args.plan)?;
    let picture = Picture::read(&args.image).map_err(at("--image"))?;
    let measured = gauge.measure(&picture).map_err(at(&args.image.display().to_string()))?;
    if let Some(path) = &args.overlay {
        let drawn = draw(&picture, &measured).map_err(at("--overlay"))?;
        drawn.write_png(path).map_err(at("--overlay"))?;
    }
    let text = if args.json { as_json(&measured) } else { sizes(&gauge, &measured) };
    say(&text)?;
    let failed = measured.sizes.iter().filter(|size| size.is_err()).count();
    if failed > 0 {
        return Err(Failure {
            text: format!("{failed} of {} sizes cannot be measured in {}", measured.sizes.len(), args.image.display()),
            code: 1,
        });
    }
    Ok(())
}

fn sizes(gauge: &Gauge, measured: &Measured) -> String {
    let mut text = format!("{:.4} pixels per mm ± {:.2} % (k = 2)\n", measured.scale.value, 200.0 * measured.scale.relative);
    for (size, measure) in measured.sizes.iter().zip(&gauge.plan().measure) {
        let judged = |size: &Measurement| match (measure.nominal, measure.tolerance) {
            (Some(nominal), Some(tolerance)) => {
                let off = size.value - nominal;
                format!("   {off:+.3} from {nominal}, {} ± {tolerance}", if off.abs() <= tolerance { "within" } else { "NOT within" })
            }
            _ => String::new(),
        };
        match size {
            Ok(size) => {
                text.push_str(&format!(
                    "{:<24} {:>9.3} {} ± {:.3} (k = 2){}\n",
                    size.name,
                    size.value,
                    size.unit,
                    size.expanded(),
                    judged(size)
                ));
            }
            Err(error) => text.push_str(&format!("{:<24} {}\n", measure.name, told(error))),
        }
    }
    text.trim_end().to_owned()
}

fn told(error: &GaugeError) -> String {
    format!("no value: {error}")
}

fn as_json(measured: &Measured) -> String {
    let one = |size: &Result<Measurement, GaugeError>| match size {
        Ok(size) => {
            json!({ "name": &*size.name, "value": size.value, "unit": size.unit, "uncertainty": size.uncertainty, "expanded": size.expanded() })
        }
        Err(error) => json!({ "why": error.to_string() }),
    };
    let sizes: Vec<_> = measured.sizes.iter().map(one).collect();
    let scale = json!({ "value": measured.scale.value, "relative_uncertainty": measured.scale.relative });
    json!({ "pixels_per_mm": scale, "sizes": sizes }).to_string()
}

fn eval(args: &GaugeEval) -> Result<(), Failure> {
    let gauge = plan(&args.plan)?;
    if !(args.limit.is_finite() && args.limit > 0.0) {
        return Err(Failure { text: format!("--limit {}: a number above 0", args.limit), code: USAGE });
    }
    let what = format!("{} cannot be evaluated", args.data.display());
    let report = evaluate(&gauge, &args.data, args.limit, &crate::clock::thread_cpu_micros).map_err(at(&what))?;
    if args.json { say(&serde_json::to_string_pretty(&report).map_err(at("the report"))?) } else { say(&table(&report, args.repeat)) }
}

fn table(report: &Report, repeat: bool) -> String {
    let mut text = format!("plan {} on {}\n\n", report.plan, report.data);
    for shown in &report.pictures {
        text.push_str(&format!("{:<20}", shown.file));
        for size in &shown.sizes {
            match (size.value, size.expanded, &size.why) {
                (Some(value), Some(expanded), _) => {
                    let error = size.error.map(|error| format!(" ({error:+.2})")).unwrap_or_default();
                    text.push_str(&format!("  {} {value:.2} ± {expanded:.2}{error}", size.name));
                }
                (_, _, why) => text.push_str(&format!("  {}: {}", size.name, why.as_deref().unwrap_or("no value"))),
            }
        }
        text.push_str(&format!("  {:.1} ms\n", shown.cpu_ms));
    }
    text.push('\n');
    for summary in &report.summary {
        text.push_str(&format!(
            "{}: {} of {} measured, {:.0} % within ±{} {}; error mean {:+.3}, rms {:.3}, greatest {:.3}; {:.0} % of nominals within value ± U\n",
            summary.name,
            summary.measured,
            summary.pictures,
            100.0 * summary.share_within,
            summary.limit,
            summary.unit,
            summary.error_mean,
            summary.error_rms,
            summary.error_max,
            100.0 * summary.share_covered
        ));
    }
    if repeat {
        text.push('\n');
        for repeat in &report.repeat {
            text.push_str(&format!(
                "{} {}: {} pictures, mean {:.3}, standard deviation {:.3}\n",
                repeat.kind, repeat.name, repeat.pictures, repeat.mean, repeat.standard_deviation
            ));
        }
    }
    text.push_str(&format!("\nCPU per picture, median: {:.1} ms", report.cpu_ms_median));
    text
}
