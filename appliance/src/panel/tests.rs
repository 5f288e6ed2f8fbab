//! What the panel must show, and what must never happen to it.

use super::draw::{AMBER, CARD, DIM, GROUND, INK, RED, WHITE};
use super::*;
use station::action::By;
use station::policy::{StopReason, StopReasons};
use station::snapshot::{ChartView, PlcView, Snapshot, StopView};
use station::units::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;

const SIZES: [PanelSize; 3] =
    [PanelSize { width: 800, height: 480 }, PanelSize { width: 480, height: 320 }, PanelSize { width: 1280, height: 800 }];

fn pixels(picture: &Picture, colour: Rgb565) -> usize {
    picture.rows().flatten().filter(|pixel| *pixel == colour.into_storage()).count()
}

/// The largest part of one row that is one run of `colour`, in percent of the width.
fn widest_run(picture: &Picture, colour: Rgb565) -> usize {
    let run = |row: Vec<u16>| row.split(|pixel| *pixel != colour.into_storage()).map(<[u16]>::len).max().unwrap_or(0);
    let widest = picture.rows().map(|row| run(row.collect())).max().unwrap_or(0);
    widest * 100 / picture.size().width as usize
}

#[test]
fn red_is_a_block_when_stopped_and_nowhere_while_the_line_may_run() {
    for size in SIZES {
        for language in [Language::En, Language::Zh] {
            for (name, snapshot) in samples::all() {
                let picture = draw(&snapshot, language, size);
                let red = pixels(&picture, RED);
                match name {
                    "stopped" | "plc_down" => {
                        assert!(widest_run(&picture, RED) > 90 && red * 8 > pixels(&picture, GROUND), "{name} {size:?}")
                    }
                    // A frame, not a block: someone has seen it.
                    "acknowledged" => assert!(widest_run(&picture, RED) > 90 && widest_run(&picture, CARD) > 40, "{name} {size:?}"),
                    "inhibited" => assert!(widest_run(&picture, AMBER) > 90 && widest_run(&picture, RED) < 5, "{name} {size:?}"),
                    _ => assert_eq!((red, pixels(&picture, AMBER)), (0, 0), "{name} {size:?}: grey where all is well"),
                }
            }
        }
    }
}

#[test]
fn without_colour_every_state_still_looks_different() {
    for language in [Language::En, Language::Zh] {
        let shapes: BTreeSet<Vec<bool>> = samples::all()
            .into_iter()
            .map(|(_, snapshot)| {
                // Light or dark against the block's own ground: what is left of a picture on a bad grey display.
                let picture = draw(&snapshot, language, SIZES[0]);
                let block: Vec<Vec<u16>> = picture.rows().skip(50).take(110).map(|row| row.skip(20).take(600).collect()).collect();
                let ground = block[0][0];
                block.into_iter().flatten().map(|pixel| pixel == ground).collect()
            })
            .collect();
        // `plc_down` and `stopped` share shape and word and differ in the reason; all eight differ in the end.
        assert_eq!(shapes.len(), samples::all().len());
    }
}

#[test]
fn a_permit_that_is_not_given_is_never_shown_as_running() {
    let contradiction = Snapshot { run_permit: false, ..samples::running() };
    assert!(widest_run(&draw(&contradiction, Language::En, SIZES[0]), RED) > 90);
}

#[test]
fn the_languages_differ_and_have_every_word() {
    for (name, snapshot) in samples::all() {
        let [en, zh] = [Language::En, Language::Zh].map(|language| draw(&snapshot, language, SIZES[0]));
        assert!(en != zh, "{name}");
    }
    let stop = samples::acknowledged().stop.unwrap();
    for language in [Language::En, Language::Zh] {
        for reason in StopReason::ALL {
            assert!(text::has_all(words::reason(language, reason)), "{reason}");
        }
        for fault in station_faults() {
            assert!(text::has_all(words::fault(language, fault)), "{fault:?}");
        }
        for standing in standings() {
            assert!(
                text::has_all(words::standing(language, standing)) && text::has_all(words::meaning(language, standing)),
                "{standing:?}"
            );
            assert!(words::next_steps(language, standing, Some(&stop)).iter().all(|step| text::has_all(step)));
        }
        assert!(text::has_all(&words::acknowledged(language, &stop).unwrap()));
    }
    assert!(!text::has_all("🙂"), "the check itself can fail");
}

fn station_faults() -> [station::line::LinkFault; 6] {
    use station::line::LinkFault as Fault;
    [Fault::Disconnected, Fault::TimedOut, Fault::HeartbeatFrozen, Fault::ReadBackMismatch, Fault::Refused, Fault::Overrun]
}

fn standings() -> [standing::Standing; 7] {
    use standing::Standing as S;
    [S::Starting, S::Running, S::Ready, S::Stopped, S::Acknowledged, S::Inhibited, S::Releasing]
}

#[test]
fn the_heartbeat_moves_with_the_snapshot_and_with_nothing_else() {
    let draw_at = |mono_micros| {
        let at = Timestamp { mono_micros, ..samples::running().at };
        draw(&Snapshot { at, ..samples::running() }, Language::En, SIZES[0])
    };
    assert!(draw_at(0) != draw_at(250_000));
    assert!(draw_at(0) == draw_at(249_999));
    let places: BTreeSet<Vec<u16>> = (0..8).map(|beat| draw_at(beat * 250_000).rows().flatten().collect()).collect();
    assert_eq!(places.len(), 8);
}

#[test]
fn the_chart_shown_is_the_one_that_stopped_the_line_and_its_signals_are_red_diamonds() {
    let stopped = samples::stopped();
    assert_eq!(chart::chosen(&stopped).unwrap().id, 2);
    assert_eq!(chart::chosen(&samples::running()).unwrap().id, 1);
    let mut other = samples::stopped();
    other.stop.as_mut().unwrap().chart = 0;
    let chart_area = |snapshot: &Snapshot| {
        let picture = draw(snapshot, Language::En, SIZES[0]);
        picture.rows().skip(284).flatten().filter(|pixel| *pixel == RED.into_storage()).count()
    };
    assert!(chart_area(&stopped) > 80, "three signals, each a diamond of 85 pixels that may overlap");
    assert_eq!(chart_area(&other), 0);
}

#[test]
fn a_point_beyond_its_limit_has_another_shape_even_without_a_rule_name() {
    let mut snapshot = samples::running();
    let plain = draw(&snapshot, Language::En, SIZES[0]);
    let mut view: ChartView = snapshot.charts[0].as_ref().clone();
    view.points[55].point.value = 123.1;
    snapshot.charts[0] = Arc::new(view);
    let marked = draw(&snapshot, Language::En, SIZES[0]);
    assert!(pixels(&marked, INK) > pixels(&plain, INK) + 40);
}

#[test]
fn every_text_has_a_contrast_of_at_least_four_and_a_half() {
    // WCAG 2.2, definitions of relative luminance and contrast ratio.
    let luminance = |colour: Rgb565| {
        let linear = rgb888(colour.into_storage()).map(|channel| {
            let share = f64::from(channel) / 255.0;
            if share <= 0.04045 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    };
    for (ink, ground) in [(INK, CARD), (INK, GROUND), (INK, AMBER), (INK, WHITE), (DIM, CARD), (DIM, GROUND), (WHITE, RED), (WHITE, INK)] {
        let (one, other) = (luminance(ink) + 0.05, luminance(ground) + 0.05);
        assert!(one.max(other) / one.min(other) >= 4.5, "{ink:?} on {ground:?}");
    }
}

#[test]
fn the_layout_does_not_move_with_the_length_of_a_text() {
    let mut long = samples::stopped();
    let stop = long.stop.as_mut().unwrap();
    stop.detail = "an endless detail ".repeat(400);
    stop.reaction = "检查".repeat(4000);
    long.line = "L".repeat(3000).into();
    let (short, long) = (draw(&samples::stopped(), Language::En, SIZES[0]), draw(&long, Language::En, SIZES[0]));
    // The left edges of all blocks, from top to bottom.
    let edge = |picture: &Picture| picture.rows().map(|mut row| row.nth(6)).collect::<Vec<_>>();
    let below = |picture: &Picture| picture.rows().skip(276).map(Iterator::collect).collect::<Vec<Vec<u16>>>();
    assert_eq!(edge(&short)[30..], edge(&long)[30..]);
    assert_eq!(below(&short), below(&long));
}

/// A small generator with a fixed seed: the same strings every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn text(&mut self) -> String {
        const ODD: [&str; 12] = ["働", "X\u{304}", "🙂", "\u{202e}", "\0", "\r\n\t", "\u{ffff}", "µ·±—", "，。", "\u{200b}", "    ", "Ω"];
        let length = self.roll(40);
        let part = |dice: &mut Self| match dice.roll(4) {
            0 => ODD[usize::try_from(dice.roll(12)).unwrap()].to_owned(),
            1 => char::from_u32(u32::try_from(dice.roll(0x11_0000)).unwrap()).unwrap_or('\u{fffd}').to_string(),
            2 => char::from_u32(0x4E00 + u32::try_from(dice.roll(0x5200)).unwrap()).unwrap().to_string(),
            _ => char::from(u8::try_from(dice.roll(128)).unwrap()).to_string(),
        };
        (0..length).map(|_| part(self)).collect()
    }

    fn number(&mut self) -> f64 {
        const ODD: [f64; 8] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, f64::MIN_POSITIVE, 0.0, -0.0];
        if self.roll(3) == 0 {
            ODD[usize::try_from(self.roll(8)).unwrap()]
        } else {
            f64::from(u32::try_from(self.roll(1 << 31)).unwrap()) - 1e9
        }
    }

    fn stop(&mut self, stop: &mut StopView) {
        (stop.detail, stop.reaction, stop.cause) = (self.text(), self.text(), self.text());
        stop.reasons = StopReasons(u32::try_from(self.roll(1 << 31)).unwrap());
        stop.chart = u16::try_from(self.roll(4)).unwrap();
        stop.since.wall_micros = if self.roll(2) == 0 { i64::MIN } else { i64::MAX };
        if let Some(By::Person(person)) = &mut stop.acknowledged_by {
            person.name = self.text();
        }
    }

    fn snapshot(&mut self) -> Snapshot {
        let all = samples::all();
        let (_, mut snapshot) = all[usize::try_from(self.roll(8)).unwrap()].clone();
        (snapshot.line, snapshot.recipe) = (self.text().into(), self.text().into());
        if let Some(stop) = &mut snapshot.stop {
            self.stop(stop);
        }
        snapshot.at.mono_micros = self.roll(u64::MAX) << 33;
        snapshot.counters.inspected = u32::MAX;
        snapshot.plc = PlcView { estop: self.roll(2) == 0, stop_inhibit: self.roll(2) == 0, ..snapshot.plc };
        for piece in &mut snapshot.pieces {
            let piece = Arc::make_mut(piece);
            (piece.reason, piece.grade) = (self.text(), self.text());
        }
        for view in &mut snapshot.charts {
            let view = Arc::make_mut(view);
            (view.name, view.unit) = (self.text(), self.text());
            for view in &mut view.points {
                let point = &mut view.point;
                point.value = self.number();
                (point.centre, point.lcl, point.ucl) = (Some(self.number()), Some(self.number()), Some(self.number()));
            }
        }
        snapshot
    }
}

#[test]
fn any_text_number_and_size_gives_a_picture() {
    let mut dice = Dice(20_260_731);
    for _ in 0..150 {
        let snapshot = dice.snapshot();
        let size = PanelSize { width: u32::try_from(dice.roll(900)).unwrap(), height: u32::try_from(dice.roll(600)).unwrap() };
        let language = if dice.roll(2) == 0 { Language::En } else { Language::Zh };
        let picture = draw(&snapshot, language, size);
        assert_eq!(picture.size(), size.clamped());
        assert_eq!(picture.rows().map(Iterator::count).collect::<BTreeSet<_>>(), BTreeSet::from([size.clamped().width as usize]));
    }
    let wide = PanelSize { width: u32::MAX, height: 1 };
    assert_eq!(draw(&samples::stopped(), Language::En, wide).size(), PanelSize { width: 4096, height: 1 });
}

#[test]
fn an_unarmed_line_and_an_expired_key_are_said_in_amber_whatever_else_is_shown() {
    for size in SIZES {
        for language in [Language::En, Language::Zh] {
            let armed = samples::running();
            let mut unarmed = armed.clone();
            unarmed.line_stop.armed = false;
            let mut expired = armed.clone();
            (expired.plc.stop_inhibit, expired.plc.inhibit_expired) = (true, true);
            let amber = |snapshot: &Snapshot| pixels(&draw(snapshot, language, size), AMBER);
            assert_eq!(amber(&armed), 0);
            assert!(amber(&unarmed) > 1000 && amber(&expired) > 1000, "{size:?}");
            assert!(draw(&unarmed, language, size) != draw(&expired, language, size));
        }
    }
}

#[test]
fn a_character_without_a_glyph_is_a_box_and_not_nothing() {
    let with = |detail: &str| {
        let mut snapshot = samples::stopped();
        snapshot.stop.as_mut().unwrap().detail = detail.to_owned();
        draw(&snapshot, Language::En, SIZES[0])
    };
    assert!(pixels(&with("🙂🙂🙂"), WHITE) > pixels(&with("   "), WHITE) + 3 * 200);
    assert!(with("働 X\u{304}") != with(" "));
}

#[test]
fn the_png_holds_the_same_pixels() {
    let picture = draw(&samples::stopped(), Language::Zh, SIZES[1]);
    let file = picture.to_png().unwrap();
    let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
    let mut decoded = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut decoded).unwrap();
    assert_eq!((info.width, info.height, info.color_type), (480, 320, png::ColorType::Rgb));
    let expected: Vec<u8> = picture.rows().flatten().flat_map(rgb888).collect();
    assert!(decoded == expected);
    assert!(decoded.chunks(3).any(|pixel| pixel == rgb888(RED.into_storage())));
    assert_eq!(rgb888(0xFFFF), [255, 255, 255]);
}

/// Writes every sample in both languages and all sizes for a person to look at: `PANEL_PICTURES=folder cargo test panel`.
#[test]
fn pictures_to_look_at() {
    let Some(folder) = std::env::var_os("PANEL_PICTURES").map(std::path::PathBuf::from) else { return };
    for (name, snapshot) in samples::all() {
        for (language, code) in [(Language::En, "en"), (Language::Zh, "zh")] {
            for size in SIZES {
                let path = folder.join(format!("{name}-{code}-{}.png", size.width));
                std::fs::write(path, draw(&snapshot, language, size).to_png().unwrap()).unwrap();
            }
        }
    }
}
