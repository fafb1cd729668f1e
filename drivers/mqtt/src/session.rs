//! One session with a broker: connect, subscribe, birth, changes, until the link is lost or we stop.

use crate::limits::{
    ANSWER_WAIT_MAX, EVENTS_WAITING_MAX, GOODBYE_WAIT_MAX, INCOMING_BYTES_MAX, KEEP_ALIVE, MESSAGES_WAITING_MAX,
    OUTGOING_BYTES_MAX, PUBLISH_EVERY_MIN, REBIRTH_EVERY_MIN,
};
use crate::node::Node;
use crate::{Config, MetricSource};
use penstock_model::{Clock, Instant};
use rumqttc::{AsyncClient, ConnectionError, Event, EventLoop, LastWill, MqttOptions, Outgoing, Packet, QoS};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    /// The client gave up: no answer, refused, link lost, packet too long.
    #[error("the link to the broker")]
    Link(#[source] Box<ConnectionError>),
    /// The broker did not answer the subscription.
    #[error("the broker did not answer the subscription to `{0}`")]
    Subscription(String),
    /// The broker refused the subscription.
    #[error("the broker refused the subscription to `{0}`")]
    Refused(String),
    /// The client takes nothing any more.
    #[error("the client's queue is closed or full")]
    Queue,
}

/// What of the client's events concerns us.
enum News {
    Connected,
    Subscribed { refused: bool },
    Command(Vec<u8>),
    SaidGoodbye,
}

/// What everything in a session needs.
pub(crate) struct Context<'a> {
    pub config: &'a Config,
    pub source: &'a dyn MetricSource,
    pub clock: &'a dyn Clock,
}

/// Runs one session; Ok when stopped.
pub(crate) async fn run(
    ctx: &Context<'_>,
    node: &mut Node,
    stop: &mut watch::Receiver<bool>,
) -> Result<(), SessionError> {
    let death = node.begin_session(ctx.clock.now().utc);
    let mut options = MqttOptions::new(&ctx.config.client_id, &ctx.config.host, ctx.config.port);
    options.set_keep_alive(KEEP_ALIVE);
    options.set_clean_session(true);
    options.set_max_packet_size(INCOMING_BYTES_MAX, OUTGOING_BYTES_MAX);
    options.set_last_will(LastWill::new(node.topic("NDEATH"), death, QoS::AtLeastOnce, false));
    let (client, mut events) = AsyncClient::new(options, MESSAGES_WAITING_MAX);
    events.network_options.set_connection_timeout(ANSWER_WAIT_MAX.as_secs());
    let (tell, mut news) = mpsc::channel(EVENTS_WAITING_MAX);
    // One future for the whole session: a poll that is dropped half way would lose bytes.
    let pump = pump(&mut events, &tell);
    tokio::pin!(pump);
    tokio::select! {
        error = &mut pump => Err(SessionError::Link(Box::new(error))),
        ended = converse(ctx, node, &client, &mut news, stop) => ended,
    }
}

/// Drives the client until it fails.
async fn pump(events: &mut EventLoop, tell: &mpsc::Sender<News>) -> ConnectionError {
    loop {
        let news = match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => News::Connected,
            Ok(Event::Incoming(Packet::SubAck(ack))) => {
                News::Subscribed { refused: ack.return_codes.contains(&rumqttc::SubscribeReasonCode::Failure) }
            }
            Ok(Event::Incoming(Packet::Publish(p))) => News::Command(p.payload.to_vec()),
            Ok(Event::Outgoing(Outgoing::Disconnect)) => News::SaidGoodbye,
            Ok(_) => continue,
            Err(error) => return error,
        };
        // The receiver lives as long as this future; waiting here is backpressure on the broker.
        let _ = tell.send(news).await;
    }
}

async fn converse(
    ctx: &Context<'_>,
    node: &mut Node,
    client: &AsyncClient,
    news: &mut mpsc::Receiver<News>,
    stop: &mut watch::Receiver<bool>,
) -> Result<(), SessionError> {
    let topic = node.topic("NCMD");
    // Connecting has its own time limit inside the client.
    loop {
        tokio::select! {
            n = news.recv() => match n {
                Some(News::Connected) => break,
                Some(_) => {}
                None => return Err(SessionError::Queue),
            },
            () = stopped(stop) => return Ok(()),
        }
    }
    client.try_subscribe(&topic, QoS::AtLeastOnce).map_err(|_| SessionError::Queue)?;
    let answered = timeout(ANSWER_WAIT_MAX, async {
        loop {
            match news.recv().await {
                Some(News::Subscribed { refused }) => return Some(refused),
                // Whatever a host asks now, the birth is about to come.
                Some(News::Command(_) | News::Connected | News::SaidGoodbye) => {}
                None => return None,
            }
        }
    });
    match answered.await {
        Ok(Some(false)) => {}
        Ok(Some(true)) => return Err(SessionError::Refused(topic)),
        Ok(None) => return Err(SessionError::Queue),
        Err(_) => return Err(SessionError::Subscription(topic)),
    }
    tracing::info!(broker = %ctx.config.host, port = ctx.config.port, edge = %ctx.config.edge, "edge node is online");
    publish_until_stopped(ctx, node, client, news, stop).await
}

async fn publish_until_stopped(
    ctx: &Context<'_>,
    node: &mut Node,
    client: &AsyncClient,
    news: &mut mpsc::Receiver<News>,
    stop: &mut watch::Receiver<bool>,
) -> Result<(), SessionError> {
    let mut ticks = interval(ctx.config.publish_every.max(PUBLISH_EVERY_MIN));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut version = 0;
    let mut born: Option<Instant> = None;
    let mut birth_due = true;
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let now = ctx.clock.now();
                let rested = born.is_none_or(|at| now.mono.since(at) >= REBIRTH_EVERY_MIN);
                if birth_due && rested {
                    let (at, samples) = ctx.source.changed_since(0);
                    let birth = node.birth(&samples, now.utc);
                    client.try_publish(node.topic("NBIRTH"), QoS::AtMostOnce, false, birth).map_err(|_| SessionError::Queue)?;
                    (version, born, birth_due) = (at, Some(now.mono), false);
                } else if !birth_due {
                    version = publish_changes(ctx, node, client, version, &mut birth_due);
                }
            }
            n = news.recv() => match n {
                Some(News::Command(bytes)) => birth_due |= asked_for_birth(&bytes),
                Some(_) => {}
                None => return Err(SessionError::Queue),
            },
            () = stopped(stop) => return goodbye(ctx, node, client, news).await,
        }
    }
}

/// Publishes what changed since `version`; answers the version that hosts have then.
fn publish_changes(
    ctx: &Context<'_>,
    node: &mut Node,
    client: &AsyncClient,
    version: u64,
    birth_due: &mut bool,
) -> u64 {
    let (at, samples) = ctx.source.changed_since(version);
    if samples.is_empty() {
        return at;
    }
    let Some(data) = node.data(&samples, ctx.clock.now().utc) else { return at };
    if client.try_publish(node.topic("NDATA"), QoS::AtMostOnce, false, data).is_err() {
        // The wire is slower than the plant. Nothing is queued here: the next birth tells the latest of everything, without
        // a gap in the numbers.
        *birth_due = true;
    }
    at
}

fn asked_for_birth(bytes: &[u8]) -> bool {
    match Node::command(bytes) {
        Ok(asked) => {
            if asked.writes > 0 {
                tracing::warn!(metrics = asked.writes, "a command was refused: this edge node takes no values");
            }
            asked.rebirth
        }
        Err(error) => {
            tracing::warn!(%error, bytes = bytes.len(), "a command does not decode");
            false
        }
    }
}

/// Says that the node is going, since a broker drops the will of a client that leaves in good order.
async fn goodbye(
    ctx: &Context<'_>,
    node: &Node,
    client: &AsyncClient,
    news: &mut mpsc::Receiver<News>,
) -> Result<(), SessionError> {
    let death = node.death(ctx.clock.now().utc);
    let sent = client.try_publish(node.topic("NDEATH"), QoS::AtMostOnce, false, death).is_ok();
    if sent && client.try_disconnect().is_ok() {
        let gone = async { while !matches!(news.recv().await, Some(News::SaidGoodbye) | None) {} };
        // Without the goodbye on the wire the broker publishes the will: the hosts learn it either way.
        let _ = timeout(GOODBYE_WAIT_MAX, gone).await;
    }
    Ok(())
}

/// Ends when we are to stop, also when whoever could say so is gone.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
