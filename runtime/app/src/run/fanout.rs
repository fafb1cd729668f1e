//! The roads out of the engine: one bounded queue per consumer and per device. Nothing here ever blocks a scan;
//! what does not fit is counted and shown.

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use penstock_model::{Command, CommandSink, DeviceId, QueueFull, Record, RecordSink, limits};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

struct Consumer {
    name: &'static str,
    queue: Sender<Record>,
    wants: fn(&Record) -> bool,
    dropped: Arc<AtomicU64>,
}

/// Hands every record to every consumer. When a consumer's queue is full the new record is dropped for that consumer
/// and counted: what already waits is older and nearer to being saved.
#[derive(Default)]
pub struct Fanout {
    consumers: Vec<Consumer>,
}

impl Fanout {
    /// Adds a consumer with a queue of [`limits::RECORDS_WAITING_MAX`] records.
    pub fn add(&mut self, name: &'static str) -> Receiver<Record> {
        self.add_only(name, |_| true)
    }

    /// Adds a consumer that wants some of the records only.
    pub fn add_only(&mut self, name: &'static str, wants: fn(&Record) -> bool) -> Receiver<Record> {
        let (queue, receiver) = bounded(limits::RECORDS_WAITING_MAX);
        self.consumers.push(Consumer { name, queue, wants, dropped: Arc::default() });
        receiver
    }

    /// Counters of dropped records by consumer, valid after the fan-out has been handed to the engine.
    pub fn drops(&self) -> Vec<(&'static str, Arc<AtomicU64>)> {
        self.consumers.iter().map(|c| (c.name, c.dropped.clone())).collect()
    }
}

impl RecordSink for Fanout {
    fn publish(&self, record: Record) {
        for consumer in self.consumers.iter().filter(|c| (c.wants)(&record)) {
            if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = consumer.queue.try_send(record.clone())
            {
                consumer.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// One bounded queue per device.
pub struct CommandQueues {
    queues: Vec<mpsc::Sender<Command>>,
}

impl CommandQueues {
    /// Queues for so many devices, and the ends that their drivers read.
    #[must_use]
    pub fn new(devices: usize) -> (CommandQueues, Vec<mpsc::Receiver<Command>>) {
        let (queues, receivers) = (0..devices).map(|_| mpsc::channel(limits::COMMANDS_WAITING_MAX)).unzip();
        (CommandQueues { queues }, receivers)
    }
}

impl CommandSink for CommandQueues {
    fn submit(&self, device: DeviceId, command: Command) -> Result<(), QueueFull> {
        let queue = self.queues.get(usize::from(device.0)).ok_or(QueueFull)?;
        queue.try_send(command).map_err(|_| QueueFull)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use penstock_model::{CommandId, FaultRecord, Origin, TagId, Utc};

    #[test]
    fn a_consumer_that_stands_still_costs_records_of_its_own_only() {
        let mut fanout = Fanout::default();
        let stuck = fanout.add("stuck");
        let live = fanout.add("live");
        let record = Record::Fault(FaultRecord { part: "x".into(), message: "y".into(), active: true, at: Utc(0) });
        for _ in 0..limits::RECORDS_WAITING_MAX + 10 {
            fanout.publish(record.clone());
            live.recv().unwrap();
        }
        let drops = fanout.drops();
        assert_eq!(drops[0].1.load(Ordering::Relaxed), 10);
        assert_eq!(drops[1].1.load(Ordering::Relaxed), 0);
        assert_eq!(stuck.len(), limits::RECORDS_WAITING_MAX);
    }

    #[test]
    fn a_full_or_unknown_device_queue_is_an_error_not_a_wait() {
        let (queues, receivers) = CommandQueues::new(1);
        let command = Command {
            id: CommandId(1),
            tag: TagId(0),
            device: DeviceId(0),
            value: None,
            origin: Origin::Retained,
            granted: Utc(0),
        };
        for _ in 0..limits::COMMANDS_WAITING_MAX {
            queues.submit(DeviceId(0), command.clone()).unwrap();
        }
        assert_eq!(queues.submit(DeviceId(0), command.clone()), Err(QueueFull));
        assert_eq!(queues.submit(DeviceId(9), command), Err(QueueFull));
        drop(receivers);
    }
}
