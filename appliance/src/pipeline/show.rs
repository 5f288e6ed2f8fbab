//! What surrounds the line: the store it writes to, the uploads, the page, the panel. Built from the settings.

use crate::config::{BackendName, Language as PanelLanguage, Settings};
use crate::outbox::Outbox;
use crate::panel::{self, Device, Language, PanelSize, PngFile};
use crate::pipeline::people::{Board, People};
use crate::pipeline::see::chain;
use crate::pipeline::{LineError, at, told};
use crate::store::{Store, StoreSettings};
use crate::upload::{ClientIdentity, Context, Contexts, Token, UploadSettings, Uploader};
use jiff::tz::TimeZone;
use station::action::Request;
use station::record::{Body, EntryNumber};
use station::snapshot::Snapshot;
use station::{Past, Setup};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use web_ui::{Page, PageSettings, Refused, Sources};

/// Least time between two pictures of the panel: nobody reads faster, and drawing costs some milliseconds.
const PANEL_INTERVAL: Duration = Duration::from_millis(250);

/// Opens the store and says what it found.
pub fn open_store(settings: &Settings) -> Result<(Store, Past), LineError> {
    let limits = StoreSettings { images: settings.images, ..StoreSettings::default() };
    let (store, report) = Store::open(&settings.data_directory, limits).map_err(at("the store cannot be opened"))?;
    let past = store.resume();
    for warning in report.warnings() {
        tracing::error!("{warning}");
    }
    Ok((store, past))
}

/// An uploader and the outbox it empties.
pub type Upload = (Uploader, Arc<dyn Outbox>);

/// One uploader per configured backend, with its outbox.
pub fn uploads(settings: &Settings, setup: &Setup, store: &Store) -> Result<Vec<Upload>, LineError> {
    let zone = TimeZone::system();
    let names = settings.backends.iter().map(|backend| store.outbox(backend.name.as_str())).collect::<Result<Vec<_>, _>>();
    let outboxes = names.map_err(at("an outbox cannot be opened"))?;
    let waits = outboxes.iter().any(|outbox| outbox.counts().waiting > 0);
    let contexts = contexts(setup, store, &zone, waits)?;
    let mut uploads = Vec::new();
    for (index, (backend, outbox)) in settings.backends.iter().zip(outboxes).enumerate() {
        let seed = u64::try_from(index).unwrap_or_default().wrapping_add(u64::from(std::process::id()) << 8);
        let upload = UploadSettings {
            token: token(&backend.token_file)?,
            roots_pem: backend.authorities.as_deref().map(pem).transpose()?,
            client: client(backend.client.as_ref())?,
            batch_max: backend.batch,
            sample_every: backend.sample_every,
            ..UploadSettings::new(&backend.url, seed)
        };
        let contexts = contexts.clone();
        let uploader = match backend.name {
            BackendName::Traceability => Uploader::traceability(&upload, contexts),
            BackendName::Grading => Uploader::grading(&upload, contexts),
        };
        uploads.push((uploader.map_err(at("an upload cannot be set up"))?, outbox));
    }
    Ok(uploads)
}

/// What was in force when. Only records that still wait need what was in force before this start, and only then is it read.
fn contexts(setup: &Setup, store: &Store, zone: &TimeZone, waits: bool) -> Result<Contexts, LineError> {
    let now =
        Context { identity: setup.identity.clone(), recipe: Arc::clone(&setup.recipe), program: setup.program.clone(), zone: zone.clone() };
    let mut known: Option<Contexts> = None;
    if waits {
        let read = store.read_from(EntryNumber(1), &mut |kept| {
            if let Body::Started(started) = &kept.entry.body {
                let context = Context::from_started(started, zone.clone());
                match &mut known {
                    Some(known) => known.changed(kept.entry.number, context),
                    None => known = Some(Contexts::new(context)),
                }
            }
            ControlFlow::Continue(())
        });
        read.map_err(at("what was in force before cannot be read"))?;
    }
    let Some(mut known) = known else { return Ok(Contexts::new(now)) };
    known.changed(EntryNumber(store.condition().head.number.0 + 1), now);
    Ok(known)
}

fn pem(file: &Path) -> Result<Vec<u8>, LineError> {
    std::fs::read(file).map_err(at(&format!("{} cannot be read", file.display())))
}

fn client(files: Option<&(PathBuf, PathBuf)>) -> Result<Option<ClientIdentity>, LineError> {
    let Some((certificates, key)) = files else { return Ok(None) };
    Ok(Some(ClientIdentity { certificates_pem: pem(certificates)?, key_pem: pem(key)? }))
}

fn token(file: &Path) -> Result<Option<Token>, LineError> {
    let what = format!("the token file {} cannot be used", file.display());
    let text = std::fs::read_to_string(file).map_err(at(&what))?;
    let token = text.trim();
    if token.is_empty() {
        return Ok(None);
    }
    Ok(Some(Token(token.to_owned())))
}

/// The page, bound to its address but not yet served.
pub struct Served {
    /// The page.
    pub page: Page,
    /// Where it listens.
    pub address: SocketAddr,
    /// Where its health comes from.
    pub health: watch::Sender<Arc<web_ui::Health>>,
    listener: std::net::TcpListener,
}

/// Makes the page and binds it.
pub fn page(
    settings: &Settings,
    board: &Board,
    people: &People,
    snapshots: &watch::Receiver<Arc<Snapshot>>,
    decide: impl Fn(Request) -> Result<(), Refused> + Send + Sync + 'static,
) -> Result<Served, LineError> {
    let what = format!("the page cannot listen on {}", settings.page.listen);
    let listener = std::net::TcpListener::bind(settings.page.listen).map_err(at(&what))?;
    listener.set_nonblocking(true).map_err(at(&what))?;
    let address = listener.local_addr().map_err(at(&what))?;
    let (told, health) = watch::channel(Arc::new(board.health(&snapshots.borrow())));
    let sources = Sources {
        snapshots: snapshots.clone(),
        health,
        pictures: Arc::new(people.clone()),
        records: Arc::new(people.clone()),
        decide: Arc::new(decide),
    };
    let page = Page::new(PageSettings::new(settings.page.listen, settings.page.users.clone()), sources).map_err(at("there is no page"))?;
    Ok(Served { page, address, health: told, listener })
}

/// Serves the page until told to stop.
pub fn serve(web: &tokio::runtime::Runtime, served: Served, stop: watch::Receiver<bool>) {
    let Served { page, listener, .. } = served;
    let served = web.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        web_ui::serve(page, listener, told(stop)).await.map_err(std::io::Error::other)
    });
    if let Err(error) = served {
        tracing::error!(error = %chain(&error), "the page is no longer served");
    }
}

/// Draws the panel as it would show the latest snapshot: for a display at its own pace, for the page when somebody asks.
#[derive(Clone)]
pub struct Artist {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    language: Language,
    size: PanelSize,
}

impl Artist {
    /// As the settings say; without a panel, as for the usual display of a small one.
    #[must_use]
    pub fn new(settings: &Settings, snapshots: watch::Receiver<Arc<Snapshot>>) -> Self {
        let panel = settings.panel.as_ref();
        let size = panel
            .map_or(PanelSize { width: 800, height: 480 }, |panel| PanelSize { width: panel.width_pixels, height: panel.height_pixels });
        let language = match panel.map(|panel| panel.language) {
            Some(PanelLanguage::Zh) => Language::Zh,
            _ => Language::En,
        };
        Self { snapshots, language, size }
    }

    /// The panel now.
    #[must_use]
    pub fn draw(&self) -> panel::Picture {
        let snapshot = Arc::clone(&self.snapshots.borrow());
        panel::draw(&snapshot, self.language, self.size)
    }
}

/// The panel's display, the health board and what the PLC is told of the machine: all follow the snapshot at their own pace.
pub struct Panel {
    device: Option<Device>,
    artist: Artist,
    health: Option<watch::Sender<Arc<web_ui::Health>>>,
    facts: watch::Sender<plc_bridge::Facts>,
}

impl Panel {
    /// The panel as configured. Without one, nothing is drawn here.
    #[must_use]
    pub fn new(
        settings: &Settings,
        artist: Artist,
        health: Option<watch::Sender<Arc<web_ui::Health>>>,
        facts: watch::Sender<plc_bridge::Facts>,
    ) -> Self {
        let png = settings.panel.as_ref().and_then(|panel| panel.png.as_ref());
        let device = png.map(|path| Device::Png(PngFile::new(path, artist.size)));
        Self { device, artist, health, facts }
    }

    /// Tells and draws until told to stop.
    pub async fn run(&mut self, mut snapshots: watch::Receiver<Arc<Snapshot>>, board: &Board, stop: watch::Receiver<bool>) {
        let stop = told(stop);
        tokio::pin!(stop);
        let mut failed = false;
        loop {
            let snapshot = Arc::clone(&snapshots.borrow_and_update());
            board.watch();
            self.facts.send_replace(board.facts());
            if let Some(health) = &self.health {
                health.send_replace(Arc::new(board.health(&snapshot)));
            }
            if let Some(device) = &mut self.device
                && let Err(error) = device.show(&self.artist.draw())
                && !std::mem::replace(&mut failed, true)
            {
                tracing::warn!(error = %chain(&error), "the panel shows nothing");
            }
            tokio::select! {
                () = &mut stop => return,
                () = tokio::time::sleep(PANEL_INTERVAL) => {}
            }
            tokio::select! {
                () = &mut stop => return,
                changed = snapshots.changed() => if changed.is_err() { return },
                // Alarms do not wait for a line that does nothing.
                () = tokio::time::sleep(PANEL_INTERVAL) => {}
            }
        }
    }
}
