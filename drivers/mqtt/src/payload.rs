//! The Sparkplug B payload, as far as an edge node of plain metrics needs it. Field numbers are those of
//! `sparkplug_b.proto` (Eclipse Tahu, proto2); fields we never write and never read are left out, and skipped when met.

use prost::{Message, Oneof};

/// Data types of metrics and properties, by their number in the specification.
pub(crate) mod datatype {
    pub const INT8: u32 = 1;
    pub const INT16: u32 = 2;
    pub const INT32: u32 = 3;
    pub const INT64: u32 = 4;
    pub const UINT8: u32 = 5;
    pub const UINT16: u32 = 6;
    pub const UINT32: u32 = 7;
    pub const UINT64: u32 = 8;
    pub const DOUBLE: u32 = 10;
    pub const BOOLEAN: u32 = 11;
    pub const STRING: u32 = 12;
}

/// One message.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Payload {
    /// When it was sent, ms of UTC.
    #[prost(uint64, optional, tag = "1")]
    pub timestamp: Option<u64>,
    #[prost(message, repeated, tag = "2")]
    pub metrics: Vec<Metric>,
    /// 0..=255, without gap within a session; absent in NDEATH and NCMD.
    #[prost(uint64, optional, tag = "3")]
    pub seq: Option<u64>,
}

/// One metric.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Metric {
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    #[prost(uint64, optional, tag = "2")]
    pub alias: Option<u64>,
    /// When the value was taken, ms of UTC.
    #[prost(uint64, optional, tag = "3")]
    pub timestamp: Option<u64>,
    #[prost(uint32, optional, tag = "4")]
    pub datatype: Option<u32>,
    /// True for a value that was true once, and is told late: it must not become the present one.
    #[prost(bool, optional, tag = "5")]
    pub is_historical: Option<bool>,
    #[prost(bool, optional, tag = "7")]
    pub is_null: Option<bool>,
    #[prost(message, optional, tag = "9")]
    pub properties: Option<PropertySet>,
    #[prost(oneof = "MetricValue", tags = "10, 11, 12, 13, 14, 15")]
    pub value: Option<MetricValue>,
}

/// A metric's value.
#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum MetricValue {
    #[prost(uint32, tag = "10")]
    Int(u32),
    /// Signed numbers as two's complement.
    #[prost(uint64, tag = "11")]
    Long(u64),
    #[prost(float, tag = "12")]
    Float(f32),
    #[prost(double, tag = "13")]
    Double(f64),
    #[prost(bool, tag = "14")]
    Boolean(bool),
    #[prost(string, tag = "15")]
    String(String),
}

/// Properties of a metric, keys and values in step.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PropertySet {
    #[prost(string, repeated, tag = "1")]
    pub keys: Vec<String>,
    #[prost(message, repeated, tag = "2")]
    pub values: Vec<PropertyValue>,
}

/// One property.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PropertyValue {
    /// Data type, as for metrics.
    #[prost(uint32, optional, tag = "1")]
    pub kind: Option<u32>,
    #[prost(oneof = "Property", tags = "3, 6, 7, 8")]
    pub value: Option<Property>,
}

/// A property's value.
#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum Property {
    #[prost(uint32, tag = "3")]
    Int(u32),
    #[prost(double, tag = "6")]
    Double(f64),
    #[prost(bool, tag = "7")]
    Boolean(bool),
    #[prost(string, tag = "8")]
    String(String),
}
