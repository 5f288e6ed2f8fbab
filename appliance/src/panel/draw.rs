//! Where everything stands on the panel, from the snapshot to pixels.
//!
//! From top to bottom: name, link and heartbeat; the run permit as one shape and one word; while stopped, what to do; the last
//! piece beside the chart; the counts; the names of the two keys below the display. The layout depends on the size and on
//! whether a stop is shown, never on the length of a text. Drawn for at least 480x300; larger displays get whole multiples.

use super::shapes::{self, Place, fill, frame};
use super::standing::{Link, Standing};
use super::text::{BIG, BODY, Face, HUGE, LARGE, TITLE, fitting};
use super::{Language, PanelSize, Picture, chart, words};
use embedded_graphics::pixelcolor::Rgb565;
use embedded_graphics::prelude::Point;
use station::snapshot::{Snapshot, StopView};
use station::verdict::Verdict;

/// A rectangle in pixels.
#[derive(Clone, Copy)]
pub(super) struct Area {
    pub(super) x: i32,
    pub(super) y: i32,
    pub(super) width: i32,
    pub(super) height: i32,
}

impl Area {
    /// Takes `height` rows and a gap off the top.
    fn take(&mut self, height: i32, gap: i32) -> Self {
        let taken = Self { height, ..*self };
        self.y += height + gap;
        self.height -= height + gap;
        taken
    }

    fn inside(self, by: i32) -> Self {
        Self { x: self.x + by, y: self.y + by, width: self.width - 2 * by, height: self.height - 2 * by }
    }
}

// ISA-101: grey as long as nothing needs a person. Contrasts after WCAG 2.2 1.4.3 are recomputed by a test.
pub(super) const GROUND: Rgb565 = rgb(200, 204, 208);
pub(super) const CARD: Rgb565 = rgb(224, 228, 232);
pub(super) const INK: Rgb565 = rgb(24, 28, 32);
pub(super) const DIM: Rgb565 = rgb(80, 84, 88);
pub(super) const EDGE: Rgb565 = rgb(144, 148, 152);
pub(super) const WHITE: Rgb565 = rgb(255, 255, 255);
/// Only while a stop is shown.
pub(super) const RED: Rgb565 = rgb(184, 16, 24);
/// Something is wrong that is not (yet) a stop.
pub(super) const AMBER: Rgb565 = rgb(248, 192, 48);

/// The heartbeat takes one step per this many microseconds of the snapshot's own clock.
const BEAT_MICROS: u64 = 250_000;
const BEAT_PLACES: u64 = 8;

const fn rgb(red: u8, green: u8, blue: u8) -> Rgb565 {
    Rgb565::new(red >> 3, green >> 2, blue >> 3)
}

/// Draws the panel for a display of `size` pixels (clamped, see [`PanelSize::clamped`]).
#[must_use]
pub fn draw(snapshot: &Snapshot, language: Language, size: PanelSize) -> Picture {
    let size = size.clamped();
    // Bitmap fonts enlarge by whole factors only; so does everything else, to keep its proportions to the text.
    let factor = (size.width / 480).min(size.height / 300).max(1);
    let small = PanelSize { width: size.width / factor, height: size.height / factor };
    let mut picture = Picture::filled(small, GROUND);
    let mut panel = Panel { picture: &mut picture, snapshot, language, standing: Standing::of(snapshot) };
    panel.all(small);
    if factor == 1 { picture } else { picture.enlarged(factor, size, GROUND) }
}

struct Panel<'a> {
    picture: &'a mut Picture,
    snapshot: &'a Snapshot,
    language: Language,
    standing: Standing,
}

impl Panel<'_> {
    fn all(&mut self, size: PanelSize) {
        let side = |pixels: u32| i32::try_from(pixels).unwrap_or(i32::MAX);
        let roomy = size.width >= 640 && size.height >= 400;
        let gap = if roomy { 6 } else { 4 };
        let mut rest = Area { x: 0, y: 0, width: side(size.width), height: side(size.height) }.inside(gap);
        let header = rest.take(BODY.height + 2, gap);
        self.header(header);
        let permit = match (roomy, self.standing.is_stop()) {
            (true, true) => 176,
            (true, false) => 136,
            (false, true) => 118,
            (false, false) => 98,
        };
        let permit = rest.take(permit, gap);
        self.permit(permit, roomy);
        if self.standing.is_stop() {
            let steps = rest.take(if roomy { 56 } else { BODY.height + 4 }, gap);
            self.next_steps(steps);
        }
        let keys = if roomy { 38 } else { BODY.height + 2 };
        let counts = if roomy { 50 } else { BODY.height + 2 };
        let middle = rest.take(rest.height - keys - counts - 2 * gap, gap);
        let left = middle.width * 2 / 5;
        let padding = if roomy { 8 } else { 4 };
        self.last_piece(Area { width: left - gap, ..middle }, padding);
        self.chart(Area { x: middle.x + left, width: middle.width - left, ..middle }, padding);
        let counts = rest.take(counts, gap);
        self.counts(counts, roomy);
        self.keys(Area { height: keys, ..rest });
    }

    fn text(&mut self, face: Face, x: i32, y: i32, width: i32, text: &str, colour: Rgb565) -> i32 {
        face.draw(self.picture, Point::new(x, y), width, text, colour)
    }

    /// Text that ends at `right`; returns where it begins.
    fn text_right(&mut self, face: Face, right: i32, y: i32, width: i32, text: &str, colour: Rgb565) -> i32 {
        let used = face.width(text).min(width);
        self.text(face, right - used, y, used, text, colour);
        right - used
    }

    fn card(&mut self, area: Area, colour: Rgb565) {
        fill(self.picture, area.x, area.y, area.width, area.height, colour);
        frame(self.picture, (area.x, area.y, area.width, area.height), 1, EDGE);
    }

    fn header(&mut self, area: Area) {
        let (snapshot, language) = (self.snapshot, self.language);
        let mut right = self.heartbeat(area) - 14;
        let mut warnings = Vec::new();
        match Link::of(snapshot) {
            Link::Up => {
                right = self.text_right(BODY, right, area.y, 120, "PLC", INK) - 20;
                shapes::tick(self.picture, Place(right, area.y + 4, 14), 3, INK);
                right -= 14;
            }
            Link::Unknown => {
                right = self.text_right(BODY, right, area.y, 180, language.say("PLC: not heard yet", "PLC尚无消息"), DIM) - 20;
                shapes::ring(self.picture, Place(right, area.y + 4, 14), 3, DIM, GROUND);
                right -= 14;
            }
            Link::Down(fault) => warnings.push(words::fault(language, fault)),
        }
        if snapshot.plc.estop {
            warnings.push(language.say("E-STOP", "急停"));
        }
        if !snapshot.line_stop.armed {
            warnings.push(language.say("STOP NOT ARMED", "停线未启用"));
        }
        if snapshot.plc.inhibit_expired {
            warnings.push(language.say("KEY EXPIRED", "钥匙屏蔽已过期"));
        } else if snapshot.plc.stop_inhibit {
            warnings.push(language.say("STOPS OFF BY KEY", "钥匙屏蔽停线"));
        }
        for warning in warnings {
            let width = (BODY.width(warning) + 32).min(right - area.x);
            right -= width;
            fill(self.picture, right, area.y, width, area.height, AMBER);
            shapes::warning(self.picture, Place(right + 4, area.y + 3, 18), INK, AMBER);
            self.text(BODY, right + 26, area.y + 1, width - 28, warning, INK);
            right -= 8;
        }
        let name = format!("{}  {}", snapshot.line, snapshot.recipe);
        self.text(BODY, area.x, area.y, right - area.x, &name, INK);
    }

    /// A dot that wanders with the snapshot's clock: what stands still is not told anew. Returns its left edge.
    fn heartbeat(&mut self, area: Area) -> i32 {
        let place = i32::try_from(self.snapshot.at.mono_micros / BEAT_MICROS % BEAT_PLACES).unwrap_or(0);
        let left = area.x + area.width - 74;
        let middle = area.y + area.height / 2;
        fill(self.picture, left, middle - 1, 74, 2, EDGE);
        shapes::disc(self.picture, Place(left + place * 9, middle - 5, 11), INK);
        left
    }

    fn permit(&mut self, area: Area, roomy: bool) {
        let (ground, ink) = match self.standing {
            Standing::Stopped => (RED, WHITE),
            Standing::Inhibited => (AMBER, INK),
            _ => (CARD, INK),
        };
        self.card(area, ground);
        if self.standing == Standing::Acknowledged {
            frame(self.picture, (area.x, area.y, area.width, area.height), if roomy { 7 } else { 4 }, RED);
        }
        let side = if roomy { 104 } else { 54 };
        self.shape(Place(area.x + if roomy { 18 } else { 14 }, area.y + (area.height - side) / 2, side), ground, ink);
        let x = area.x + side + if roomy { 40 } else { 30 };
        let width = area.x + area.width - x - 14;
        let stop = if self.standing.is_stop() { self.snapshot.stop.as_ref() } else { None };
        let word = words::standing(self.language, self.standing);
        let face = fitting(if roomy { &[HUGE, BIG, TITLE] } else { &[BIG, TITLE, LARGE] }, word, width);
        let tall = if roomy { HUGE.height } else { BIG.height };
        let mut y = area.y + 2;
        let used = self.text(face, x, y + (tall - face.height) / 2, width, word, ink);
        let piece_shown = self.beside(area, stop, width - used - 16, ink);
        y += tall;
        let (first, second) = self.explained(stop, !piece_shown);
        let face = match (roomy, second.is_empty()) {
            (true, false) => fitting(&[TITLE, LARGE, BODY], &first, width),
            _ => fitting(&[LARGE, BODY], &first, width),
        };
        self.text(face, x, y, width, &first, ink);
        y += face.height;
        let face = if roomy { fitting(&[LARGE, BODY], &second, width) } else { BODY };
        self.text(face, x, y, width, &second, ink);
    }

    /// The large word's shape.
    fn shape(&mut self, place: Place, ground: Rgb565, ink: Rgb565) {
        let Place(x, y, side) = place;
        let inner = Place(x + side * 3 / 10, y + side * 3 / 10, side * 2 / 5);
        let thick = (side / 14).max(4);
        match self.standing {
            Standing::Stopped | Standing::Acknowledged => {
                let (sign, mark) = if self.standing == Standing::Stopped { (WHITE, RED) } else { (RED, CARD) };
                shapes::octagon(self.picture, place, sign);
                if self.standing == Standing::Stopped {
                    fill(self.picture, x + side / 5, y + side * 2 / 5, side * 3 / 5, side / 5, mark);
                } else {
                    shapes::tick(self.picture, inner, thick * 3 / 2, mark);
                }
            }
            Standing::Inhibited => shapes::warning(self.picture, place, ink, ground),
            Standing::Running | Standing::Ready | Standing::Starting | Standing::Releasing => {
                shapes::ring(self.picture, place, thick, ink, ground);
                match self.standing {
                    Standing::Running => shapes::play(self.picture, Place(inner.0 + inner.2 / 8, inner.1, inner.2), ink),
                    Standing::Ready => shapes::bars(self.picture, inner, ink),
                    _ => shapes::dots(self.picture, Place(x + side / 4, y + side / 4, side / 2), ink),
                }
            }
        }
    }

    /// Number, age and piece of the stop at the right edge, as far as `room` goes; true if the piece was among them.
    fn beside(&mut self, area: Area, stop: Option<&StopView>, room: i32, ink: Rgb565) -> bool {
        let Some(stop) = stop else { return false };
        let language = self.language;
        let piece = stop.piece.map(|piece| format!("{}{piece}", language.say("Piece ", "工件 ")));
        let lines = [
            Some(format!("{}{}", language.say("Stop ", "停线 "), stop.seq)),
            words::lasting(language, stop.since, self.snapshot.at),
            piece.clone(),
        ];
        let fits = |line: &String| BODY.width(line) <= room;
        let mut y = area.y + 10;
        for line in lines.iter().flatten().filter(|line| fits(line)) {
            self.text_right(BODY, area.x + area.width - 14, y, room, line, ink);
            y += BODY.height;
        }
        piece.as_ref().is_some_and(fits)
    }

    /// Two lines below the large word.
    fn explained(&self, stop: Option<&StopView>, with_piece: bool) -> (String, String) {
        let Some(stop) = stop else {
            return (words::meaning(self.language, self.standing).to_owned(), String::new());
        };
        let mut first = words::reason(self.language, stop.first).to_owned();
        let others = stop.reasons.iter().filter(|reason| *reason != stop.first).count();
        if others > 0 {
            first.push_str(&format!(" (+{others})"));
        }
        let second = words::acknowledged(self.language, stop).filter(|_| self.standing == Standing::Acknowledged);
        let piece = stop.piece.filter(|_| with_piece).map(|piece| format!("{}{piece}: ", self.language.say("Piece ", "工件 ")));
        (first, second.unwrap_or_else(|| format!("{}{}", piece.unwrap_or_default(), stop.detail)))
    }

    fn next_steps(&mut self, area: Area) {
        self.card(area, WHITE);
        let steps = words::next_steps(self.language, self.standing, self.snapshot.stop.as_ref());
        // Where only one line has room, it is the one without which the line never runs again.
        let rows = usize::try_from(area.height / BODY.height).unwrap_or(1).max(1);
        let steps = &steps[steps.len().saturating_sub(rows)..];
        let width = area.width - 48;
        let face = if steps.len() == 1 && area.height >= LARGE.height { fitting(&[LARGE, BODY], &steps[0], width) } else { BODY };
        let lines = i32::try_from(steps.len()).unwrap_or(1);
        let mut y = area.y + (area.height - lines * face.height) / 2;
        for step in steps {
            shapes::play(self.picture, Place(area.x + 14, y + face.height / 2 - 7, 14), INK);
            self.text(face, area.x + 38, y, width, step, INK);
            y += face.height;
        }
    }

    fn last_piece(&mut self, area: Area, padding: i32) {
        self.card(area, CARD);
        let language = self.language;
        let inside = area.inside(padding);
        let Some(piece) = self.snapshot.pieces.last() else {
            self.text(BODY, inside.x, inside.y, inside.width, language.say("No piece yet", "尚无工件"), DIM);
            return;
        };
        let title = format!("{}{}", language.say("Piece ", "工件 "), piece.piece);
        let mut y = inside.y;
        let grade = format!("{}{}", language.say("Grade ", "等级 "), piece.grade);
        let used = self.text(BODY, inside.x, y, inside.width, &title, DIM);
        if !piece.grade.is_empty() && used + 12 + BODY.width(&grade) <= inside.width {
            self.text_right(BODY, inside.x + inside.width, y, inside.width, &grade, DIM);
        }
        y += BODY.height;
        self.verdict_shape(Place(inside.x + 2, y + 8, 26), piece.verdict);
        let word = words::verdict(language, piece.verdict);
        let face = fitting(&[TITLE, LARGE], word, inside.width - 42);
        self.text(face, inside.x + 42, y + (TITLE.height - face.height) / 2, inside.width - 42, word, INK);
        y += TITLE.height + 2;
        let rows = usize::try_from((inside.y + inside.height - y) / BODY.height).unwrap_or(0);
        for line in BODY.lines(&piece.reason, inside.width, rows.min(4)) {
            self.text(BODY, inside.x, y, inside.width, &line, INK);
            y += BODY.height;
        }
        self.strip(Area { y: y + 6, height: inside.y + inside.height - y - 6, ..inside });
    }

    /// The verdicts of the last pieces, the newest at the right, if there is room for them.
    fn strip(&mut self, area: Area) {
        let (side, step) = (14, 22);
        if area.height < side + 4 {
            return;
        }
        let pieces = self.snapshot.pieces.iter().rev();
        for (piece, x) in pieces.zip((area.x..=area.x + area.width - side).rev().step_by(step)) {
            self.verdict_shape(Place(x, area.y + area.height - side - 2, side), piece.verdict);
        }
    }

    fn verdict_shape(&mut self, place: Place, verdict: Verdict) {
        match verdict {
            Verdict::Pass => shapes::ring(self.picture, place, place.2 / 6 + 1, INK, CARD),
            Verdict::Reject => shapes::cross(self.picture, place, place.2 / 5, INK),
            Verdict::Hold => shapes::bars(self.picture, place, INK),
        }
    }

    fn chart(&mut self, area: Area, padding: i32) {
        self.card(area, CARD);
        let inside = area.inside(padding);
        match chart::chosen(self.snapshot) {
            Some(view) => {
                let stops = self.standing.is_stop() && self.snapshot.stop.as_ref().is_some_and(|stop| stop.chart == view.id);
                chart::draw(self.picture, inside, self.language, view, stops);
            }
            None => {
                self.text(BODY, inside.x, inside.y, inside.width, self.language.say("No chart in the plan", "控制计划中没有控制图"), DIM);
            }
        }
    }

    fn counts(&mut self, area: Area, roomy: bool) {
        self.card(area, CARD);
        let (language, counters) = (self.language, self.snapshot.counters);
        let columns = [
            (language.say("Total", "检验"), counters.inspected),
            (language.say("Pass", "合格"), counters.pass),
            (language.say("Reject", "不合格"), counters.reject),
            (language.say("Hold", "待判"), counters.hold),
        ];
        let width = area.width / 4;
        for ((name, count), x) in columns.into_iter().zip((area.x..).step_by(usize::try_from(width.max(1)).unwrap_or(1))) {
            let count = count.to_string();
            let used = self.text(BODY, x + 10, area.y + (area.height - BODY.height) / 2, width - 20, name, DIM);
            let room = width - used - 26;
            let face = if roomy { fitting(&[TITLE, LARGE, BODY], &count, room) } else { BODY };
            self.text_right(face, x + width - 12, area.y + (area.height - face.height) / 2, room, &count, INK);
            if x > area.x {
                fill(self.picture, x, area.y + 6, 1, area.height - 12, EDGE);
            }
        }
    }

    /// The keys stand below the display's left and right end; a key that would do nothing now is only outlined.
    fn keys(&mut self, area: Area) {
        let width = area.width * 9 / 20;
        let language = self.language;
        let acknowledge = Area { width, ..area };
        let stop = Area { x: area.x + area.width - width, width, ..area };
        let due = matches!(self.standing, Standing::Stopped | Standing::Inhibited);
        self.key(acknowledge, language.say("ACKNOWLEDGE", "确认"), due);
        self.key(stop, language.say("STOP THE LINE", "停线"), matches!(self.standing, Standing::Running | Standing::Ready));
    }

    fn key(&mut self, area: Area, name: &str, active: bool) {
        let (ground, ink) = if active { (INK, WHITE) } else { (GROUND, DIM) };
        fill(self.picture, area.x, area.y, area.width, area.height, ground);
        frame(self.picture, (area.x, area.y, area.width, area.height), 2, if active { INK } else { EDGE });
        let face = if area.height >= LARGE.height { LARGE } else { BODY };
        let used = face.width(name).min(area.width - 40);
        let x = area.x + (area.width - used - 24) / 2;
        shapes::down(self.picture, Place(x, area.y + area.height / 2 - 5, 14), ink);
        self.text(face, x + 24, area.y + (area.height - face.height) / 2, used, name, ink);
    }
}
