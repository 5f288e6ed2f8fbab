//! The page as a whole: what it is made of, and the future that serves it.

use crate::auth::{HashError, Sessions, SetUp, Throttle, Users, UsersError};
use crate::live::{self, Live};
use crate::problem::Problem;
use crate::sources::Sources;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

/// Password hashes at one time: each takes 19 MiB and a core for tens of milliseconds.
const HASHES_MAX: usize = 2;

/// Questions to all records at one time: one reads through every row, so that a second one would only make both late.
const QUESTIONS_MAX: usize = 1;

/// Downloads of what a question finds at one time: one lasts as long as somebody reads it.
const DOWNLOADS_MAX: usize = 1;

/// Blocking look-ups (pictures, records) at one time: a slow disk must not take the whole blocking pool.
const LOOKUPS_MAX: usize = 4;

/// How the page is served. [`PageSettings::new`] gives the usual session times.
#[derive(Debug, Clone)]
pub struct PageSettings {
    /// Where it listens. Without TLS only a loopback address will do.
    pub listen: SocketAddr,
    /// The JSON file with the users; made when the first person is set up.
    pub users_file: PathBuf,
    /// A session ends when nobody has touched the page for this long.
    pub session_idle: Duration,
    /// A session ends after this long in any case.
    pub session_max: Duration,
}

impl PageSettings {
    /// One hour idle and one shift of twelve hours (NIST SP 800-63B-4 §2.2.3 allows one hour and 24 hours).
    #[must_use]
    pub fn new(listen: SocketAddr, users_file: PathBuf) -> Self {
        Self { listen, users_file, session_idle: Duration::from_secs(3600), session_max: Duration::from_secs(12 * 3600) }
    }
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// Beyond this machine passwords would travel readable.
    #[error("{listen}: the page is served without TLS, so it must listen on a loopback address; use 127.0.0.1 or [::1]")]
    NeedsTls {
        /// The address that was asked for.
        listen: SocketAddr,
    },
    /// The users cannot be read.
    #[error("the page has no users")]
    Users(#[source] UsersError),
    /// No random numbers for the set-up code.
    #[error("the system gave no random numbers for the set-up code")]
    Random(#[source] getrandom::Error),
    /// Passwords cannot be hashed.
    #[error("passwords cannot be hashed")]
    Hash(#[source] HashError),
    /// The listener failed.
    #[error("the page cannot be served any more")]
    Serve(#[source] std::io::Error),
}

/// The page, ready to be served.
pub struct Page {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Page").finish_non_exhaustive()
    }
}

/// What every handler can reach.
pub(crate) struct Shared {
    pub(crate) sources: Sources,
    pub(crate) users: Arc<Users>,
    pub(crate) sessions: Sessions,
    pub(crate) throttle: Throttle,
    pub(crate) setup: SetUp,
    /// Hashing of passwords.
    pub(crate) hashing: Pool,
    /// Look-ups of pictures and records.
    pub(crate) lookups: Pool,
    /// Questions to all records. Apart from the look-ups: a slow one never delays a piece's page.
    pub(crate) questions: Pool,
    /// Downloads. Apart from the questions: one that lasts an hour delays nobody.
    pub(crate) downloads: Pool,
    /// What live streams send.
    pub(crate) live: watch::Sender<Live>,
    /// Slots for live streams.
    pub(crate) streams: Arc<Semaphore>,
}

impl Shared {
    /// The set-up code, while there is nobody.
    pub(crate) fn setup_code(&self) -> Option<String> {
        if self.users.is_empty() { self.setup.code() } else { None }
    }
}

impl Page {
    /// Makes the page. Reads the users' file and blocks for that and for one hash.
    pub fn new(settings: PageSettings, sources: Sources) -> Result<Self, PageError> {
        if !settings.listen.ip().is_loopback() {
            return Err(PageError::NeedsTls { listen: settings.listen });
        }
        let users = Users::open(settings.users_file).map_err(PageError::Users)?;
        let setup = if users.is_empty() { SetUp::with_code().map_err(PageError::Random)? } else { SetUp::default() };
        let shared = Shared {
            live: watch::Sender::new(Live::fresh()),
            sources,
            users: Arc::new(users),
            sessions: Sessions::new(settings.session_idle, settings.session_max),
            throttle: Throttle::default(),
            setup,
            hashing: Pool::new(HASHES_MAX),
            lookups: Pool::new(LOOKUPS_MAX),
            questions: Pool::new(QUESTIONS_MAX),
            downloads: Pool::new(DOWNLOADS_MAX),
            streams: Arc::new(Semaphore::new(live::STREAMS_MAX)),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The one-time code with which the first person is set up; `None` as soon as somebody can sign in.
    /// Show it where only whoever runs the appliance can see it.
    #[must_use]
    pub fn setup_code(&self) -> Option<String> {
        self.shared.setup_code()
    }

    /// The people who may sign in. Somebody added here makes the set-up code useless.
    #[must_use]
    pub fn users(&self) -> &Arc<Users> {
        &self.shared.users
    }
}

/// Serves `page` on `listener` until `stop`. Live streams are ended, then open answers get a moment to finish.
pub async fn serve(page: Page, listener: TcpListener, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), PageError> {
    let listen = listener.local_addr().map_err(PageError::Serve)?;
    if !listen.ip().is_loopback() {
        return Err(PageError::NeedsTls { listen });
    }
    let router = crate::routes::table(Arc::clone(&page.shared));
    let (closing, closed) = tokio::sync::oneshot::channel::<()>();
    let encoder = live::encode(&page.shared.sources, &page.shared.live, async move {
        stop.await;
        drop(closing);
    });
    let server = crate::server::serve(listener, router, async move {
        // The encoder has closed the streams; now nothing holds a connection open for long.
        drop(closed.await);
    });
    tokio::pin!(encoder, server);
    let served = tokio::select! {
        served = &mut server => served,
        () = &mut encoder => server.await,
    };
    served.map_err(PageError::Serve)
}

/// A bounded share of the runtime's blocking pool.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Semaphore>);

impl Pool {
    fn new(slots: usize) -> Self {
        Self(Arc::new(Semaphore::new(slots)))
    }

    /// Runs `work` on the blocking pool as soon as a slot is free.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let slot = Arc::clone(&self.0).acquire_owned().await;
        finish(tokio::task::spawn_blocking(move || {
            // Held until the work is done, even if whoever asked has gone.
            let _slot = slot;
            work()
        }))
        .await
    }

    /// The same, if a slot gets free in time.
    pub(crate) async fn run_within<T: Send + 'static>(
        &self,
        wait: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let slot = tokio::time::timeout(wait, Arc::clone(&self.0).acquire_owned()).await;
        let slot = slot.map_err(|_| Problem::busy("questions", "another one is being answered"))?;
        finish(tokio::task::spawn_blocking(move || {
            let _slot = slot;
            work()
        }))
        .await
    }
}

async fn finish<T>(work: tokio::task::JoinHandle<T>) -> Result<T, Problem> {
    work.await.map_err(|error| {
        tracing::error!(%error, "a look-up for the page failed");
        Problem::internal()
    })
}
