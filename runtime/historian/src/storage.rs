//! What the historian needs of a store of keys and values. One engine stands behind it today; a second one has to
//! provide these calls and nothing else.

use crate::error::StoreError;
use std::ops::ControlFlow;

/// One entry of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Op {
    /// Sets a key.
    Put(Vec<u8>, Vec<u8>),
    /// Removes a key; a missing one is no error.
    Delete(Vec<u8>),
}

impl Op {
    /// Bytes of key and value.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Op::Put(k, v) => k.len() + v.len(),
            Op::Delete(k) => k.len(),
        }
    }
}

/// Sees one key and its value, and says whether to go on.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>;

/// An ordered store of keys and values.
pub(crate) trait Storage: Send + Sync {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;
    /// Visits keys with `from <= key < to` in their order, or against it.
    fn scan(&self, from: &[u8], to: &[u8], backwards: bool, visit: Visit) -> Result<(), StoreError>;
    /// Applies all entries or none: at most [`crate::limits::BATCH_ENTRIES_MAX`], values of at most
    /// [`crate::limits::VALUE_BYTES_MAX`]. Seen by readers at once, durable with the next [`Storage::sync`].
    fn apply(&self, ops: &[Op]) -> Result<(), StoreError>;
    /// Everything applied before survives a power cut from here on.
    fn sync(&self) -> Result<(), StoreError>;
    /// After an error of `apply` or `sync`: makes the store usable again. What was applied since the last good `sync`
    /// may or may not be there afterwards.
    fn repair(&self) -> Result<(), StoreError>;
    /// Bytes taken on the disk.
    fn bytes_disk(&self) -> u64;
    /// Bytes of the file system that are free for us.
    fn bytes_free(&self) -> Result<u64, StoreError>;
}
