//! A store in memory that fails, loses and runs full on demand.

use crate::error::StoreError;
use crate::limits::{BATCH_ENTRIES_MAX, VALUE_BYTES_MAX};
use crate::storage::{Op, Storage, Visit};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Default)]
pub(super) struct Inner {
    pub(super) rows: Rows,
    durable: Rows,
    /// Batches since the last sync: a crash keeps any number of the first ones.
    since: Vec<Vec<Op>>,
    /// This many calls of `apply` and `sync` still succeed.
    pub(super) fail_after: Option<usize>,
    /// How many unsynced batches a repair finds again.
    pub(super) survive: usize,
    broken: bool,
    /// Failures are of a damaged store, not of a full disk.
    pub(super) damaged: bool,
    pub(super) free: u64,
    pub(super) syncs: usize,
}

#[derive(Clone)]
pub(super) struct Fake(pub(super) Arc<Mutex<Inner>>);

fn put(rows: &mut Rows, batch: &[Op]) {
    for op in batch {
        match op {
            Op::Put(k, v) => rows.insert(k.clone(), v.clone()),
            Op::Delete(k) => rows.remove(k),
        };
    }
}

impl Inner {
    fn survivors(&self, batches: usize) -> Rows {
        let mut rows = self.durable.clone();
        self.since.iter().take(batches).for_each(|b| put(&mut rows, b));
        rows
    }

    fn write(&mut self) -> Result<(), StoreError> {
        if let Some(n) = &mut self.fail_after {
            if *n == 0 {
                self.broken = true;
                self.fail_after = None;
            } else {
                *n -= 1;
            }
        }
        if self.broken && self.damaged {
            return Err(StoreError::Damaged("a page does not fit".into()));
        }
        if self.broken { Err(StoreError::Full("no space left on device".into())) } else { Ok(()) }
    }
}

impl Fake {
    pub(super) fn new() -> Fake {
        Fake(Arc::new(Mutex::new(Inner { free: u64::MAX, ..Inner::default() })))
    }

    /// The store after a power cut that keeps the first unsynced batches.
    pub(super) fn crashed(&self, batches: usize) -> Fake {
        let rows = self.0.lock().survivors(batches);
        Fake(Arc::new(Mutex::new(Inner { durable: rows.clone(), rows, free: u64::MAX, ..Inner::default() })))
    }
}

impl Storage for Fake {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.lock().rows.get(key).cloned())
    }

    fn scan(&self, from: &[u8], to: &[u8], backwards: bool, visit: Visit) -> Result<(), StoreError> {
        if from >= to {
            return Ok(());
        }
        let inner = self.0.lock();
        let range = inner.rows.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
        let mut all: Vec<_> = range.map(|(k, v)| (k.clone(), v.clone())).collect();
        drop(inner);
        if backwards {
            all.reverse();
        }
        let _ = all.iter().try_for_each(|(k, v)| visit(k, v));
        Ok(())
    }

    fn apply(&self, ops: &[Op]) -> Result<(), StoreError> {
        assert!(ops.len() <= BATCH_ENTRIES_MAX, "{} entries", ops.len());
        assert!(ops.iter().all(|op| !matches!(op, Op::Put(_, v) if v.len() > VALUE_BYTES_MAX)));
        let mut inner = self.0.lock();
        inner.write()?;
        put(&mut inner.rows, ops);
        inner.since.push(ops.to_vec());
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        let mut inner = self.0.lock();
        inner.write()?;
        for batch in std::mem::take(&mut inner.since) {
            put(&mut inner.durable, &batch);
        }
        inner.syncs += 1;
        Ok(())
    }

    fn repair(&self) -> Result<(), StoreError> {
        let mut inner = self.0.lock();
        if inner.broken {
            inner.broken = false;
            inner.rows = inner.survivors(inner.survive);
            inner.durable = inner.rows.clone();
            inner.since.clear();
        }
        Ok(())
    }

    fn bytes_disk(&self) -> u64 {
        self.0.lock().rows.iter().map(|(k, v)| (k.len() + v.len()) as u64).sum()
    }

    fn bytes_free(&self) -> Result<u64, StoreError> {
        Ok(self.0.lock().free)
    }
}
