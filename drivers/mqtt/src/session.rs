//! One session with a broker: connect, subscribe, wait for the primary host, birth, changes, until the link is lost or we
//! stop. While nobody listens, what changes goes into the store.

use crate::command::Command;
use crate::feed::Feed;
use crate::host::{self, Host};
use crate::limits::{
    ANSWER_WAIT_MAX, CLIENT_QUEUE, EVENTS_WAITING_MAX, GOODBYE_WAIT_MAX, HOST_WAIT_MAX, INCOMING_BYTES_MAX, KEEP_ALIVE,
    OUTGOING_BYTES_MAX, PUBLISH_EVERY_MIN,
};
use crate::secure::{self, SecureError};
use crate::{Broker, Config};
use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, LastWill, MqttOptions, Outgoing, Packet, QoS, SubscribeFilter,
    SubscribeReasonCode, TlsConfiguration, Transport,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until, timeout};

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    /// The client gave up: no answer, refused, link lost, packet too long.
    #[error("{what}")]
    Link {
        what: String,
        #[source]
        source: Box<ConnectionError>,
    },
    /// A certificate, a key or the password.
    #[error("the connection cannot be secured")]
    Secure(#[from] SecureError),
    /// The broker did not answer the subscription.
    #[error("the broker did not answer the subscription to `{0}`")]
    Subscription(String),
    /// The broker refused a subscription.
    #[error("the broker refused the subscription to `{0}`: give this user the right to read it")]
    Refused(String),
    /// The primary host is not at this broker.
    #[error("the primary host `{0}` is not online at this broker")]
    HostAway(String),
    /// The primary host went offline.
    #[error("the primary host `{0}` went offline; values are kept until it is back")]
    HostOffline(String),
    /// The client takes nothing any more.
    #[error("the client's queue is closed or full")]
    Queue,
    /// A defect of ours.
    #[error("a task of the edge node broke")]
    Broken,
}

/// What of the client's events concerns us.
pub(crate) enum News {
    Connected,
    /// By subscription in their order: true where it was refused.
    Subscribed(Vec<bool>),
    Message {
        topic: String,
        retained: bool,
        payload: Vec<u8>,
    },
    /// So many of our messages have arrived.
    Arrived(u64),
    SaidGoodbye,
}

/// Messages that left for the wire.
#[derive(Default)]
pub(crate) struct Wire(AtomicU64);

/// What was waited for.
enum Waited {
    News(News),
    TimedOut,
    Stop,
}

/// Runs one session; Ok when stopped.
pub(crate) async fn run(
    feed: &mut Feed,
    broker: &Broker,
    host: &mut Host,
    stop: &mut watch::Receiver<bool>,
) -> Result<(), SessionError> {
    let config = feed.config.clone();
    let secured = config.clone();
    let prepared = tokio::task::spawn_blocking(move || prepare(&secured)).await.map_err(|_| SessionError::Broken)?;
    let (tls, login) = prepared?;
    feed.begin_session().await;
    host.begin_session();
    let death = feed.node.death(feed.clock.now().utc);
    let mut options = MqttOptions::new(&config.client_id, &broker.host, broker.port);
    options.set_keep_alive(KEEP_ALIVE);
    options.set_clean_session(true);
    options.set_max_packet_size(INCOMING_BYTES_MAX, OUTGOING_BYTES_MAX);
    options.set_last_will(LastWill::new(feed.node.topic("NDEATH"), death, QoS::AtLeastOnce, false));
    if let Some((user, password)) = login {
        options.set_credentials(user, password);
    }
    if let Some(tls) = tls {
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls)));
    }
    let (client, mut events) = AsyncClient::new(options, CLIENT_QUEUE);
    events.network_options.set_connection_timeout(ANSWER_WAIT_MAX.as_secs());
    let (tell, mut news) = mpsc::channel(EVENTS_WAITING_MAX);
    let wire = Arc::new(Wire::default());
    // One future for the whole session: a poll that is dropped half way would lose bytes.
    let pump = pump(&mut events, &tell, &wire);
    tokio::pin!(pump);
    let mut ticks = interval(config.publish_every.max(PUBLISH_EVERY_MIN));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let talk = Talk { feed, host, client: &client, news: &mut news, stop, wire: &wire, ticks, handed: 0, broker };
    tokio::select! {
        error = &mut pump => Err(link_error(error, &config)),
        ended = talk.converse() => ended,
    }
}

type Prepared = (Option<Arc<rustls::ClientConfig>>, Option<(String, String)>);

/// Reads the files that secure the connection.
fn prepare(config: &Config) -> Result<Prepared, SecureError> {
    let tls = config.tls.as_ref().map(secure::client).transpose()?;
    let login = match &config.login {
        None => None,
        Some(login) => {
            let password = login.password.as_ref().map(secure::secret).transpose()?;
            Some((login.user.clone(), password.unwrap_or_default()))
        }
    };
    Ok((tls, login))
}

fn link_error(error: ConnectionError, config: &Config) -> SessionError {
    use rumqttc::ConnectReturnCode as Code;
    let hint = match &error {
        ConnectionError::ConnectionRefused(Code::BadUserNamePassword | Code::NotAuthorized) => {
            Some("the broker refuses this user or password".to_owned())
        }
        ConnectionError::ConnectionRefused(Code::BadClientId) => Some("the broker refuses this client id".to_owned()),
        _ => config.tls.as_ref().and_then(|tls| secure::explain(&error, &tls.ca)),
    };
    let what = hint.unwrap_or_else(|| "the link to the broker".to_owned());
    SessionError::Link { what, source: Box::new(error) }
}

/// Drives the client until it fails.
async fn pump(events: &mut EventLoop, tell: &mpsc::Sender<News>, wire: &Wire) -> ConnectionError {
    // What had left when the broker was asked last: its answer shows that all of that has arrived.
    let mut asked_at = 0;
    loop {
        let news = match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => News::Connected,
            Ok(Event::Incoming(Packet::SubAck(ack))) => {
                News::Subscribed(ack.return_codes.iter().map(|c| *c == SubscribeReasonCode::Failure).collect())
            }
            Ok(Event::Incoming(Packet::Publish(p))) => {
                News::Message { topic: p.topic, retained: p.retain, payload: p.payload.to_vec() }
            }
            Ok(Event::Incoming(Packet::PingResp)) => News::Arrived(asked_at),
            Ok(Event::Outgoing(Outgoing::Publish(_))) => {
                wire.0.fetch_add(1, Ordering::AcqRel);
                continue;
            }
            Ok(Event::Outgoing(Outgoing::PingReq)) => {
                asked_at = wire.0.load(Ordering::Acquire);
                continue;
            }
            Ok(Event::Outgoing(Outgoing::Disconnect)) => News::SaidGoodbye,
            Ok(_) => continue,
            Err(error) => return error,
        };
        // The receiver lives as long as this future; waiting here is backpressure on the broker.
        let _ = tell.send(news).await;
    }
}

/// A session's side of the conversation.
pub(crate) struct Talk<'a> {
    pub feed: &'a mut Feed,
    pub host: &'a mut Host,
    pub client: &'a AsyncClient,
    pub news: &'a mut mpsc::Receiver<News>,
    pub stop: &'a mut watch::Receiver<bool>,
    pub wire: &'a Wire,
    pub ticks: Interval,
    /// Messages handed to the client.
    pub handed: u64,
    pub broker: &'a Broker,
}

impl Talk<'_> {
    async fn converse(mut self) -> Result<(), SessionError> {
        // Connecting has its own time limit inside the client.
        loop {
            match self.wait(None).await? {
                Waited::News(News::Connected) => break,
                Waited::News(_) | Waited::TimedOut => {}
                Waited::Stop => return Ok(()),
            }
        }
        if !self.subscribe().await? || !self.await_host().await? {
            return Ok(());
        }
        let broker = format!("{}:{}", self.broker.host, self.broker.port);
        tracing::info!(%broker, edge = %self.feed.config.edge, "edge node is online");
        self.feed.status.broker = Some(broker);
        self.live().await
    }

    /// The next news; what changes meanwhile is kept.
    async fn wait(&mut self, until: Option<Instant>) -> Result<Waited, SessionError> {
        loop {
            tokio::select! {
                n = self.news.recv() => return n.map(Waited::News).ok_or(SessionError::Queue),
                _ = self.ticks.tick() => self.feed.keep(),
                () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => return Ok(Waited::TimedOut),
                () = stopped(self.stop) => return Ok(Waited::Stop),
            }
        }
    }

    /// Subscribes to commands and to the host's state. False: we are to stop.
    async fn subscribe(&mut self) -> Result<bool, SessionError> {
        let mut topics = vec![self.feed.node.topic("NCMD")];
        if self.feed.node.has_devices() {
            topics.push(format!("{}/+", self.feed.node.topic("DCMD")));
        }
        topics.extend(self.state_topic());
        let filters = topics.iter().map(|t| SubscribeFilter::new(t.clone(), QoS::AtLeastOnce));
        self.client.try_subscribe_many(filters).map_err(|_| SessionError::Queue)?;
        let until = Instant::now() + ANSWER_WAIT_MAX;
        loop {
            match self.wait(Some(until)).await? {
                Waited::News(News::Subscribed(refused)) => {
                    return match refused.iter().position(|r| *r) {
                        Some(place) => Err(SessionError::Refused(topics.get(place).cloned().unwrap_or_default())),
                        None => Ok(true),
                    };
                }
                // Whatever a host asks now, the birth is about to come.
                Waited::News(news) => drop(self.host_news(&news)),
                Waited::TimedOut => return Err(SessionError::Subscription(topics.join("`, `"))),
                Waited::Stop => return Ok(false),
            }
        }
    }

    fn state_topic(&self) -> Option<String> {
        self.feed.config.primary_host.as_ref().map(|host| format!("spBv1.0/STATE/{host}"))
    }

    /// Waits for the primary host, where there is one. False: we are to stop.
    async fn await_host(&mut self) -> Result<bool, SessionError> {
        let Some(name) = self.feed.config.primary_host.clone() else { return Ok(true) };
        let elsewhere = self.feed.config.brokers.len() > 1;
        let until = elsewhere.then(|| Instant::now() + HOST_WAIT_MAX);
        if !self.host.online {
            tracing::info!(host = %name, "waiting for the primary host; values are kept meanwhile");
        }
        while !self.host.online {
            match self.wait(until).await? {
                Waited::News(news) => drop(self.host_news(&news)),
                Waited::TimedOut => return Err(SessionError::HostAway(name)),
                Waited::Stop => return Ok(false),
            }
        }
        self.feed.status.host_online = Some(true);
        Ok(true)
    }

    /// Takes a STATE message. Some: it was one, and says whether the host is online.
    pub(crate) fn host_news(&mut self, news: &News) -> Option<bool> {
        let News::Message { topic, payload, .. } = news else { return None };
        if self.state_topic().as_deref() != Some(topic.as_str()) {
            return None;
        }
        match host::read(payload) {
            Ok(state) => {
                if !self.host.take(state) {
                    tracing::debug!(%topic, "an older STATE message does not count");
                }
            }
            Err(error) => tracing::warn!(%topic, %error, "a STATE message cannot be read"),
        }
        Some(self.host.online)
    }

    /// The command in a message, where it is one of ours.
    pub(crate) fn command(&self, topic: &str, retained: bool, payload: Vec<u8>) -> Option<Command> {
        if topic == self.feed.node.topic("NCMD") {
            return Some(Command { device: None, retained, payload });
        }
        let device = topic.strip_prefix(&self.feed.node.topic("DCMD"))?.strip_prefix('/')?;
        Some(Command { device: Some(device.to_owned()), retained, payload })
    }

    /// Messages handed to the client that are not on the wire yet.
    pub(crate) fn waiting(&self) -> u64 {
        self.handed.saturating_sub(self.wire.0.load(Ordering::Acquire))
    }

    /// Says that the node is going, since a broker drops the will of a client that leaves in good order.
    pub(crate) async fn goodbye(&mut self) {
        let death = self.feed.node.death(self.feed.clock.now().utc);
        let topic = self.feed.node.topic("NDEATH");
        let sent = self.client.try_publish(topic, QoS::AtMostOnce, false, death).is_ok();
        if sent && self.client.try_disconnect().is_ok() {
            let gone = async { while !matches!(self.news.recv().await, Some(News::SaidGoodbye) | None) {} };
            // Without the goodbye on the wire the broker publishes the will: the hosts learn it either way.
            let _ = timeout(GOODBYE_WAIT_MAX, gone).await;
        }
    }
}

/// Ends when we are to stop, also when whoever could say so is gone.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
