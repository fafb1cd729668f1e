//! `penstock point`: a person at a device, without a running site. One point is read or written once, a device is scanned,
//! registers are read in every way they can be meant.
//!
//! Everything goes through the drivers themselves, so what is seen here is what a site will see.

mod decode;
mod opcua;
mod owner;
mod place;
mod read;
mod scan;
mod write;

use clap::Subcommand;

/// Read, write, scan and decode points of devices, to take them into service.
#[derive(Debug, Subcommand)]
pub enum PointVerb {
    /// Ask a device for one point, once.
    Read(read::ReadArgs),
    /// Write one point, after a look at what it holds, and read it back.
    Write(write::WriteArgs),
    /// Find the units that answer, or the places of one unit that can be read.
    Scan(scan::ScanArgs),
    /// Show registers in every type and byte order, and the point to paste.
    Decode(decode::DecodeArgs),
}

/// Runs one of the verbs.
///
/// # Errors
/// In words for a person.
pub async fn run(verb: PointVerb) -> Result<(), String> {
    match verb {
        PointVerb::Read(args) => read::run(args).await,
        PointVerb::Write(args) => write::run(args).await,
        PointVerb::Scan(args) => scan::run(args).await,
        PointVerb::Decode(args) => decode::run(args).await,
    }
}
