//! The HMI's server: the pages, the data behind them, and the doors of people to the plant.
//!
//! It reads the engine, the historian and the ledger, and it submits claims like everybody else: nothing here reaches
//! a device. Every bound stands in [`limits`]. Control goes on without it.

mod act;
mod ask;
mod assets;
mod desk;
mod gate;
mod guard;
pub mod limits;
mod live;
mod login;
mod objects;
mod reply;
mod running;
mod sessions;
mod site;
mod users;
mod why;
mod writes;

pub use desk::{Denial, Desk, Person, Why};
pub use sessions::Backoff;
pub use users::{UserStore, Users, UsersError, random_password};

pub use running::ConfigHash;

use crate::gate::{Gate, Peer};
use crate::sessions::Sessions;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use penstock_engine::Engine;
use penstock_historian::Historian;
use penstock_ledger::{ActionLog, Ledger};
use penstock_model::{Clock, DeviceId, HoldTimes, Instant, TagId, Text};
use running::SitePage;
use std::future::IntoFuture;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot, watch};

/// Where the server listens and which files it reads.
#[derive(Debug, Clone)]
pub struct HmiConfig {
    /// Address to listen on; port 0 takes a free one.
    pub bind: SocketAddr,
    /// The users' file, see [`Users`].
    pub users_file: PathBuf,
    /// Folder of the site's drawings, `<name>.svg`.
    pub mimic_dir: PathBuf,
    /// This station's name, as it stands in the action log; also accepted as a host name.
    pub station: String,
}

/// A device as the pages name it.
#[derive(Debug, Clone)]
pub struct DeviceInfo {
    /// Its id.
    pub id: DeviceId,
    /// Its name in the configuration.
    pub name: String,
    /// What a person calls it.
    pub title: Text,
    /// Its driver, for example `modbus`.
    pub driver: String,
    /// Where it is.
    pub address: String,
}

/// The site as the pages name it.
#[derive(Debug, Clone)]
pub struct SiteInfo {
    /// Its name.
    pub name: Text,
    /// IANA name of its time zone.
    pub time_zone: String,
    /// Hash of the running configuration.
    pub config_hash: ConfigHash,
    /// Version of the runtime.
    pub version: String,
    /// Its devices.
    pub devices: Vec<DeviceInfo>,
    /// How long an output that belongs to no object may be held by hand.
    pub hold: HoldTimes,
    /// The site's pages, handed to the front end as they are.
    pub pages: serde_json::Value,
}

/// Counters of what was dropped, by name: the wiring's own queues.
pub type Drops = Arc<dyn Fn() -> Vec<(String, u64)> + Send + Sync>;

/// What the server shows and acts on.
pub struct HmiContext {
    /// The engine.
    pub engine: Engine,
    /// The history.
    pub historian: Arc<Historian>,
    /// The energy and carbon ledger, where the site has one.
    pub ledger: Option<Arc<Ledger>>,
    /// The log of what people did.
    pub actions: Arc<ActionLog>,
    /// The clocks; sessions and waiting times follow the monotonic one.
    pub clock: Arc<dyn Clock>,
    /// The site.
    pub site: SiteInfo,
    /// What the wiring dropped.
    pub drops: Drops,
}

/// Why the server could not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum HmiError {
    /// The address cannot be listened on.
    #[error("HMI: cannot listen on {address}; choose another with --hmi <address:port>")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The site cannot be written as JSON.
    #[error("HMI: the site cannot be shown")]
    Site(#[source] serde_json::Error),
    /// The server ended.
    #[error("HMI: the server ended")]
    Serve(#[source] std::io::Error),
}

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) live_dropped: AtomicU64,
    pub(crate) live_refused: AtomicU64,
    pub(crate) turned_away: Arc<AtomicU64>,
}

/// What all requests share.
pub(crate) struct App {
    pub(crate) config: HmiConfig,
    pub(crate) ctx: HmiContext,
    pub(crate) users: UserStore,
    pub(crate) desk: Desk,
    pub(crate) sessions: Sessions,
    pub(crate) backoff: Backoff,
    pub(crate) counts: Counts,
    pub(crate) action_places: Arc<Semaphore>,
    pub(crate) note_places: Arc<Semaphore>,
    pub(crate) query_places: Arc<Semaphore>,
    pub(crate) live_places: Arc<Semaphore>,
    pub(crate) why_places: Arc<Semaphore>,
    pub(crate) asking: why::Asking,
    pub(crate) password_checks: Arc<Semaphore>,
    pub(crate) site_page: SitePage,
    pub(crate) writables: Vec<TagId>,
    pub(crate) started: Instant,
    pub(crate) stop: watch::Receiver<bool>,
}

/// Serves until `stop` turns true. Sends the address on `ready` once connections are taken.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve(
    config: HmiConfig,
    ctx: HmiContext,
    stop: watch::Receiver<bool>,
    ready: oneshot::Sender<SocketAddr>,
) -> Result<(), HmiError> {
    let bind_error = |source| HmiError::Bind { address: config.bind, source };
    let users = UserStore::open(&config.users_file);
    if users.current().is_empty() {
        tracing::warn!(file = %config.users_file.display(), "nobody can log in yet: add a user with `penstock user add`");
    }
    // Hashing the password of nobody takes a while: not on an async thread, and not in the first login.
    let _ = tokio::task::spawn_blocking(users::prepare).await;
    let listener = TcpListener::bind(config.bind).await.map_err(bind_error)?;
    let address = listener.local_addr().map_err(bind_error)?;
    let site_page = SitePage::new(&ctx)?;
    let writables = ctx.engine.tags().iter().filter(|def| site::writable(def).is_some()).map(|def| def.id).collect();
    let app = Arc::new(App {
        started: ctx.clock.now().mono,
        desk: Desk::new(&ctx.engine, &ctx.actions, &ctx.clock, ctx.site.hold, &config.station),
        site_page,
        writables,
        users,
        sessions: Sessions::default(),
        backoff: Backoff::default(),
        counts: Counts::default(),
        action_places: Arc::new(Semaphore::new(limits::ACTIONS_WAITING_MAX)),
        note_places: Arc::new(Semaphore::new(limits::NOTES_WAITING_MAX)),
        query_places: Arc::new(Semaphore::new(limits::QUERIES_MAX)),
        live_places: Arc::new(Semaphore::new(limits::LIVE_CLIENTS_MAX)),
        why_places: Arc::new(Semaphore::new(limits::WHY_PLACES_MAX)),
        asking: why::Asking::default(),
        password_checks: Arc::new(Semaphore::new(limits::PASSWORD_CHECKS_MAX)),
        stop: stop.clone(),
        config,
        ctx,
    });
    let gate = Gate::new(listener, app.counts.turned_away.clone());
    let service = routes(app).into_make_service_with_connect_info::<Peer>();
    tracing::info!(%address, "HMI listens");
    // The caller may have gone; serving is then still right until `stop`.
    let _ = ready.send(address);
    let serving = axum::serve(gate, service).with_graceful_shutdown(stopped(stop.clone())).into_future();
    let cut = async move {
        stopped(stop).await;
        tokio::time::sleep(limits::STOP_WAIT_MAX).await;
    };
    tokio::select! {
        ended = serving => ended.map_err(HmiError::Serve),
        () = cut => Ok(()),
    }
}

/// Ends when the runtime stops. Its sender gone means that nobody is left to say stop, which is a stop too.
pub(crate) async fn stopped(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|s| *s).await;
}

fn routes(app: Arc<App>) -> Router {
    Router::new()
        .route("/api/login", post(login::login))
        .route("/api/logout", post(login::logout))
        .route("/api/me", get(login::me))
        .route("/api/site", get(ask::site))
        .route("/api/mimic/{name}", get(ask::mimic))
        .route("/api/live", get(live::live))
        .route("/api/history", get(ask::history))
        .route("/api/events", get(ask::events))
        .route("/api/actions", get(ask::actions))
        .route("/api/writes", get(writes::writes))
        .route("/api/why/{*tag}", get(why::why))
        .route("/api/energy", get(ask::energy))
        .route("/api/system", get(ask::system))
        .route("/api/claim", post(act::claim))
        .route("/api/objects/mode", post(objects::mode))
        .route("/api/objects/lock", post(objects::lock))
        .route("/api/objects/unlock", post(objects::unlock))
        .route("/api/objects/reset", post(objects::reset))
        .route("/api/alarms/ack", post(act::acknowledge))
        .route("/api/tasks/{id}/reset", post(act::reset_task))
        .fallback(assets::serve)
        .layer(DefaultBodyLimit::max(limits::BODY_BYTES_MAX))
        .layer(from_fn_with_state(app.clone(), guard::guard))
        .with_state(app)
}
