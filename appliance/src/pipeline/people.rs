//! What the page and the panel are told besides the snapshot: records, pictures, health.

use crate::clock::Clock;
use crate::config::Settings;
use crate::host::resident_mib;
use crate::meter::{Meter, Stage};
use crate::outbox::{DECISIONS, Outbox};
use crate::pipeline::deliver::Delivery;
use crate::pipeline::keeping::Keeping;
use crate::pipeline::pictures::Gallery;
use crate::pipeline::see::chain;
use crate::pipeline::show::Artist;
use crate::recall::genealogy;
use crate::recall::page::Asking;
use crate::store::Store;
use crate::store::images::Fate;
use crate::store::images::policy::Class;
use crate::store::images::shelf::Sum;
use crate::store::pictures::shown;
use station::record::{Body, Entry};
use station::snapshot::Snapshot;
use station::units::Digest;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use vision_models::camera::CameraCounters;
use web_ui::health::{ClassView, Health, LatencyView, Part, PartState, PicturesView, UploadView};
use web_ui::{Export, Objection, Picture, Pictures, Records, Writing};

/// Below this much free space the disk is a warning: some days of a busy line.
const FREE_WARNING_MIB: u64 = 2048;
/// Below this much free space the disk is bad: the ballast is all that is left.
const FREE_BAD_MIB: u64 = 256;

/// Records and pictures for the page.
#[derive(Clone)]
pub struct People {
    /// The records.
    pub store: Arc<Store>,
    /// The pictures.
    pub gallery: Arc<Gallery>,
    /// Who draws the panel.
    pub artist: Artist,
    /// The backends of this appliance.
    pub backends: Vec<String>,
    /// Questions to all records.
    pub asking: Asking,
}

impl People {
    /// The piece, the camera of its frame set if it has one, and the picture: of a frame set the one with the worst defect.
    fn image_of(&self, result_id: u64) -> Option<(station::piece::PieceId, Option<Arc<str>>, Digest)> {
        let entry = self.store.piece(result_id).ok().flatten()?;
        let Body::Piece(record) = &entry.body else { return None };
        let Some(inspection) = &record.inspection else {
            // Nobody judged it, so its record names no picture; one was kept all the same.
            let kept = self.gallery.images.of_record(result_id);
            return kept.first().map(|image| (record.arrival.piece, None, *image));
        };
        let camera = (!inspection.views.is_empty()).then(|| Arc::clone(&inspection.camera));
        Some((record.arrival.piece, camera, inspection.image))
    }

    /// The ledger entry of a piece, every decision about that piece, what it came from, and what became of its pictures.
    fn card(&self, entry: &Entry) -> Option<serde_json::Value> {
        let mut card = serde_json::to_value(entry).ok()?;
        let Body::Piece(record) = &entry.body else { return Some(card) };
        let decisions = self.store.decisions_about(record.result_id).unwrap_or_default();
        let genealogy = genealogy::of(&self.store, record).inspect_err(|error| tracing::warn!(%error, "a card has no genealogy"));
        let fields = card.as_object_mut()?;
        if !decisions.is_empty() {
            fields.insert("decisions".to_owned(), serde_json::to_value(decisions).ok()?);
        }
        fields.extend(genealogy.ok().map(|genealogy| ("genealogy".to_owned(), genealogy)));
        fields.insert("pictures".to_owned(), serde_json::to_value(shown(&self.gallery.images, record, None)).ok()?);
        Some(card)
    }
}

impl Pictures for People {
    fn latest(&self) -> Option<Picture> {
        self.gallery.latest()
    }

    fn of(&self, result_id: u64) -> Option<Picture> {
        let (piece, camera, image) = self.image_of(result_id)?;
        let kept = self.gallery.images.get(image).ok();
        let latest = || self.gallery.latest().filter(|latest| latest.piece == piece && latest.camera == camera);
        kept.map(|jpeg| Picture { piece, camera: camera.clone(), jpeg: jpeg.into(), shrink: 1 }).or_else(latest)
    }

    fn gone(&self, result_id: u64) -> Option<String> {
        let entry = self.store.piece(result_id).ok().flatten()?;
        let Body::Piece(record) = &entry.body else { return None };
        let pictures = shown(&self.gallery.images, record, None);
        Some(pictures.first().map_or_else(|| Fate::Never.words(), |picture| picture.words.clone()))
    }

    fn panel(&self) -> Option<Arc<[u8]>> {
        let drawn = self.artist.draw().to_png();
        drawn.inspect_err(|error| tracing::warn!(error = %chain(error), "no picture of the panel was made")).ok().map(Arc::from)
    }
}

impl Records for People {
    fn piece(&self, result_id: u64) -> Option<serde_json::Value> {
        self.store.piece(result_id).ok().flatten().and_then(|entry| self.card(&entry))
    }

    fn find(&self, serial: &str) -> Option<serde_json::Value> {
        self.store.find(serial).ok()?.pop().and_then(|entry| self.card(&entry))
    }

    fn query(&self, pairs: &[(String, String)]) -> Result<serde_json::Value, Objection> {
        self.asking.page(pairs)
    }

    fn count(&self, pairs: &[(String, String)]) -> Result<serde_json::Value, Objection> {
        self.asking.count(pairs)
    }

    fn supplier_lots(&self) -> Result<serde_json::Value, Objection> {
        self.asking.supplier_lots()
    }

    fn export(&self, form: Export, pairs: &[(String, String)]) -> Result<Writing, Objection> {
        self.asking.export(form, pairs)
    }

    fn quarantine(&self) -> Result<serde_json::Value, Objection> {
        let all = self.store.quarantines().map_err(|error| Objection::Unavailable(error.to_string()))?;
        serde_json::to_value(all).map_err(|error| Objection::Unavailable(error.to_string()))
    }

    fn give_another_try(&self, backend: &str, records: &[u64], decisions: &[u64]) -> Option<Result<u64, String>> {
        // Asking for an outbox that is not there would make it.
        let known = self.backends.iter().any(|known| known == backend);
        let outbox = known.then(|| self.store.outbox(backend)).transpose().map_err(|error| error.to_string());
        let named: Vec<u64> = records.iter().copied().chain(decisions.iter().map(|number| DECISIONS.saturating_add(*number))).collect();
        let all = || self.store.quarantined(backend).map(|known| known.into_keys().collect::<Vec<_>>());
        let numbers = || if named.is_empty() { all() } else { Ok(named.clone()) };
        let release = |outbox: Arc<dyn Outbox>| numbers().and_then(|numbers| outbox.release(&numbers)).map_err(|error| error.to_string());
        outbox.transpose().map(|outbox| outbox.and_then(release))
    }
}

/// What the health of the appliance is made from.
#[derive(Clone)]
pub struct Board {
    clock: Clock,
    meter: Arc<Meter>,
    simulated: bool,
    data: PathBuf,
    budget_micros: u64,
    looks: Looks,
}

/// What a board looks at.
#[derive(Clone)]
pub struct Looks {
    /// The uploads, by backend.
    pub deliveries: Vec<(String, Arc<Mutex<Delivery>>)>,
    /// The pictures.
    pub gallery: Arc<Gallery>,
    /// The cameras, by name.
    pub eyes: Vec<(String, Option<Arc<CameraCounters>>)>,
    /// The store thread.
    pub keeping: Arc<Keeping>,
}

impl Board {
    /// A board over what the threads measure.
    #[must_use]
    pub fn new(settings: &Settings, clock: Clock, meter: Arc<Meter>, simulated: bool, looks: Looks) -> Self {
        let budget_micros = settings.recipe.verdict_deadline.0;
        Self { clock, meter, simulated, data: settings.data_directory.clone(), budget_micros, looks }
    }

    /// Raises the alarms that nobody else can raise.
    pub fn watch(&self) {
        self.looks.keeping.watch(self.clock.mono_micros());
    }

    /// The health of the appliance, given what the line shows.
    #[must_use]
    pub fn health(&self, snapshot: &Snapshot) -> Health {
        let latency = self.meter.spread(Stage::EndToEnd);
        Health {
            simulated: self.simulated,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_secs: self.clock.mono_micros() / 1_000_000,
            rss_mib: resident_mib().1,
            camera: self.camera(snapshot),
            model: Self::model(snapshot),
            disk: self.disk(snapshot),
            uploads: self.looks.deliveries.iter().map(|(name, delivery)| upload(name, delivery)).collect(),
            latency: LatencyView {
                p50_micros: latency.p50,
                p99_micros: latency.p99,
                max_micros: latency.max,
                budget_micros: self.budget_micros,
            },
            pictures: self.pictures(),
        }
    }

    fn pictures(&self) -> PicturesView {
        let stock = self.looks.gallery.images.stock();
        let view = |(class, sum): &(Class, Sum)| ClassView { class: class.name(), count: sum.count, bytes: sum.bytes };
        PicturesView {
            classes: stock.classes.iter().map(view).collect(),
            held_count: stock.held.count,
            held_bytes: stock.held.bytes,
            bytes_max: stock.bytes_max,
            removed: stock.removed.iter().map(|(reason, count)| (reason.name(), *count)).collect(),
            lost: self.looks.gallery.lost.load(Ordering::Relaxed),
        }
    }

    /// What the PLC is told of the machine. A storage that does not tell how full it is reads as full: somebody will look.
    #[must_use]
    pub fn facts(&self) -> plc_bridge::Facts {
        let waiting =
            |(_, delivery): &(String, Arc<Mutex<Delivery>>)| delivery.lock().unwrap_or_else(PoisonError::into_inner).counts.waiting;
        let upload_backlog = self.looks.deliveries.iter().map(waiting).fold(0, u64::saturating_add);
        plc_bridge::Facts {
            storage_permille: crate::host::used_permille(&self.data).unwrap_or(1000),
            upload_backlog: u32::try_from(upload_backlog).unwrap_or(u32::MAX),
        }
    }

    /// All cameras as one part: each with its counts, and as good as the worst of them.
    fn camera(&self, snapshot: &Snapshot) -> Part {
        let last = snapshot.pieces.last();
        // Of a frame set the reason names the camera.
        let is_one = self.looks.eyes.len() == 1;
        let misses = |name: &str| {
            let of = |reason: &&str| reason.contains("camera_") || reason.contains("frame_set");
            let reason = last.map(|piece| piece.reason.as_str()).filter(of)?;
            (is_one || reason.contains(&format!("{name}: "))).then_some(reason)
        };
        let mut state = if last.is_some() { PartState::Good } else { PartState::Unknown };
        let mut details = Vec::with_capacity(self.looks.eyes.len());
        for (name, counters) in &self.looks.eyes {
            let counts = counters.as_ref().map(|counters| counters.look()).unwrap_or_default();
            let reason = misses(name).filter(|_| counts.trouble.is_none());
            if counts.trouble.is_some() || reason.is_some() {
                state = PartState::Bad;
            }
            details.push(match (last, reason) {
                (None, _) if counts.trouble.is_none() => format!("{name}: no piece yet"),
                (_, Some(reason)) if is_one => format!("{name}: {reason}; {counts}"),
                (_, Some(reason)) => format!("{reason}; {counts}"),
                _ => format!("{name}: {counts}"),
            });
        }
        Part { state, detail: details.join(" · ") }
    }

    fn model(snapshot: &Snapshot) -> Part {
        let name = snapshot.model.to_string();
        match snapshot.pieces.last() {
            None => Part { state: PartState::Unknown, detail: name },
            Some(piece) if piece.reason.contains("model_error") || piece.reason.contains("deadline") => {
                Part { state: PartState::Bad, detail: format!("{name}: {}", piece.reason) }
            }
            Some(_) => Part { state: PartState::Good, detail: name },
        }
    }

    fn disk(&self, snapshot: &Snapshot) -> Part {
        let free = crate::host::free_mib(&self.data);
        let lost = self.looks.gallery.lost.load(Ordering::Relaxed);
        let backlog = snapshot.backlog_entries;
        let late = self.looks.keeping.late(self.clock.mono_micros());
        let troubles = self.looks.gallery.images.stock().troubles();
        let state = match free {
            _ if late.is_some() => PartState::Bad,
            None => PartState::Unknown,
            Some(free) if free < FREE_BAD_MIB || backlog > 50 => PartState::Bad,
            Some(free) if free < FREE_WARNING_MIB || lost > 0 || !troubles.is_empty() => PartState::Warning,
            Some(_) => PartState::Good,
        };
        let free = free.map_or_else(|| "free space unknown".to_owned(), |free| format!("{:.1} GiB free", free_gib(free)));
        let lost = if lost > 0 { format!(", {lost} pictures not kept") } else { String::new() };
        let backlog = if backlog > 50 { format!(", {backlog} records not yet durable") } else { String::new() };
        let late = late.map_or_else(String::new, |late| format!(", {}", late.words()));
        let troubles: String = troubles.iter().map(|trouble| format!(", {trouble}")).collect();
        Part { state, detail: format!("{free}{backlog}{late}{lost}{troubles}") }
    }
}

#[expect(clippy::cast_precision_loss, reason = "free space in MiB stays far below 2^52, and it is only shown")]
fn free_gib(mib: u64) -> f64 {
    mib as f64 / 1024.0
}

fn upload(name: &str, delivery: &Mutex<Delivery>) -> UploadView {
    let delivery = delivery.lock().unwrap_or_else(PoisonError::into_inner).clone();
    UploadView {
        backend: name.to_owned(),
        kept: delivery.counts.kept,
        delivered: delivery.counts.delivered,
        waiting: delivery.counts.waiting,
        quarantined: delivery.counts.quarantined,
        last_error: delivery.status.trouble.map(|trouble| trouble.words).or(delivery.notice).unwrap_or_default(),
    }
}
