//! The runtime behind the OPC UA server: tags, alarms and history as it sees them, persons with the rights they have at
//! the pages, and their writes, which go the way of the pages' own.
//!
//! The server has threads of its own: whatever its clients ask for, it delays no device, no scan and no page.

use super::person_certificates::PersonCertificates;
use crate::config::Site;
use crate::config::opcua_server::OpcUaServerSettings;
use crossbeam::channel::Receiver;
use parking_lot::{Mutex, RwLock};
use penstock_engine::Engine;
use penstock_historian::{Historian, StoreError};
use penstock_hmi::{Backoff, Denial, Desk, UserStore, Users, Why};
use penstock_ledger::{ActionKind, ActionLog};
use penstock_model::{
    AlarmDef, AlarmEvent, AlarmId, AlarmView, Clock, Instant, Record, Role, Sample, TagId, TagSample, TagTable, Utc,
    Value, ValueType, with_causes,
};
use penstock_opcua::{Certificate, Make, Pki};
use penstock_opcua_server::{Identity, Interval, Person, Plant, Point, Refused, Status};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Threads of the server: one may compute for long, in a large browse.
const THREADS: usize = 2;
/// Threads that wait for the disk in its name.
const WAITING_THREADS_MAX: usize = 12;
/// Log-ins that wait for their password to be hashed, one at a time; more are refused.
const LOGINS_WAITING_MAX: usize = 4;
/// Changes of alarms handed on at once.
const ALARMS_AT_ONCE_MAX: usize = 2_000;
/// Refusals that are written down within a minute; a client that goes on and on fills no disk.
const REFUSALS_PER_MINUTE_MAX: u32 = 30;
/// Longest user name or path that is repeated in a record.
const SHOWN_CHARS_MAX: usize = 96;

/// Begins the second half of the token of a log-in by certificate; the thumbprint follows.
const BY_CERTIFICATE: &str = "x509-";

type OwnTag = (&'static str, &'static str, &'static str, &'static str, ValueType);

/// What the server says of itself: path, Chinese, English, unit, type.
const OWN_TAGS: &[OwnTag] = &[
    ("sys/opcua_server/up", "OPC UA 服务可用", "OPC UA server listens", "", ValueType::Bool),
    ("sys/opcua_server/connections", "OPC UA 服务连接数", "OPC UA server connections", "", ValueType::Int),
    ("sys/opcua_server/turned_away", "OPC UA 服务拒绝连接", "OPC UA server refused connections", "", ValueType::Int),
    ("sys/opcua_server/items", "OPC UA 服务监视项", "OPC UA server monitored items", "", ValueType::Int),
    ("sys/opcua_server/writes", "OPC UA 服务写入次数", "OPC UA server writes done", "", ValueType::Int),
    ("sys/opcua_server/refused", "OPC UA 服务拒绝写入", "OPC UA server refused writes", "", ValueType::Int),
    ("sys/opcua_server/logins_refused", "OPC UA 服务拒绝登录", "OPC UA server refused log-ins", "", ValueType::Int),
    ("sys/opcua_server/events_lost", "OPC UA 服务丢失事件", "OPC UA server lost events", "", ValueType::Int),
];

/// The system tags of a site that has a server.
pub(crate) fn tags(has_server: bool) -> &'static [OwnTag] {
    if has_server { OWN_TAGS } else { &[] }
}

/// The records that the server wants.
pub(crate) fn wants(record: &Record) -> bool {
    matches!(record, Record::Alarm(_))
}

/// What the server needs of the runtime.
pub(crate) struct Parts<'a> {
    pub(crate) site: &'a Site,
    pub(crate) settings: &'a OpcUaServerSettings,
    pub(crate) engine: &'a Engine,
    pub(crate) historian: &'a Arc<Historian>,
    pub(crate) actions: &'a Arc<ActionLog>,
    pub(crate) clock: &'a Arc<dyn Clock>,
    pub(crate) state: &'a Path,
    /// Records of alarms.
    pub(crate) news: Receiver<Record>,
    pub(crate) stop: watch::Receiver<bool>,
}

/// The running server; its threads end with it.
pub(crate) struct Server {
    threads: Option<tokio::runtime::Runtime>,
    task: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts the server. What it cannot do without is told in the log; control goes on without it.
    ///
    /// # Errors
    /// When the system refuses threads.
    pub(crate) fn start(parts: Parts<'_>) -> std::io::Result<Server> {
        let threads = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .max_blocking_threads(WAITING_THREADS_MAX)
            .thread_name("opcua-server")
            .enable_all()
            .build()?;
        let folder = parts.settings.pki_dir.clone().unwrap_or_else(|| crate::pki::folder(parts.state));
        let config = parts.settings.config.clone();
        let plant = Arc::new(EnginePlant::new(&parts, &folder));
        let stop = parts.stop;
        let task = threads.spawn(async move {
            let hosts = vec![config.host.trim_matches(['[', ']']).to_owned()];
            let made = tokio::task::spawn_blocking(move || identity(&folder, &hosts)).await;
            match made.map_err(|e| e.to_string()).flatten() {
                Ok(identity) => penstock_opcua_server::run(config, identity, plant, stop, None).await,
                Err(error) => tracing::error!(%error, "no OPC UA server: it has no certificate"),
            }
        });
        Ok(Server { threads: Some(threads), task: Some(task) })
    }

    /// What ends once the server was told to stop.
    pub(crate) fn ended(&mut self) -> Option<JoinHandle<()>> {
        self.task.take()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

/// The server's certificate, made where there is none yet.
fn identity(folder: &Path, hosts: &[String]) -> Result<Identity, String> {
    let pki = Pki::at(folder);
    let own = pki.make_server(Make::Missing, hosts, None).map_err(|e| with_causes(&e))?;
    if let Some(host) = hosts.iter().find(|host| !own.hosts.iter().any(|h| h.eq_ignore_ascii_case(host))) {
        tracing::warn!(
            %host,
            "the OPC UA server's certificate does not name the host that clients are told to come to; have a new one made: \
             penstock pki make --server --renew --host {host} --pki {}",
            folder.display()
        );
    }
    if own.application_uri.is_empty() {
        return Err(format!("{} names no application: have a new one made", pki.server_path().display()));
    }
    pki.prepare_clients().map_err(|e| with_causes(&e))?;
    Ok(Identity {
        pki_dir: pki.clients_folder(),
        // The library reads them relative to the folder.
        certificate: "../own/server.der".into(),
        key: "../private/server.pem".into(),
        application_uri: own.application_uri,
    })
}

/// A stamp of the password that a session was opened with.
fn stamp(hash: &str) -> String {
    let digest = Sha256::digest(hash.as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

struct EnginePlant {
    engine: Engine,
    historian: Arc<Historian>,
    clock: Arc<dyn Clock>,
    desk: Desk,
    news: Receiver<Record>,
    users: UserStore,
    /// As of the last look at the file.
    known: RwLock<Arc<Users>>,
    /// Certificates of persons, as of the last look at their folder.
    certificates: RwLock<Arc<PersonCertificates>>,
    backoff: Backoff,
    hashing: Mutex<()>,
    waiting: AtomicUsize,
    refusals: Mutex<(Instant, u32)>,
    folder: PathBuf,
    /// Thumbprints of rejected certificates that were told of; `None` before the first look.
    told: Mutex<Option<BTreeSet<String>>>,
}

impl EnginePlant {
    fn new(parts: &Parts<'_>, folder: &Path) -> EnginePlant {
        let station = format!("opcua {}", parts.settings.config.bind);
        let users = UserStore::open(&parts.state.join("users.json"));
        EnginePlant {
            engine: parts.engine.clone(),
            historian: parts.historian.clone(),
            clock: parts.clock.clone(),
            desk: Desk::new(parts.engine, parts.actions, parts.clock, parts.site.hold, &station),
            news: parts.news.clone(),
            known: RwLock::new(users.current()),
            certificates: RwLock::default(),
            users,
            backoff: Backoff::default(),
            hashing: Mutex::new(()),
            waiting: AtomicUsize::new(0),
            refusals: Mutex::new((parts.clock.now().mono, 0)),
            folder: folder.to_path_buf(),
            told: Mutex::default(),
        }
    }

    fn check(&self, name: &str, password: &str) -> Option<(Role, Arc<str>)> {
        // Who tries is not known by address here: the server's clients are one place to wait at, apart from the pages'.
        let from = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        if let Err(wait) = self.backoff.attempt(name, from, self.clock.now().mono) {
            tracing::warn!(user = %shown(name), wait_s = wait.as_secs(), "OPC UA log-in refused: too many failed ones");
            return None;
        }
        let users = self.users.current();
        *self.known.write() = users.clone();
        let one = self.hashing.lock();
        let role = users.verify(name, password);
        drop(one);
        let (role, standing) = (role?, users.standing(name)?);
        self.backoff.succeeded(name, from);
        Some((role, standing.1))
    }

    /// Writes a refusal down, and says it in the log; not without end.
    fn told_refused(&self, person: Option<&Person>, what: &str) {
        let now = self.clock.now().mono;
        let count = {
            let mut refusals = self.refusals.lock();
            if now.since(refusals.0) >= Duration::from_secs(60) {
                *refusals = (now, 0);
            }
            refusals.1 += 1;
            refusals.1
        };
        let (who, role) = person.map_or(("anonymous@opcua", Role::Viewer), |p| (&*p.name, p.role));
        if count <= REFUSALS_PER_MINUTE_MAX {
            tracing::warn!(user = %who, what, "an OPC UA client was refused");
            self.desk.note(who, role, ActionKind::Custom { text: format!("refused: {what}") });
        } else if count == REFUSALS_PER_MINUTE_MAX + 1 {
            tracing::warn!("many refusals of OPC UA clients: those of the rest of this minute are counted only");
        }
    }

    fn refused(&self, person: &Person, what: &str, denial: &Denial) -> Refused {
        self.told_refused(Some(person), &format!("{what}: {}", denial.en));
        match denial.why {
            Why::Denied => Refused::Denied,
            Why::Range => Refused::Range,
            Why::Type => Refused::Type,
            Why::ReadOnly => Refused::ReadOnly,
            Why::State => Refused::State,
            Why::Unavailable => Refused::Busy,
            Why::Record => Refused::Record,
        }
    }

    /// Reads the certificates of persons anew. Where the folder cannot be read, those of the last look hold.
    fn look_at_certificates(&self) {
        match PersonCertificates::read(&self.folder) {
            Ok(now) => {
                let now = Arc::new(now);
                let before = std::mem::replace(&mut *self.certificates.write(), now.clone());
                now.tell_news(&before);
            }
            Err(error) => tracing::debug!(%error, "the certificates of users cannot be read"),
        }
    }

    /// A log-in by a certificate that is nobody's.
    fn no_such_person(&self, thumbprint: &str, why: &str) -> Option<String> {
        tracing::warn!(
            thumbprint,
            "OPC UA log-in refused: the certificate {why}; a user's is made known by: penstock pki user <name> <file>"
        );
        let who = format!("certificate {}@opcua", thumbprint.get(..12).unwrap_or(thumbprint));
        self.desk.note(&who, Role::Viewer, ActionKind::LoginFailed);
        None
    }

    fn path(&self, tag: TagId) -> Arc<str> {
        self.engine.tags().get(tag).path.clone()
    }

    /// What the historian says; a tag that was never recorded has no history.
    fn stored<T: Default>(answer: Result<T, StoreError>) -> Result<T, String> {
        match answer {
            Err(StoreError::UnknownSeries(_)) => Ok(T::default()),
            other => other.map_err(|e| with_causes(&e)),
        }
    }
}

/// A text of a client as it may be repeated.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS_MAX).collect()
}

fn person_of(person: &Person) -> penstock_hmi::Person {
    penstock_hmi::Person { user: person.name.clone(), role: person.role }
}

fn point(p: penstock_historian::Point) -> Point {
    Point { utc: p.utc, value: p.value, quality: p.quality }
}

impl Plant for EnginePlant {
    fn tags(&self) -> Arc<TagTable> {
        self.engine.tags()
    }

    fn read(&self, tag: TagId) -> Sample {
        self.engine.read(tag)
    }

    fn changed_since(&self, version: u64) -> (u64, Vec<TagSample>) {
        self.engine.changed_since(version)
    }

    fn alarm_defs(&self) -> Vec<AlarmDef> {
        self.engine.alarm_defs()
    }

    fn alarms(&self) -> Vec<AlarmView> {
        self.engine.alarms()
    }

    fn alarm_events(&self) -> Vec<AlarmEvent> {
        let news = self.news.try_iter().take(ALARMS_AT_ONCE_MAX);
        news.filter_map(|record| if let Record::Alarm(event) = record { Some(event) } else { None }).collect()
    }

    fn person(&self, token: &str) -> Option<Person> {
        let (name, opened_with) = token.split_once('#')?;
        let (role, hash) = self.known.read().standing(name)?;
        let stands = match opened_with.strip_prefix(BY_CERTIFICATE) {
            Some(thumbprint) => self.certificates.read().are_of(thumbprint, name, self.clock.now().utc),
            None => stamp(&hash) == opened_with,
        };
        stands.then(|| Person { name: format!("{name}@opcua").into(), role })
    }

    fn log_in(&self, name: &str, password: &str) -> Option<String> {
        if self.waiting.fetch_add(1, Ordering::SeqCst) >= LOGINS_WAITING_MAX {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            return None;
        }
        let checked = self.check(name, password);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        let who = format!("{}@opcua", shown(name));
        match checked {
            Some((role, hash)) => {
                self.desk.note(&who, role, ActionKind::Login);
                Some(format!("{name}#{}", stamp(&hash)))
            }
            None => {
                tracing::warn!(user = %who, "OPC UA log-in refused");
                self.desk.note(&who, Role::Viewer, ActionKind::LoginFailed);
                None
            }
        }
    }

    fn log_in_by_certificate(&self, thumbprint: &str) -> Option<String> {
        // There is nothing to guess, but each try is written down. Counted apart from passwords, which have to wait for others.
        let from = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        if let Err(wait) = self.backoff.attempt(thumbprint, from, self.clock.now().mono) {
            tracing::warn!(thumbprint, wait_s = wait.as_secs(), "OPC UA log-in refused: too many failed ones");
            return None;
        }
        self.look_at_certificates();
        *self.known.write() = self.users.current();
        // What follows waits for the disk, and holds no lock meanwhile.
        let whose = self.certificates.read().whose(thumbprint, self.clock.now().utc);
        match whose {
            Ok(name) => {
                let standing = self.known.read().standing(&name);
                let Some((role, _)) = standing else {
                    return self.no_such_person(thumbprint, &format!("is `{name}`'s, who is no user"));
                };
                self.backoff.succeeded(thumbprint, from);
                self.desk.note(&format!("{name}@opcua"), role, ActionKind::Login);
                Some(format!("{name}#{BY_CERTIFICATE}{thumbprint}"))
            }
            Err(why) => self.no_such_person(thumbprint, &why),
        }
    }

    fn admit(&self, certificate: &[u8]) -> Result<(), String> {
        Pki::at(&self.folder).judge_client(certificate).map(drop)
    }

    fn write(&self, person: &Person, tag: TagId, value: Option<Value>) -> Result<(), Refused> {
        let done = self.desk.write(&person_of(person), tag, value.as_ref());
        done.map(drop).map_err(|denial| {
            let said = value.as_ref().map_or_else(|| "release".to_owned(), |v| shown(&v.to_string()));
            self.refused(person, &format!("write {} = {said}", self.path(tag)), &denial)
        })
    }

    fn write_refused(&self, person: Option<&Person>, path: &str, why: &str) {
        self.told_refused(person, &format!("write {}: {why}", shown(path)));
    }

    fn acknowledge(&self, person: &Person, alarm: AlarmId, comment: &str) -> Result<bool, Refused> {
        let done = self.desk.acknowledge(&person_of(person), alarm, comment);
        done.map_err(|denial| self.refused(person, &format!("acknowledge alarm {}", alarm.0), &denial))
    }

    fn comment(&self, person: &Person, alarm: AlarmId, comment: &str) -> Result<(), Refused> {
        let done = self.desk.comment(&person_of(person), alarm, comment);
        done.map_err(|denial| self.refused(person, &format!("comment on alarm {}", alarm.0), &denial))
    }

    fn points(&self, tag: TagId, from: Utc, to: Utc, max: usize, backwards: bool) -> Result<Vec<Point>, String> {
        let found = Self::stored(self.historian.page(&self.path(tag), from, to, max, backwards))?;
        Ok(found.into_iter().map(point).collect())
    }

    fn point_before(&self, tag: TagId, at: Utc) -> Result<Option<Point>, String> {
        Ok(Self::stored(self.historian.last_before(&self.path(tag), at))?.map(point))
    }

    fn intervals(&self, tag: TagId, from: Utc, to: Utc, count: usize) -> Result<Vec<Interval>, String> {
        let buckets = Self::stored(self.historian.downsample(&self.path(tag), from, to, count))?;
        let interval = |b: penstock_historian::Bucket| Interval {
            from: b.from,
            first: b.first,
            last: b.last,
            min: b.min,
            max: b.max,
            mean: b.mean,
            count: b.count,
            worst: b.worst,
        };
        Ok(buckets.into_iter().map(interval).collect())
    }

    fn status(&self, status: &Status) {
        let count = |n: u64| Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
        let values = [
            ("sys/opcua_server/up", Value::Bool(status.listening)),
            ("sys/opcua_server/connections", count(status.connections as u64)),
            ("sys/opcua_server/turned_away", count(status.turned_away)),
            ("sys/opcua_server/items", count(status.items as u64)),
            ("sys/opcua_server/writes", count(status.done)),
            ("sys/opcua_server/refused", count(status.refused)),
            ("sys/opcua_server/logins_refused", count(status.logins_refused)),
            ("sys/opcua_server/events_lost", count(status.events_lost)),
        ];
        super::history::publish(&self.engine.tags(), &*self.engine.sink(), self.clock.now(), values);
    }

    fn housekeeping(&self) {
        *self.known.write() = self.users.current();
        self.look_at_certificates();
        let rejected: Vec<Certificate> = match Pki::at(&self.folder).tidy() {
            Ok(rejected) => rejected,
            Err(error) => {
                tracing::debug!(error = with_causes(&error), "the folder of certificates cannot be kept tidy");
                return;
            }
        };
        let now: BTreeSet<String> = rejected.iter().map(|c| c.thumbprint.clone()).collect();
        let before = self.told.lock().replace(now);
        for one in rejected.iter().filter(|c| before.as_ref().is_some_and(|b| !b.contains(&c.thumbprint))) {
            tracing::warn!(
                thumbprint = %one.thumbprint,
                subject = %one.subject,
                application = %one.application_uri,
                "an OPC UA client or server is not trusted; if it is the right one: penstock pki trust {} --pki {}",
                one.thumbprint,
                self.folder.display()
            );
        }
    }
}
